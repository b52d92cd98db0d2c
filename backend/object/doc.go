// Package object is the store's data model and its byte formats: ids, entries,
// directories with their metadata, commits, covers, signatures. It is pure: no
// file, no clock, no goroutine; its values may be shared once nobody changes
// them.
//
// # Terms
//
// An entry is one name in a directory; its FileID stays the same over renames
// and edits. A writer is one incarnation of one key; each of its commits has a
// number. A cover says, by one tip a writer, which users' commits a head holds.
//
// # A directory in git
//
// A directory is a git tree of its entries, with names that git would refuse
// escaped (escape.go), and one entry of our own:
//
//	.smfs/meta          what git does not keep, a line an entry, sorted by name:
//	                    <name> <file id>[ m=<mode>][ t=<mtime ns>][ x=<xattrs>][ g=<tags>][ c=<conflict>]
//	.smfs/chunks/<name> the list of a large file's chunks (package chunk)
//	.smfs/resource.ini  the resource's shared options; in the root alone
//
// Above 2,048 entries meta is a tree of such blobs, by SHA-1(name)
// (metasplit.go). So a directory is self-contained, renaming it moves one
// hash, and an empty directory exists. Every directory has one encoding:
// decoding accepts nothing else.
//
// # A commit in git
//
//	<subject and body>
//
//	Smfs-Writer: <fingerprint>.<incarnation>     of a user's commit
//	Smfs-Seq: <number>                           of a user's commit
//	Smfs-Cover: <writer> <number> <commit id>    a line a tip: the union of the parents' covers
//	Smfs-Gen: <1 + the largest of the parents>
//	Smfs-Merge: <version>                        of a merge
//
// A user's commit carries git's SSH signature. A commit in any other form was
// made by plain git: it is foreign.
//
// Read backend/store next for where objects are kept.
package object
