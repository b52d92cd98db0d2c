// Package conform checks that a mount cannot be told from the filesystem
// beneath it, rule by rule.
//
// A check is a function that does system calls in an empty directory. It asserts
// what POSIX, a manual page or ext4 demand, and all that it sees goes into its
// transcript, with the tree that it leaves: names, modes, owners, link counts,
// contents, extended attributes. Each check runs in a plain directory first, then
// in mounts of each kind; the transcripts must be equal, and an empty one is a
// failure. What differs from filesystem to filesystem or from run to run (inode
// and device numbers, the times themselves) is not in a transcript; what it must
// keep to is: a number that stays, a time that moves.
//
// After the checks the mirror's head must be what they have left.
//
// What a mount does otherwise, on purpose or because the kernel's FUSE does, is
// listed with the reason in differences_test.go.
package conform
