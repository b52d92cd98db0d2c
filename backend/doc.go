// Package backend is the mirror engine: it commits what the journal says
// changed, keeps sessions with peers, merges their heads and applies the
// result to the backing directories.
package backend
