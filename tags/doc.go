// Package tags holds what smfs knows of tags: the set of one file and how two
// nodes' sets merge, which names are legal, the query language of `@tags`
// paths, an index from tags to files, and how files are called in a tag's directory.
//
// # Terms
//
// A tag is a name such as "work", "year=2020" or "projects/acme". Slashes make
// a hierarchy: a file tagged "projects/acme" is found under "projects" too,
// without carrying that tag.
//
// A dot is the signed commit that added a tag to a file, written writer:seq. A
// tag lives as long as it has a dot; removing a tag removes the dots that were
// seen. A [Set] is the tags of one file with their dots: an OR-set without
// tombstones, since a commit's cover says which dots its node had seen.
//
// A query is an expression over tags: "work,!done".
//
// # Bytes on disk
//
// None. Sets are written by package backend/object as part of a directory's
// metadata; the [Index] is built from those at each start.
//
// # Concurrency
//
// Sets and queries are values: no function changes its argument, so all may
// share them. An [Index] may be used by all goroutines at once.
//
// Next to read: backend/object, which puts sets into trees, and backend/merge,
// which calls [Merge] for each file that both sides changed.
package tags
