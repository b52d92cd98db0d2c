package backend

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/silvermirror/smfs/backend/index"
	"github.com/silvermirror/smfs/backend/object"
	"github.com/silvermirror/smfs/fs/tree"
)

// source finds a name on disk that the file can be moved or linked from.
func (a *applier) source(e object.Entry) (from *index.Node, linked bool) {
	for _, slot := range a.tx.Slots(e.ID) {
		n, ok := a.tx.Get(slot.Parent, slot.Name)
		if !ok || n.Kind != e.Kind {
			continue
		}
		if !a.belongs(n) {
			return &n, false
		}
		if e.Kind != object.Dir {
			from, linked = &n, true
		}
	}
	return from, linked
}

// belongs tells whether the head has the file at the name where it is. Names
// are told by their directory's identity: that one may have to move yet.
func (a *applier) belongs(n index.Node) bool {
	at := claim{n.Slot(), n.ID}
	_, aside := a.asides[at.Slot]
	return a.arrive[at] || !a.leave[at] && !aside
}

// clear empties a name for another file: what goes elsewhere is moved out of
// the way, what goes altogether is removed. Whatever was edited locally stays,
// and the name with it.
func (a *applier) clear(path string, n index.Node) error {
	if a.added[n.ID] {
		return cmp.Or(a.aside(path, n), errAgain)
	}
	for _, p := range a.gone {
		at, ok := a.pathOf(index.Slot{Parent: p.Parent, Name: p.Entry.Name})
		if !ok || !within(at, path) {
			continue
		}
		child, ok := a.tx.Get(p.Parent, p.Entry.Name)
		if !ok || child.ID != p.Entry.ID {
			continue
		}
		var err error
		if a.added[child.ID] {
			err = cmp.Or(a.aside(at, child), errAgain)
		} else {
			err = a.remove(p)
		}
		if err != nil {
			return err
		}
	}
	if _, still := a.tx.Get(n.Parent, n.Name); still {
		return tree.ErrChanged // it holds what the diff does not know
	}
	return nil
}

// move renames a file or directory to its new name.
func (a *applier) move(path string, slot index.Slot, from index.Node, e object.Entry) error {
	if err := a.rename(from, path, slot); err != nil {
		return err
	}
	n, ok := a.tx.Get(slot.Parent, slot.Name)
	if !ok {
		return nil
	}
	return a.update(path, n, e)
}

// rename gives a file that is as the index says another name.
func (a *applier) rename(n index.Node, path string, slot index.Slot) error {
	old, ok := a.pathOf(n.Slot())
	if !ok {
		return errParentWaits
	}
	info, err := a.r.tree.Rename(a.at(old), a.at(path), expectNode(n))
	if errors.Is(err, tree.ErrChanged) || isAbsent(err) {
		if there, e := a.r.tree.StatIn(a.at(path)); e == nil && there.Key == n.Key {
			info, err = there, nil // it was moved before a crash
		}
	}
	if err != nil {
		return err
	}
	return a.renamed(n, slot, info)
}

// renamed records that a file was renamed to slot.
func (a *applier) renamed(n index.Node, slot index.Slot, info tree.Info) error {
	a.renames = true
	from, ok := a.pathOf(n.Slot())
	if err := a.moveNode(n.Slot(), slot); err != nil {
		return err
	}
	if to, known := a.pathOf(slot); ok && known {
		if err := a.r.carryMarks(from, to); err != nil {
			return err
		}
	}
	n.Parent, n.Name, n.Ctime = slot.Parent, slot.Name, info.Ctime
	if err := a.put(n); err != nil {
		return err
	}
	return a.restatAll(n)
}

// carryMarks gives the marks of a name, and of all below it, to the name that it
// got from an apply: who announced a change by the old one did so before.
func (r *resource) carryMarks(from, to string) error {
	if !r.journal.MarkedBelow(r.name, from) {
		return nil
	}
	if err := r.journal.Carry(r.name, from, to); err != nil {
		return fmt.Errorf("carry what is not committed over to %s: %w", to, err)
	}
	return nil
}

// moveNode records that a node has another name now.
func (a *applier) moveNode(from, to index.Slot) error {
	a.touched[from], a.touched[to] = true, true
	return indexed(a.tx.Move(from, to))
}
