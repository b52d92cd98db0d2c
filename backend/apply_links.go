package backend

import (
	"errors"

	"github.com/silvermirror/smfs/backend/index"
	"github.com/silvermirror/smfs/backend/object"
	"github.com/silvermirror/smfs/fs/tree"
)

// link gives a file one more name.
func (a *applier) link(path string, slot index.Slot, from index.Node, e object.Entry) error {
	old, ok := a.pathOf(from.Slot())
	if !ok {
		return errParentWaits
	}
	info, err := a.r.tree.Link(a.at(old), a.at(path), expectNode(from))
	if err != nil {
		return err
	}
	n := from
	n.Parent, n.Name, n.Ctime = slot.Parent, slot.Name, info.Ctime
	if err := a.put(n); err != nil {
		return err
	}
	if err := a.restatAll(n); err != nil {
		return err
	}
	if n, ok = a.tx.Get(slot.Parent, slot.Name); !ok {
		return nil
	}
	return a.update(path, n, e)
}

// rejoin makes a name a hard link again where another name of its file has
// been brought up to date already, as when an apply stopped between the two.
func (a *applier) rejoin(path string, n index.Node, e object.Entry) (bool, error) {
	if e.Kind == object.Dir {
		return false, nil
	}
	for _, slot := range a.tx.Slots(e.ID) {
		other, ok := a.tx.Get(slot.Parent, slot.Name)
		if !ok || other.Key == n.Key || !sameOnDisk(other.Entry, e) {
			continue
		}
		at, ok := a.pathOf(slot)
		if !ok {
			continue
		}
		if err := a.linkOver(at, path, n); err != nil {
			return false, err
		}
		linked := other
		linked.Parent, linked.Name, linked.Conflict = n.Parent, n.Name, e.Conflict
		if err := a.put(linked); err != nil {
			return false, err
		}
		return true, errors.Join(a.restatAll(linked), a.restatAll(n))
	}
	return false, nil
}

// relink gives the other names of a hard link the inode that took the place of
// theirs.
func (a *applier) relink(was index.Node, e object.Entry) error {
	now, ok := a.tx.Get(was.Parent, was.Name)
	if !ok || e.Kind == object.Dir {
		return nil
	}
	path, ok := a.pathOf(now.Slot())
	if !ok {
		return nil
	}
	others := 0
	for _, slot := range a.tx.Slots(e.ID) {
		n, ok := a.tx.Get(slot.Parent, slot.Name)
		if !ok || slot == now.Slot() || n.Key != was.Key {
			continue
		}
		at, ok := a.pathOf(slot)
		if !ok {
			continue
		}
		others++
		if now.Key != was.Key {
			if err := a.linkOver(path, at, n); err != nil {
				return err
			}
		}
		linked := now
		linked.Parent, linked.Name, linked.Conflict = n.Parent, n.Name, n.Conflict
		if err := a.put(linked); err != nil {
			return err
		}
	}
	if others == 0 {
		return nil
	}
	return a.restatAll(now)
}

// linkOver makes the name at, which is as the index says in n but for a link
// that the file has lost, another name of the file at path.
func (a *applier) linkOver(path, at string, n index.Node) error {
	now, err := a.r.tree.StatIn(a.at(path))
	if err != nil {
		return err
	}
	old, err := a.r.tree.StatIn(a.at(at))
	if err != nil {
		return err
	}
	n.Ctime = old.Ctime
	dir, _ := splitPath(at)
	tmp, err := a.r.tree.NewTempLink(dir, a.at(path), tree.Exactly(now))
	if err != nil {
		return err
	}
	defer tmp.Discard()
	_, err = a.r.tree.Place(tmp, a.at(at), expectNode(n))
	return err
}

// restatAll records the stat of a file at all its names, after its link count
// changed.
func (a *applier) restatAll(n index.Node) error {
	for _, slot := range a.tx.Slots(n.ID) {
		if other, ok := a.tx.Get(slot.Parent, slot.Name); ok && other.Key == n.Key {
			if err := a.restat(other); err != nil {
				return err
			}
		}
	}
	return nil
}

// restat records the stat that a node has on disk now.
func (a *applier) restat(n index.Node) error {
	path, ok := a.pathOf(n.Slot())
	if !ok {
		return nil
	}
	info, err := a.r.tree.Stat(path)
	if err != nil {
		return err
	}
	if info.Key != n.Key {
		return nil
	}
	n.Ctime = info.Ctime
	return indexed(a.tx.Put(n))
}
