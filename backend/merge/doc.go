// Package merge joins two states of a resource that grew apart. It is pure:
// its result depends on the two commits alone, so every node that merges the
// same two computes the same tree and the same commit id, without asking.
//
// Terms. A node is one file, link or directory, known by its FileID wherever
// it lies. A slot is one name in one directory, (FileID of the directory,
// name); a file with several slots is hard linked. The left side is the one
// with the lower commit id: all that a rule leaves open is settled in its
// favour, which is what makes merging symmetric.
//
// Merge works in steps, a file each:
//
//   - diff: each side against the base; subtrees with equal ids are never read
//   - decide: each node by itself: its slots as a set, content, attributes and
//     tags as independent fields
//   - shape: what must live has living parents, and no directory lies in itself
//   - settle: no two nodes in one slot
//   - build: the directories that changed, from the bottom up
//
// The rules. Content changed by both to different bytes: the later mtime keeps
// the name (at equal times the lower blob id), the other becomes a copy beside
// it, its name and FileID derived from its content; under Newest it stays in
// history alone. An edit beats a delete; so does a rename, of a directory with
// all beneath it. A delete beats a change of tags. What one side puts into a
// directory that the other deletes keeps the directory. A node moved by both
// to two places takes the left one. Two nodes that want one name: directories
// are united and equal files too, where one of them is new; otherwise a
// directory keeps the name before a file and the later file before the
// earlier.
//
// What was put aside is marked in its entry, so that every node lists it:
// Entry.Conflict is the FileID of what kept the name, or the entry's own
// FileID where its place is what the sides disagreed about.
//
// Base finds what to merge against, from the covers; Commit makes the merge
// commit, a pure function of its parents; Verify computes one again.
//
// Nothing here is kept on disk, starts a goroutine, or reads a clock. A call
// works on its own memory: calls may run at once if their Trees allow it.
// Package replica says when to merge; the engine (backend) does it.
package merge
