package backend

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/silvermirror/smfs/backend/chunk"
	"github.com/silvermirror/smfs/backend/index"
	"github.com/silvermirror/smfs/backend/object"
	"github.com/silvermirror/smfs/fs/tree"
)

// add puts an entry at a name that did not have it.
func (a *applier) add(p placed) error {
	slot := index.Slot{Parent: p.Parent, Name: p.Entry.Name}
	path, ok := a.pathOf(slot)
	if !ok {
		return errParentWaits
	}
	cur, had := a.tx.Get(slot.Parent, slot.Name)
	if had && cur.ID == p.Entry.ID && cur.Kind == p.Entry.Kind {
		return a.update(path, cur, p.Entry)
	}
	from, linked := a.source(p.Entry)
	if had && (from != nil || p.Entry.Kind == object.Dir || cur.Kind == object.Dir || a.added[cur.ID]) {
		if err := a.clear(path, cur); err != nil {
			return err
		}
		had = false
	}
	if !had && (from != nil || p.Entry.Kind != object.Dir) {
		if err := a.clearKept(path); err != nil {
			return err
		}
	}
	switch {
	case from != nil && linked:
		return a.link(path, slot, *from, p.Entry)
	case from != nil:
		return a.move(path, slot, *from, p.Entry)
	case had:
		a.r.untag(a.tx, cur)
		return a.create(path, slot, p.Entry, &cur)
	}
	return a.create(path, slot, p.Entry, nil)
}

// create makes a new file, directory or link; over, if not nil, is the file
// that it replaces.
func (a *applier) create(path string, slot index.Slot, e object.Entry, over *index.Node) error {
	var info tree.Info
	var err error
	var adopted bool
	if over != nil {
		err = a.sure(path, *over)
	}
	switch {
	case err != nil:
	case e.Kind == object.Dir:
		info, err = a.r.tree.Mkdir(a.at(path), e.Mode|0o700)
		if adopted = errors.Is(err, tree.ErrChanged); adopted {
			info, err = a.adoptDir(path, e.ID)
		}
	case e.Kind == object.Symlink:
		info, err = a.symlink(path, e, over)
	default:
		info, err = a.write(path, e, over)
	}
	if err != nil {
		if same, ok := a.alreadyThere(path, e); ok {
			info, err = same, nil
		}
	}
	if err != nil {
		return err
	}
	if err := a.record(slot, e, info); err != nil {
		return err
	}
	if e.Kind == object.Dir {
		a.modes = append(a.modes, laterMode{slot, e.Mode})
	}
	if adopted {
		return a.walkLater(path, slot)
	}
	if over == nil {
		return nil
	}
	return a.restatAll(*over) // it has a name less
}

// adoptDir takes a directory that is there already: two nodes made it, or an
// apply before this one. One that the index knows elsewhere has moved here.
func (a *applier) adoptDir(path string, id object.FileID) (tree.Info, error) {
	info, err := a.r.tree.StatIn(a.at(path))
	if err == nil && (!isDir(info) || a.isAnother(info, id)) {
		err = tree.ErrChanged
	}
	return info, err
}

// walkLater has the committer find what is in a directory that was adopted.
func (a *applier) walkLater(path string, slot index.Slot) error {
	n, ok := a.tx.Get(slot.Parent, slot.Name)
	if !ok {
		return nil
	}
	n.Uncertain = true
	if err := a.put(n); err != nil {
		return err
	}
	return a.r.journal.Found(a.r.name, path)
}

// alreadyThere tells whether the name already is what it should become, as
// after a crash between an apply and its index.
func (a *applier) alreadyThere(path string, e object.Entry) (tree.Info, bool) {
	info, err := a.r.tree.StatIn(a.at(path))
	if err != nil {
		return info, false
	}
	if kind, ok := kindOf(info); !ok || kind != e.Kind || kind == object.Dir || a.isAnother(info, e.ID) {
		return info, false
	}
	content, err := a.r.hashPath(path, info)
	if err != nil || content.Blob != e.Blob {
		return info, false
	}
	if e.Kind == object.Symlink {
		return info, info.Mtime == e.Mtime
	}
	x, _, err := a.r.xattrs(path)
	return info, err == nil && sameXattrs(x, e.Xattrs) && info.Mtime == e.Mtime && mirroredMode(info.Mode, e.Kind) == e.Mode
}

// isAnother tells whether an inode is what the index knows as another file, which
// somebody has moved or linked to where it is now.
func (a *applier) isAnother(info tree.Info, id object.FileID) bool {
	return slices.ContainsFunc(a.tx.ByKey(info.Key), func(slot index.Slot) bool {
		n, ok := a.tx.Get(slot.Parent, slot.Name)
		return ok && n.ID != id
	})
}

func (a *applier) symlink(path string, e object.Entry, over *index.Node) (tree.Info, error) {
	target, err := a.r.store.ReadBlob(e.Blob, maxSymlink)
	if err != nil {
		return tree.Info{}, err
	}
	dir, _ := splitPath(path)
	like, want := replaced(over)
	tmp, err := a.r.tree.NewTempSymlink(dir, string(target), e.Mtime, like)
	if err != nil {
		return tree.Info{}, err
	}
	defer tmp.Discard()
	return a.r.tree.Place(tmp, a.at(path), want)
}

// write places a file's content.
func (a *applier) write(path string, e object.Entry, over *index.Node) (tree.Info, error) {
	content, _, err := a.r.store.OpenFile(chunk.Of(&e))
	if err != nil {
		return tree.Info{}, err
	}
	defer content.Close()
	dir, _ := splitPath(path)
	like, want := replaced(over)
	if like != nil {
		if now, err := a.r.tree.Stat(path); err == nil {
			like = &now // its owner, which the index does not know
		}
	}
	tmp, err := a.r.tree.NewTemp(dir, e.Mode, like)
	if err != nil {
		return tree.Info{}, err
	}
	defer tmp.Discard()
	if _, err := io.Copy(tmp, content); err != nil {
		return tree.Info{}, fmt.Errorf("write %s: %w", path, err)
	}
	if len(e.Xattrs) > 0 {
		if err := tmp.SetXattrs(treeXattrs(e.Xattrs)); err != nil {
			return tree.Info{}, err
		}
	}
	if err := tmp.SetMtime(e.Mtime); err != nil {
		return tree.Info{}, err
	}
	return a.r.tree.Place(tmp, a.at(path), want)
}

// replaced returns what a new file takes its owner from, and what its slot
// must hold.
func replaced(over *index.Node) (*tree.Info, tree.Expect) {
	if over == nil {
		return nil, tree.Absent()
	}
	info := diskInfo(*over)
	return &info, tree.Exactly(info)
}

// change brings an entry that stays at its name up to date.
func (a *applier) change(p placed) error {
	slot := index.Slot{Parent: p.Parent, Name: p.Entry.Name}
	path, ok := a.pathOf(slot)
	if !ok {
		return errParentWaits
	}
	n, ok := a.tx.Get(slot.Parent, slot.Name)
	if !ok || n.ID != p.Entry.ID {
		return a.add(p)
	}
	return a.update(path, n, p.Entry)
}

// update gives the file at path, which is as the index says in n, the content
// and attributes of e.
func (a *applier) update(path string, n index.Node, e object.Entry) error {
	if sameOnDisk(n.Entry, e) {
		mode := n.Mode
		n.Entry = withName(e, n.Name)
		n.Mode = mode // the disk's, which may have bits that are not mirrored
		a.r.retag(n)
		return a.put(n)
	}
	if done, err := a.rejoin(path, n, e); done || err != nil {
		return err
	}
	info, err := a.rewrite(path, n, e)
	if err != nil {
		same, ok := a.alreadyThere(path, e)
		if !ok {
			return err
		}
		info = same
	}
	if err := a.record(n.Slot(), e, info); err != nil {
		return err
	}
	return a.relink(n, e)
}

// sure makes certain that the bytes at a path are those of its node, where the
// stat does not tell: a kernel with coarse times shows no change within the tick
// of another one, so that is waited for. ErrChanged: they are an edit.
func (a *applier) sure(path string, n index.Node) error {
	if n.Kind != object.File || !n.Uncertain {
		return nil
	}
	info, err := a.r.tree.Stat(path)
	if err != nil {
		return err
	}
	if age := a.r.now().Sub(time.Unix(0, info.Ctime)); age >= 0 && age < racy {
		time.Sleep(racy - age) // once: what else is to be applied grows old as well
	}
	content, err := a.r.hashPath(path, info)
	if err != nil {
		return err
	}
	if content.Blob != n.Blob || !sameStat(info, diskInfo(n)) {
		return tree.ErrChanged
	}
	n.Uncertain = false
	return a.put(n)
}

func (a *applier) rewrite(path string, n index.Node, e object.Entry) (tree.Info, error) {
	switch {
	case e.Kind == object.Symlink:
		return a.symlink(path, e, &n)
	case e.Kind == object.Dir || e.Blob == n.Blob:
		var attr tree.Attr
		if mirroredMode(n.Mode, n.Kind) != e.Mode {
			attr.Mode = &e.Mode
		}
		if e.Kind == object.File && e.Mtime != n.Entry.Mtime {
			attr.Mtime = &e.Mtime
		}
		if !sameXattrs(n.Xattrs, e.Xattrs) {
			x := treeXattrs(e.Xattrs)
			attr.Xattrs = &x
		}
		return a.r.tree.SetAttr(a.at(path), expectNode(n), attr)
	}
	if err := a.sure(path, n); err != nil {
		return tree.Info{}, err
	}
	return a.write(path, e, &n)
}

// record puts an entry with the stat it has on disk now.
func (a *applier) record(slot index.Slot, e object.Entry, info tree.Info) error {
	n := index.Node{Parent: slot.Parent, Entry: withName(e, slot.Name), Key: info.Key, Size: info.Size, Ctime: info.Ctime}
	n.Mode = info.Perm()
	if was, ok := a.tx.Get(slot.Parent, slot.Name); ok && e.Kind == object.Dir && was.ID == e.ID {
		n.Uncertain = was.Uncertain // it is still to be walked
	}
	a.r.retag(n)
	return a.put(n)
}

type laterMode struct {
	slot index.Slot
	mode uint32
}

// setModes gives new directories their modes and attributes, now that they are
// filled.
func (a *applier) setModes() error {
	for i := len(a.modes) - 1; i >= 0; i-- {
		n, ok := a.tx.Get(a.modes[i].slot.Parent, a.modes[i].slot.Name)
		path, there := a.pathOf(a.modes[i].slot)
		if !ok || !there {
			continue
		}
		mode := a.modes[i].mode
		attr := tree.Attr{Mode: &mode}
		if len(n.Xattrs) > 0 {
			x := treeXattrs(n.Xattrs)
			attr.Xattrs = &x
		}
		info, err := a.r.tree.SetAttr(a.at(path), expectNode(n), attr)
		if err != nil {
			a.waits[path] = err.Error()
			a.r.report(path, err)
			a.r.retrySoon()
			continue
		}
		n.Mode, n.Ctime = info.Perm(), info.Ctime
		if err := a.put(n); err != nil {
			return err
		}
	}
	return nil
}
