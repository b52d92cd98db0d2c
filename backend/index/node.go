package index

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/silvermirror/smfs/backend/object"
	"github.com/silvermirror/smfs/journal"
)

// Node is what a slot held when it was last committed or applied.
type Node struct {
	Parent       object.FileID // of the directory; zero for the root
	object.Entry               // Tree is not kept

	Key   journal.FileKey // zero where unknown
	Size  int64           // bytes
	Ctime int64           // ns since 1970
	// Uncertain: of a file, Key, Size or Ctime may be wrong: hash before trusting
	// them; of a directory, it may hold names that no node and no mark knows.
	Uncertain bool
}

// Slot is the node's place.
func (n *Node) Slot() Slot { return Slot{Parent: n.Parent, Name: n.Name} }

// Slot is one name in one directory.
type Slot struct {
	Parent object.FileID
	Name   string
}

func (s Slot) String() string { return fmt.Sprintf("%x/%q", s.Parent[:], s.Name) }

// maxName is far above what filesystems allow and below bbolt's longest key.
const maxName = 4096

func (s Slot) check() error {
	if s.Name == "" || s.Name == "." || s.Name == ".." || len(s.Name) > maxName || strings.ContainsAny(s.Name, "/\x00") {
		return fmt.Errorf("slot %v: %w", s, ErrInvalid)
	}
	return nil
}

const idLen = len(object.FileID{})

func (s Slot) key() []byte {
	k := make([]byte, 0, idLen+len(s.Name))
	return append(append(k, s.Parent[:]...), s.Name...)
}

func slotOf(key []byte) Slot {
	s := Slot{Name: string(key[idLen:])}
	copy(s.Parent[:], key)
	return s
}

// idKey is the slot's key in the bucket ids.
func idKey(id object.FileID, s Slot) []byte {
	k := make([]byte, 0, 2*idLen+len(s.Name))
	k = append(append(k, id[:]...), s.Parent[:]...)
	return append(k, s.Name...)
}

// fileKey is the key of an inode and a FileID in the bucket keys.
func fileKey(key journal.FileKey, id object.FileID) []byte {
	return append(fileKeyPrefix(key), id[:]...)
}

func fileKeyPrefix(key journal.FileKey) []byte {
	k := make([]byte, 0, 16+idLen)
	k = binary.BigEndian.AppendUint64(k, key.Ino)
	return binary.BigEndian.AppendUint64(k, key.Gen)
}

func hasPrefix(k, prefix []byte) bool { return k != nil && bytes.HasPrefix(k, prefix) }
