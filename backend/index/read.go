package index

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/silvermirror/smfs/backend/object"
	"github.com/silvermirror/smfs/journal"
)

// Get returns the node in a slot.
func (tx *Tx) Get(parent object.FileID, name string) (n Node, ok bool) {
	_ = tx.try(func() (err error) { // damage stays with the Tx
		n, ok, err = tx.get(Slot{Parent: parent, Name: name})
		return err
	})
	return n, ok
}

func (tx *Tx) get(s Slot) (Node, bool, error) {
	v := tx.nodes.get(s.key())
	if v == nil {
		return Node{}, false, nil
	}
	n, err := decodeNode(s, v)
	if err != nil {
		return Node{}, false, fmt.Errorf("slot %v: %w", s, err)
	}
	return n, true, nil
}

// Lookup walks a path from the root. The root itself, path "", is a directory
// with the zero FileID and nothing else known of it.
func (tx *Tx) Lookup(path string) (Node, bool) {
	n := Node{Entry: object.Entry{Kind: object.Dir}}
	if path == "" {
		return n, true
	}
	for name := range strings.SplitSeq(path, "/") {
		if n.Kind != object.Dir {
			return Node{}, false
		}
		var ok bool
		if n, ok = tx.Get(n.ID, name); !ok {
			return Node{}, false
		}
	}
	return n, true
}

// Slots returns the slots of a FileID, several for hard links.
func (tx *Tx) Slots(id object.FileID) (list []Slot) {
	_ = tx.try(func() error {
		list = tx.slots(id)
		return nil
	})
	return list
}

func (tx *Tx) slots(id object.FileID) (list []Slot) {
	tx.ids.scan(id[:], func(k []byte) bool {
		if !hasPrefix(k, id[:]) {
			return false
		}
		list = append(list, slotOf(k[idLen:]))
		return true
	})
	return list
}

// ByKey returns the slots whose nodes have that key. The zero key has none.
func (tx *Tx) ByKey(key journal.FileKey) (list []Slot) {
	if key == (journal.FileKey{}) {
		return nil
	}
	_ = tx.try(func() error {
		prefix := fileKeyPrefix(key)
		var err error
		tx.keys.scan(prefix, func(k []byte) bool {
			if !hasPrefix(k, prefix) {
				return false
			}
			for _, s := range tx.slots(object.FileID(k[len(prefix):])) {
				n, ok, e := tx.get(s)
				if err = e; err != nil {
					return false
				}
				if ok && n.Key == key {
					list = append(list, s)
				}
			}
			return true
		})
		return err
	})
	return list
}

// maxDepth ends a walk up through directories that hold each other.
const maxDepth = 1 << 20

// Path returns the path of a slot, whether there is a node in it or not.
// ErrNotFound: a directory above it is not in the index.
func (tx *Tx) Path(s Slot) (path string, err error) {
	err = tx.try(func() (err error) {
		path, err = tx.path(s)
		return err
	})
	return path, err
}

func (tx *Tx) path(s Slot) (string, error) {
	names := []string{s.Name}
	for s.Parent != (object.FileID{}) {
		above := tx.slots(s.Parent)
		if len(above) == 0 || len(names) > maxDepth {
			return "", fmt.Errorf("directory %x above %q: %w", s.Parent[:], names[0], ErrNotFound)
		}
		s = above[0]
		names = append(names, s.Name)
	}
	var b strings.Builder
	for i := len(names) - 1; i >= 0; i-- {
		b.WriteString(names[i])
		if i > 0 {
			b.WriteByte('/')
		}
	}
	return b.String(), nil
}

// Children calls fn for each node in a directory, ordered by name. fn may
// change the index; what it puts behind the node it was called for is visited
// as well. An error of fn ends it and is returned.
func (tx *Tx) Children(dir object.FileID, fn func(Node) error) error {
	return tx.each(&tx.nodes, dir[:], fn)
}

// Tagged calls fn for each node with tags, as Children does, ordered by slot.
func (tx *Tx) Tagged(fn func(Node) error) error { return tx.each(&tx.tagged, nil, fn) }

// Conflicts calls fn for each node that a merge put aside, as Tagged does.
func (tx *Tx) Conflicts(fn func(Node) error) error { return tx.each(&tx.conflicts, nil, fn) }

// All calls fn for every node, as Tagged does.
func (tx *Tx) All(fn func(Node) error) error { return tx.each(&tx.nodes, nil, fn) }

// batch is how many slots are read before their nodes are handed out: a scan must
// not meet a change.
const batch = 64

func (tx *Tx) each(in *table, prefix []byte, fn func(Node) error) error {
	from := prefix
	for {
		var slots []Slot
		err := tx.try(func() (err error) {
			slots, err = slotsFrom(in, from, prefix)
			return err
		})
		if err != nil || len(slots) == 0 {
			return err
		}
		for _, s := range slots {
			n, ok := tx.Get(s.Parent, s.Name)
			if tx.damage != nil {
				return tx.damage
			}
			if !ok {
				continue // gone by fn's hand
			}
			if err := fn(n); err != nil {
				return err
			}
		}
		from = append(slots[len(slots)-1].key(), 0)
	}
}

// slotsFrom reads a batch of slots. Keys must ascend, or the walk might not end.
func slotsFrom(in *table, from, prefix []byte) (slots []Slot, err error) {
	last := from
	in.scan(from, func(k []byte) bool {
		if !hasPrefix(k, prefix) || len(slots) == batch {
			return false
		}
		if len(k) <= idLen || bytes.Compare(k, last) < 0 {
			err = fmt.Errorf("key %x after %x: %w", k, last, ErrDamaged)
			return false
		}
		slots = append(slots, slotOf(k))
		last = append(append([]byte(nil), k...), 0)
		return true
	})
	return slots, err
}

// Count is the number of files and symlinks; it costs nothing.
func (tx *Tx) Count() int { return int(tx.counts.files) }

// Bytes is the size of all files together, in which one with several names is
// counted for each; it costs nothing.
func (tx *Tx) Bytes() int64 { return int64(tx.counts.bytes) }

// ConflictCount is the number of nodes that Conflicts visits; it costs nothing.
func (tx *Tx) ConflictCount() int { return int(tx.counts.conflicts) }
