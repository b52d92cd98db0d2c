// Package bench measures smfs beside its peers. Nothing here runs in CI: `make
// bench` does.
package bench
