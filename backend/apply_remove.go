package backend

import (
	"errors"
	"fmt"

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
		err = a.r.tree.Rmdir(path, expectNode(n))
	default:
		err = a.r.tree.Remove(path, expectNode(n))
	}
	if isAbsent(err) && !a.goneFrom(path, n) {
		return tree.ErrChanged
	}
	if err != nil && !isAbsent(err) {
		if !errors.Is(err, tree.ErrNotEmpty) || a.r.journal.Marked(a.r.name, path) || !a.r.holdsNothingMirrored(a.tx, path) {
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
	if a.r.isMarked(path) {
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

// holdsNothingMirrored tells that a directory holds nothing but what is not
// mirrored, and directories that it keeps likewise: it stays on this disk, and is
// no part of the mirror any more.
func (r *resource) holdsNothingMirrored(tx *index.Tx, path string) bool {
	names, err := r.tree.ReadDir(path)
	if err != nil {
		return false
	}
	for _, name := range names {
		at := join(path, name.Name)
		kind, mirrored := kindOf(tree.Info{Mode: name.Mode})
		if !mirrored || r.skip(at, kind == object.Dir) {
			continue
		}
		info, err := r.tree.Stat(at)
		if _, known := tx.Lookup(at); known || err != nil || !r.keeps(tx, at, info) {
			return false
		}
	}
	return true
}

// keeps tells that a directory is one that stayed when it was deleted elsewhere,
// for what it holds, and still holds nothing else.
func (r *resource) keeps(tx *index.Tx, path string, info tree.Info) bool {
	return isDir(info) && tx.Kept(path, info.Key) && r.holdsNothingMirrored(tx, path)
}

// clearKept makes room where a directory stayed for what it holds: that moves to
// a name beside, or goes if nothing is left in it.
func (a *applier) clearKept(path string) error {
	info, err := a.r.tree.Stat(path)
	if err != nil || !a.r.keeps(a.tx, path, info) {
		return nil // what is in the way, if anything, is something else
	}
	if err := a.r.tree.Rmdir(path, tree.Exactly(info)); !errors.Is(err, tree.ErrNotEmpty) {
		return err
	}
	for i := 1; ; i++ {
		to := path + ".kept"
		if i > 1 {
			to += fmt.Sprint("-", i)
		}
		if _, err := a.r.tree.Stat(to); !isAbsent(err) {
			continue
		}
		if _, err := a.r.tree.Rename(path, to, tree.Exactly(info)); err != nil {
			return err
		}
		a.r.log.Warn("what is not mirrored was in the way of a peer's change", "resource", a.r.name, "path", path, "is now", to)
		return indexed(a.tx.SetKept(to, info.Key))
	}
}

// forget takes a node that is no longer on disk out of the index.
func (a *applier) forget(n index.Node) error {
	a.touched[n.Slot()] = true
	return indexed(a.r.dropTree(a.tx, n))
}
