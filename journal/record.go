package journal

import "time"

// FileKey identifies a backing inode for as long as it lives. Gen is the
// birth time in nanoseconds (0 where the filesystem has none): inode numbers
// are reused, the pair is not.
type FileKey struct {
	Ino uint64
	Gen uint64
}

// Kind says which mutation a Record announces.
type Kind uint8

const (
	KindCreate     Kind = iota + 1 // a new file, FIFO, socket, device or O_TMPFILE's link
	KindMkdir                      //
	KindSymlink                    //
	KindLink                       // To is the new name of the file at Path
	KindUnlink                     //
	KindRmdir                      //
	KindRename                     // Path -> To; also RENAME_EXCHANGE
	KindOpen                       // opened for writing: from here on it may change without a further record
	KindClose                      // the last writer of the handle is gone
	KindAttr                       // mode, owner, times, size
	KindXattr                      //
	KindWrite                      // fallocate, copy_file_range, ioctl: data changed through an open handle
	KindFound                      // a scan found the path changed, created or (after a complete scan) gone
	KindCheckpoint                 // written by Checkpoint: a mark that was alive then
)

// Actor is who asked for a mutation, as far as the kernel tells.
type Actor struct {
	UID, PID uint32
	Command  string // /proc/PID/comm; empty where unknown
}

// Record announces one mutation, before it acts.
type Record struct {
	Seq      uint64    // assigned by Append, from 1, gapless
	Time     time.Time // assigned by Append
	Kind     Kind
	Resource string  // name of the resource the paths belong to
	Key      FileKey // the file acted on; zero where there is none yet
	Path     string  // slash-separated, relative to the resource's root, raw bytes; "" is the root
	To       string  // second path of KindRename and KindLink
	Actor    Actor
}
