// Package fs serves a mirror's directory over FUSE, mounted over that very
// directory.
//
// # Terms
//
// The base is the directory that is mounted over; it is reached through an fd
// opened before mounting, and only by *at calls on that fd and on fds got from
// it. A node stands for one backing inode, whatever its names; its links are
// the (directory, name) pairs under which it was last seen. A zone is a part
// of the tree with rules of its own: a resource, whose changes are journaled;
// what belongs to no resource; the state directory. A volume is a filesystem
// below the base, with its inode numbers and its data path. A view is a
// directory that exists in the mount alone: .smfs, with the tags and the history
// below it.
//
// # Life of a mutation
//
//	slot lock of the directory -> names lock -> journal.Begin -> the system call -> End
//
// The slot locks belong to fs/tree: apply compares and swaps under the same
// ones. The names lock is held shared by every mutation and alone by the rename
// of a directory, so that the path in a record is the path that is acted on. A
// journal that cannot be written refuses the mutation.
//
// # Caching
//
// Every change passes through this mount or through fs/tree, which tells the
// invalidation queue; so the kernel may keep names, attributes and data for
// ever. What others change beside the mount (external resources, foreign mounts
// below) is kept for one second, the state directory and the tag view not at
// all; the history view, which does not change below a time, for ever. Opening compares the inode with the node and answers ESTALE on a
// mismatch, upon which the kernel looks the name up again.
//
// # Programs that watch
//
// The kernel raises no events for what an apply does, so after it has forgotten a
// name the announcer, a child process, does something there: it makes, changes or
// removes a ghost. A gate before the nodes answers for it; see gate and Announce.
// The announcer holds no lock of ours, and nobody waits for it.
//
// # Identity
//
// Inode numbers are the backing ones; the generation is the birth time. A
// table of weak pointers gives one node per inode: it holds for as long as
// go-fuse, a child or a handle holds the node, so hard links and tags share it.
//
// # Concurrency
//
// Handlers run on many goroutines. Lock order: slot locks (two trees: by the
// order of the resources), Mount.names, node.mu, then the table's, the fd
// cache's and the queue's, none of which is held over a call. Nothing ever
// notifies the kernel but the queue's goroutine, which holds no lock: the
// kernel may wait for a handler while it answers.
//
// # After a crash
//
// The mount point answers ENOTCONN until Detach. The backing files are in the
// state that the last completed system call left; the journal names every path
// that may have changed. Passthrough files stay writable by who had them open.
//
// Read next: fs/tree (the backing directory, and apply), journal.
package fs
