package journal

import (
	"fmt"
	"strings"
)

// Kind says which mutation a Record announces.
type Kind uint8

// The kinds of mutation. Their numbers are on disk: new ones go to the end.
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
	KindCheckpoint                 // written by the journal itself: a mark that was alive then

	kindClear  // marks of Resource whose record lies below aux are committed
	kindBase   // a checkpoint is complete: records below aux matter no more
	kindVacate // the rename with number aux has moved all that was below Path
	kindEnd    // one above the last kind
)

var kindNames = [kindEnd]string{"", "create", "mkdir", "symlink", "link", "unlink", "rmdir", "rename",
	"open", "close", "attr", "xattr", "write", "found", "checkpoint", "clear", "base", "vacate"}

// String names the kind as logs show it.
func (k Kind) String() string {
	if k == 0 || k >= kindEnd {
		return fmt.Sprintf("kind(%d)", uint8(k))
	}
	return kindNames[k]
}

// hasTo reports whether the record's second path is a name that changes.
func (k Kind) hasTo() bool { return k == KindRename || k == KindLink }

// KindSet is a set of kinds. The zero value is empty.
type KindSet uint32

// KindSetOf returns the set of the given kinds.
func KindSetOf(kinds ...Kind) KindSet {
	var s KindSet
	for _, k := range kinds {
		s |= 1 << k
	}
	return s
}

// Has reports whether k is in s.
func (s KindSet) Has(k Kind) bool { return s&(1<<k) != 0 }

// String lists the kinds, comma-separated, in the order of their numbers.
func (s KindSet) String() string {
	var names []string
	for k := KindCreate; k < kindEnd; k++ {
		if s.Has(k) {
			names = append(names, k.String())
		}
	}
	return strings.Join(names, ",")
}
