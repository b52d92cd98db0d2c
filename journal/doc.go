// Package journal records every mutation of a mirror before it acts.
package journal
