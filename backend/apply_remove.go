package backend

import (
	"errors"

	"github.com/silvermirror/smfs/backend/index"
	"github.com/silvermirror/smfs/backend/object"
	"github.com/silvermirror/smfs/fs/tree"
)

// remove takes an entry away from a name that no longer has it.
func (a *applier) remove(p placed) error {
	n, ok := a.tx.Get(p.Parent, p.Entry.Name)
	if !ok || n.ID != p.Entry.ID {
		return nil // moved, replaced, or removed before
	}
	path, ok := a.pathOf(n.Slot())
	if !ok {
		return nil
	}
	if a.added[n.ID] && !a.isPlaced(n) {
		return errParentWaits
	}
	err := a.sure(path, n)
	switch {
	case err != nil:
	case n.Kind == object.Dir:
		err = a.r.tree.Rmdir(a.at(path), expectNode(n))
	default:
		err = a.r.tree.Remove(a.at(path), expectNode(n))
	}
	if isAbsent(err) && !a.goneFrom(path, n) {
		return tree.ErrChanged
	}
	if err != nil && !isAbsent(err) {
		if !errors.Is(err, tree.ErrNotEmpty) || a.r.journal.MarkedBelow(a.r.name, path) || !a.r.holdsNothingMirrored(a.tx, path) {
			return err
		}
		if err := indexed(a.tx.SetKept(path, n.Key)); err != nil {
			return err
		}
	}
	if err := a.forget(n); err != nil {
		return err
	}
	return a.restatAll(n)
}

// goneFrom tells that what is missing at its name is gone from there, not on its
// way elsewhere with a directory above it or by itself: that the committer finds.
func (a *applier) goneFrom(path string, n index.Node) bool {
	if a.r.journal.MarkedAbove(a.r.name, path) {
		return false
	}
	for _, slot := range a.tx.Slots(n.Parent) {
		dir, ok := a.tx.Get(slot.Parent, slot.Name)
		above, _ := splitPath(path)
		info, err := a.r.tree.Stat(above)
		if !ok || err != nil || info.Key != dir.Key {
			return false
		}
	}
	return true
}

// isPlaced tells whether a file that the head has at other names is at one of
// them: until then its old name is not taken away.
func (a *applier) isPlaced(n index.Node) bool {
	for _, slot := range a.tx.Slots(n.ID) {
		other, ok := a.tx.Get(slot.Parent, slot.Name)
		if !ok || slot == n.Slot() {
			continue
		}
		if a.belongs(other) {
			return true
		}
	}
	return false
}

// forget takes a node that is no longer on disk out of the index.
func (a *applier) forget(n index.Node) error {
	a.touched[n.Slot()] = true
	return indexed(a.r.dropTree(a.tx, n))
}
