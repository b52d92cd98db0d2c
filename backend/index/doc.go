// Package index remembers what is on disk in one resource, as last committed
// or applied: a node for every name, found by slot, FileID or FileKey.
//
// # Terms
//
// A slot is one name in one directory, the directory given by its FileID; so
// renaming a directory moves one node and none of those below. A [Node] is
// what a slot held.
//
// # Bytes on disk
//
// One bbolt file. Buckets:
//
//	nodes      parent FileID (16) | name           -> node, see codec.go
//	ids        FileID (16) | parent (16) | name    -> nothing
//	keys       ino (8, BE) | gen (8, BE) | FileID  -> nothing
//	tagged     parent (16) | name                  -> nothing; nodes with tags
//	conflicts  parent (16) | name                  -> nothing; nodes with Conflict
//	meta       "format", "applied", "counts" (see tx.go)
//
// Beside it, while it is open, lies FILE.open: the boot and the mount it was
// opened in; and while it is being opened FILE.opening: by which process.
//
// # Concurrency
//
// One Update at a time, any number of Views beside it, each of which sees one
// state. A goroutine must not begin one inside another. A Tx is for the one
// goroutine and only until the function returns.
//
// # What survives a crash
//
// The file is written without syncing: all of it is in the store and on disk
// anyway. The page cache survives the death of the process, so every finished
// Update does; after a crash of the machine (FILE.open names another boot, or
// another mount) pages may be missing, and Open says [ErrDamaged]. So it does of a
// file with pages that make no sense (pages.go), and so do Update and View when they
// meet such bytes. The owner then calls
// [Remove] and builds the index anew.
//
// Read next: backend, which keeps the index in step with the store.
package index
