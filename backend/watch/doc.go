// Package watch hears from the kernel (inotify) what is changed in a backing
// directory that others may write to beside a mount.
//
// # What is watched
//
// Every directory that is not left out, by a path through the root's own fd: a
// path from / could lead into the mount that covers the mirror. Directories that
// other filesystems are mounted on are not entered, as everywhere in fs/tree.
// A directory is watched before it is listed, so that what appears in it is
// either listed or told; and before those below it, so that whatever happens to
// the path of a watched directory is told too.
//
// # What is told
//
// Names and trees, not events: that something has happened to a name, or may
// have happened anywhere below a directory before it was watched. Whoever is
// told looks at the disk; that it was changed by smfs itself is found by that
// look and costs no more. Only that a name was taken away is taken from the
// events: the kernel tells it of unlink, rmdir and rename alone, never of a disk
// that went away.
//
// # When it fails
//
// The kernel's queue may overflow and its limits may be reached; Open and Run
// return then, and nothing more is told. Only a complete scan after the next
// Open knows what was missed.
//
// Read next: beside.go of package backend, which looks.
package watch
