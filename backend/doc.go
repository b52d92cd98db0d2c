// Package backend is the mirror engine. It commits what the journal says has
// changed, keeps sessions with peers, merges their heads with ours, and brings
// the backing directories to the result.
//
// # Terms
//
// A resource is one mirrored directory with its own store, index and sync
// state. Its head is the commit that stands for what it should show; the index
// says what is on disk, and the tree that it makes up is the disk's tree. Where a
// remote version cannot be applied yet, since the file was edited or is open,
// the name waits: the head has the new version, the disk's tree the old one. A
// local edit meanwhile is merged with the head, with the disk's tree as it was
// for a base. A node is another engine; a link is a session with one; a
// peer is a node that is configured.
//
// # The flow
//
//	journal marks ─> worker ─> observe ─> identity ─> commit ─> replica ─> link ─> peer
//	peer ─> link ─> ingest ─> worker ─> replica ─> merge ─> apply ─> fs/tree
//
// Each resource has one worker goroutine, which alone changes its head, index,
// sync state and directory (worker.go); everything else asks it (resource.do).
// Packs are received, verified and sent beside it.
//
//   - observe.go looks at the marked names until it has a consistent picture,
//     identity.go says which file is which, commit.go brings the index up to it
//     and commit_tree.go makes the tree and the commit of that
//   - ingest.go believes nothing of what a peer sends, integrate.go adopts or
//     merges, fork.go gives way to a peer that knows what an old copy of this
//     mirror has forgotten, apply.go plans the steps that change the disk by
//     compare-and-swap, waiting.go knows what had to wait
//   - scan.go finds what no journal has seen, beside.go what is changed beside
//     the mount while the engine runs, lost.go a head whose ref is gone
//   - fsck.go checks all of it, repair.go is what Open mends only if asked to
//   - history.go, restore.go, tagging.go, status.go, wait.go are the API's; past.go
//     and timeline.go show what was at any time, without the worker
//
// # What survives a crash
//
// A commit is durable in the store before the index stands for it, the index
// before the head moves, and the head before the journal lets the marks go. Of
// a peer's commits the head comes first and the disk follows; where a crash
// came between, the disk's tree is not the head's, and the worker begins by
// bringing it there (apply). Steps that were done are found done.
//
// Read next: package replica for when heads are merged, package merge for how,
// fs/tree for what compare-and-swap means on a directory.
package backend
