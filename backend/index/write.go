package index

import (
	"errors"
	"fmt"

	"github.com/silvermirror/smfs/backend/object"
	"github.com/silvermirror/smfs/journal"
)

// Put makes n the node in its slot, in place of what is there. ErrInvalid: a
// name or id that no node has. ErrExists: a directory's id is in another slot.
// ErrNotEmpty: it would take the place of another directory that has children.
func (tx *Tx) Put(n Node) error {
	return tx.try(func() error {
		if err := tx.put(&n); err != nil {
			return fmt.Errorf("put %v: %w", n.Slot(), err)
		}
		return nil
	})
}

func (tx *Tx) put(n *Node) error {
	s := n.Slot()
	if err := s.check(); err != nil {
		return err
	}
	if n.ID == (object.FileID{}) || n.Kind < object.File || n.Kind > object.Symlink {
		return ErrInvalid
	}
	old, had, err := tx.get(s)
	if err != nil {
		return err
	}
	if had && old.Kind == object.Dir && (n.Kind != object.Dir || n.ID != old.ID) && tx.hasChildren(old.ID) {
		return ErrNotEmpty
	}
	if n.Kind == object.Dir && (!had || old.ID != n.ID) && len(tx.slots(n.ID)) > 0 {
		return ErrExists
	}
	tx.nodes.put(s.key(), encodeNode(n))
	if had && (old.ID != n.ID || old.Key != n.Key) {
		if err := tx.dropRefs(&old, old.ID != n.ID); err != nil {
			return err
		}
	}
	return tx.addRefs(n, &old, had)
}

// addRefs makes the other buckets and the counts agree with a node just put.
// old is what was in its slot if had, else the zero Node.
func (tx *Tx) addRefs(n, old *Node, had bool) error {
	s := n.Slot()
	if !had || old.ID != n.ID {
		tx.ids.put(idKey(n.ID, s), nil)
	}
	if n.Key != (journal.FileKey{}) && (!had || old.ID != n.ID || old.Key != n.Key) {
		tx.keys.put(fileKey(n.Key, n.ID), nil)
	}
	tx.tagged.list(s, tagged(old), tagged(n))
	tx.conflicts.list(s, conflicting(old), conflicting(n))
	return tx.count(n, old)
}

func tagged(n *Node) bool      { return len(n.Tags) > 0 }
func conflicting(n *Node) bool { return n.Conflict != object.FileID{} }

func isConflict(n *Node) int64 {
	if conflicting(n) {
		return 1
	}
	return 0
}

func isFile(n *Node) int64 {
	if n.Kind == object.File || n.Kind == object.Symlink {
		return 1
	}
	return 0
}

// weight is how many bytes a node adds to the count of them.
func weight(n *Node) int64 {
	if n.Kind != object.File {
		return 0
	}
	return max(n.Size, 0)
}

// count makes the counts agree with n in the place of old.
func (tx *Tx) count(n, old *Node) error {
	return errors.Join(
		tx.add(&tx.counts.files, isFile(n)-isFile(old)),
		tx.add(&tx.counts.conflicts, isConflict(n)-isConflict(old)),
		tx.add(&tx.counts.bytes, weight(n)-weight(old)))
}

// list puts a slot on a list or takes it off.
func (t *table) list(s Slot, was, is bool) {
	switch {
	case is && !was:
		t.put(s.key(), nil)
	case was && !is:
		t.delete(s.key())
	}
}

// dropRefs takes a node, no longer in nodes, out of ids (if slot) and keys.
func (tx *Tx) dropRefs(old *Node, slot bool) error {
	if slot {
		tx.ids.delete(idKey(old.ID, old.Slot()))
	}
	if old.Key == (journal.FileKey{}) {
		return nil
	}
	for _, s := range tx.slots(old.ID) { // another link of the same inode
		n, ok, err := tx.get(s)
		if err != nil {
			return err
		}
		if ok && n.Key == old.Key {
			return nil
		}
	}
	tx.keys.delete(fileKey(old.Key, old.ID))
	return nil
}

func (tx *Tx) hasChildren(id object.FileID) bool {
	has := false
	tx.nodes.scan(id[:], func(k []byte) bool {
		has = hasPrefix(k, id[:])
		return false
	})
	return has
}

func (tx *Tx) drop(n *Node) error {
	tx.nodes.delete(n.Slot().key())
	if err := tx.dropRefs(n, true); err != nil {
		return err
	}
	tx.tagged.list(n.Slot(), tagged(n), false)
	tx.conflicts.list(n.Slot(), conflicting(n), false)
	return tx.count(&Node{}, n)
}

// DeleteTree removes the node in a slot and, of a directory, all below, and
// says how many nodes that were.
func (tx *Tx) DeleteTree(parent object.FileID, name string) (removed int, err error) {
	top, ok := tx.Get(parent, name)
	if !ok {
		return 0, tx.damage
	}
	todo := []Node{top}
	for len(todo) > 0 {
		n := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if err := tx.try(func() error { return tx.drop(&n) }); err != nil {
			return removed, fmt.Errorf("delete %v: %w", n.Slot(), err)
		}
		removed++
		if n.Kind != object.Dir {
			continue
		}
		err := tx.Children(n.ID, func(c Node) error {
			if c.Kind == object.Dir {
				todo = append(todo, c)
				return nil
			}
			removed++
			return tx.try(func() error { return tx.drop(&c) })
		})
		if err != nil {
			return removed, err
		}
	}
	return removed, nil
}

// Move takes the node in one slot to another, empty one; what is below a
// directory comes along at no cost. ErrNotFound, ErrExists, ErrLoop.
func (tx *Tx) Move(from, to Slot) error {
	return tx.try(func() error {
		if err := tx.move(from, to); err != nil {
			return fmt.Errorf("move %v to %v: %w", from, to, err)
		}
		return nil
	})
}

func (tx *Tx) move(from, to Slot) error {
	if err := to.check(); err != nil {
		return err
	}
	n, ok, err := tx.get(from)
	if err != nil {
		return err
	}
	if !ok {
		return ErrNotFound
	}
	if from == to {
		return nil
	}
	if tx.nodes.get(to.key()) != nil {
		return ErrExists
	}
	if n.Kind == object.Dir {
		if err := tx.checkLoop(n.ID, to.Parent); err != nil {
			return err
		}
	}
	if err := tx.drop(&n); err != nil {
		return err
	}
	n.Parent, n.Name = to.Parent, to.Name
	return tx.put(&n)
}

// checkLoop walks up from parent: it must not meet dir.
func (tx *Tx) checkLoop(dir, parent object.FileID) error {
	for depth := 0; parent != (object.FileID{}); depth++ {
		if parent == dir || depth > maxDepth {
			return ErrLoop
		}
		above := tx.slots(parent)
		if len(above) == 0 {
			return nil
		}
		parent = above[0].Parent
	}
	return nil
}
