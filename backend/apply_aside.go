package backend

import (
	"crypto/sha1"
	"errors"
	"fmt"

	"github.com/silvermirror/smfs/backend/index"
	"github.com/silvermirror/smfs/backend/object"
	"github.com/silvermirror/smfs/fs/tree"
)

// What is in the way of an apply, and goes elsewhere, is moved aside meanwhile:
// to a hidden name in the root. An apply leaves nothing there. What is hidden could
// neither be used nor committed, and what waits for it to be committed would for
// good.

// asideSlot is where an apply moves what is in the way, in the root. Scans and
// listings hide it as they hide all temporaries; its ending keeps it from being
// removed unread after a crash (see package tree).
func asideSlot(n index.Node) index.Slot {
	name := sha1.Sum([]byte(n.Parent.String() + "/" + n.Name))
	return index.Slot{Name: fmt.Sprintf("%saside.%s.%x.swap", tree.TempPrefix, n.ID, name[:6])}
}

// aside moves what is at a name out of the way, under a hidden name.
func (a *applier) aside(path string, n index.Node) error {
	at := asideSlot(n)
	info, err := a.r.tree.Rename(a.at(path), tree.At(at.Name), expectNode(n))
	if err != nil {
		return err
	}
	a.asides[at] = n.Slot()
	return a.renamed(n, at, info)
}

// emptyAsides is the steps that end what was moved aside and is there still.
func (a *applier) emptyAsides() (steps []step) {
	for at := range a.asides {
		steps = append(steps, step{placed{Parent: at.Parent, Path: at.Name, Entry: object.Entry{Name: at.Name}}, a.emptyAside})
	}
	return steps
}

// emptyAside ends what was moved aside: a name of a file that got all its names
// otherwise goes, what found no place returns, or gets a name that shows until it
// has its own.
func (a *applier) emptyAside(p placed) error {
	n, ok := a.tx.Get(p.Parent, p.Entry.Name)
	if !ok {
		return nil
	}
	delete(a.waits, p.Path)
	p.Entry = n.Entry
	err := a.remove(p)
	if errors.Is(err, errParentWaits) {
		err = a.putBack(n, a.asides[n.Slot()])
	}
	var broken *indexError
	if err == nil || errors.As(err, &broken) {
		return err
	}
	p, showed := a.show(n, a.asides[n.Slot()])
	if showed != nil {
		return showed
	}
	return a.step(p, err)
}

// putBack returns what was moved aside to where it was, if that is free.
func (a *applier) putBack(n index.Node, slot index.Slot) error {
	path, ok := a.pathOf(slot)
	if _, taken := a.tx.Get(slot.Parent, slot.Name); taken || !ok || slot.Name == "" {
		return errParentWaits
	}
	return a.rename(n, path, slot)
}

// show gives what was moved aside, as it is by now, a name beside the one that it
// had.
func (a *applier) show(n index.Node, was index.Slot) (placed, error) {
	info, err := a.r.tree.Stat(n.Name)
	if err == nil && info.Key != n.Key {
		err = tree.ErrChanged
	}
	if err != nil {
		return placed{}, err
	}
	dir := ""
	if old, ok := a.pathOf(was); ok && was.Name != "" {
		dir, _ = splitPath(old)
	} else {
		was = index.Slot{Name: "recovered"}
	}
	path, err := a.freePath(dir, was.Name, ".moved")
	if err != nil {
		return placed{}, err
	}
	if info, err = a.r.tree.Rename(tree.At(n.Name), a.at(path), tree.Exactly(info)); err != nil {
		return placed{}, err
	}
	n.Uncertain = true // whoever had it open may have changed it
	_, was.Name = splitPath(path)
	if err := a.renamed(n, was, info); err != nil {
		return placed{}, err
	}
	return placed{Parent: was.Parent, Path: path, Entry: withName(n.Entry, was.Name)}, a.r.journal.Found(a.r.name, path)
}

// freePath is a name like another one that nothing has.
func (a *applier) freePath(dir, name, suffix string) (string, error) {
	const count = 4 // bytes
	first := join(dir, name[:min(len(name), object.MaxName-len(suffix)-count)]+suffix)
	for i, path := 2, first; ; i++ {
		_, known := a.tx.Lookup(path)
		_, err := a.r.tree.Stat(path)
		if isAbsent(err) && !known {
			return path, nil
		}
		if err != nil && !isAbsent(err) {
			return "", err
		}
		path = fmt.Sprintf("%s-%d", first, i)
	}
}
