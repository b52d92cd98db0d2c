// Package tree is one resource's backing directory, reached through one
// directory fd alone: reading it, and changing it by
// compare-and-swap.
//
// # Terms
//
// A path is relative to the root: raw bytes between slashes, "" is the root.
// A slot is one name in one directory; what it holds may be replaced, the slot
// stays. A [journal.FileKey] identifies an inode for as long as it lives. An
// [Expect] is what a slot must hold for a change to go ahead. A temp is a file
// of this package's own beside the slot it is going to fill; the displaced
// inode is what the slot held before.
//
// # Walks
//
// The daemon mounts FUSE over this very directory, so a path that leads out of
// it ("..", an absolute path, the text of /proc/self/fd) can hang the process
// on itself. Every walk is openat2 with RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS
// and RESOLVE_NO_XDEV from the root's fd, or, where openat2 is missing, one
// openat with O_NOFOLLOW a component and a comparison of mounts. Everything
// else is an *at call on a parent's fd and one name, or /proc/self/fd/N of an
// fd so obtained (never the text behind it).
//
// # Absence
//
// Absence means deletion in this product. An error matches os.ErrNotExist only
// if a directory was reached and had no such name, or if a component above the
// name is proven to be something other than a directory. A root that was
// itself deleted ([ErrRootGone]), a mount point below ([ErrForeignMount]),
// EACCES, EIO and all others are errors of their own.
//
// # Concurrency
//
// Everything is safe for concurrent use except one [File] or [Temp] by several
// goroutines. Changes to a directory's slots hold the directory's
// slot lock ([Tree.Lock]); FUSE nodes take the same locks around their own
// mutations and around opening for writing. Slot locks come before any lock of
// this package and before nothing else: a holder must not wait for the kernel
// to answer about the mount. Two slot locks are taken by [Tree.Lock2] only.
//
// What cannot be seen: a program that does not come through the mount, has
// walked to a file's inode and not yet opened it for writing at the moment its
// slot is exchanged. It writes to the displaced inode, which is gone. Through
// the mount opening holds the slot lock, so that this cannot be.
//
// # What survives a crash
//
// A temp is named .smfs.tmp.<random> and is worth nothing after its process is
// gone. While a slot is exchanged the name ends in .swap: then the file may be
// what the slot held, perhaps changed since, and is never removed unread.
// [Tree.RemoveTemps] removes the former and lists the latter. Nothing here is
// synced but by [Tree.SyncFS].
//
// Read next: fs, which serves this directory, and backend, which applies to it.
package tree
