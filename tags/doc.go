// Package tags holds tag sets, the query language and the index of tagged
// files.
package tags
