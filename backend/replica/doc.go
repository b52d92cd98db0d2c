// Package replica decides what one node does about one resource as commits and
// peers come and go: when to push, to merge, to adopt another's head. It is a
// state machine: inputs are method calls, what is to be done comes back as
// actions. It does no I/O and has no goroutine and no clock, so that a whole
// network of nodes can be simulated in one test.
//
// Terms. A head is a commit; its cover is the set of user commits in it. A
// head is received once everything it needs is durable here, and applied once
// it is what the disk shows.
//
// The rule that makes all nodes converge compares covers, not histories:
//
//  1. A head that covers all of ours, and more, is adopted.
//  2. A head that covers less is ignored, and its peer is pushed ours.
//  3. Equal covers, different heads: the lower commit id is adopted.
//  4. Otherwise the two are merged, once both are here.
//
// Only rule 4 makes commits, and each of them covers more than both parents,
// so it ends; merges are pure, so nodes that merge the same two get the same.
//
// To cover is to hold the same commits, not as many: below the tips the ids
// come from the commits that are here (object.Lineage), which is all that a
// Replica asks of the outside. A head whose commits are not here is known by
// its tips alone, and taken to cover ours only where that costs nothing if it
// is wrong: the side that has the larger number of a writer always knows.
//
// A fork, two commits with one number, comes before all of this. One of the two
// stands, the same for every node (object.Lineage.Stands). A node whose head
// has the other yields: what is in its head alone it records anew as a writer
// that nobody knows yet. A node whose head has the one that stands refuses the
// other's head and sends its own. Since which one stands never changes, that
// ends too.
//
// A Replica is not safe for concurrent use: the engine calls it from one
// goroutine, or under one lock, and carries out the actions in order. Nothing
// is kept on disk: after a restart New takes the head from the store, and
// peers tell theirs when they connect. See package merge for how two heads
// become one, and backend for the engine.
package replica
