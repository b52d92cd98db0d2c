package backend

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/silvermirror/smfs/backend/index"
	"github.com/silvermirror/smfs/backend/object"
	"github.com/silvermirror/smfs/backend/store"
	"github.com/silvermirror/smfs/fs/tree"
)

// fillIndex makes an index that was lost, as in a power loss, anew from the head
// and the disk. It says what is on disk, so that the apply that follows brings
// the disk to the head again, and what only the scan can find are edits.
//
// What the head has and the disk lacks was perhaps never applied: it counts as
// not on disk yet, not as deleted; what the disk has in an older version, as not
// updated yet, not as edited. The more so what was committed or applied after
// the last sync (syncMark): there the disk may also be torn or empty, and have
// names that had been taken away. A later time alone proves an edit there.
func (r *resource) fillIndex(tx *index.Tx) error {
	r.wantScan = true
	if r.isLess() {
		r.hasMended("store", "it may lack newer commits, for it does not know what was synced last: what the files have more is committed again")
		if err := r.goOnFromLess(); err != nil {
			return err
		}
	}
	batch, err := r.store.NewBatch()
	if err != nil {
		return err
	}
	defer batch.Discard()
	err = r.checkRoot()
	f := filler{r: r, tx: tx, batch: batch, trusted: err == nil || errors.Is(err, tree.ErrUnsupported)}
	recent := f.sinceSync()
	if err := f.dir("", object.FileID{}, r.headC.Tree); err != nil {
		return err
	}
	if err := f.takenBack(recent.Removed); err != nil {
		return err
	}
	if err := batch.Commit(); err != nil {
		return err
	}
	if err := r.remakeDisk(tx, r.headC.Tree); err != nil {
		return err
	}
	r.behind = tx.Disk() != r.headC.Tree
	return tx.SetApplied(r.head)
}

type filler struct {
	r       *resource
	tx      *index.Tx
	batch   *store.Batch                    // gets what the disk has and no version is
	trusted bool                            // the root is the recorded one: what is missing there is missing
	recent  map[object.FileID]bool          // changed since the last sync
	trees   map[object.FileID]object.TreeID // of the directories that have moved since, as the head has them
}

// isLess tells whether the store may lack what it had at the last sync. Where it
// lacks the head's trees as well, their reader tells.
func (r *resource) isLess() bool {
	if r.wentBack || r.synced.lost {
		return !r.wentBack
	}
	_, err := diffTrees(r.store, r.synced.tree, r.headC.Tree)
	if err == nil || r.synced.tree.IsZero() {
		return false
	}
	_, err = diffTrees(r.store, object.TreeID{}, r.headC.Tree)
	return err == nil
}

// sinceSync is what has changed between the last sync and the head; nothing where
// that is not known, for then the disk may be newer in all.
func (f *filler) sinceSync() *treeDiff {
	if f.r.wentBack {
		return &treeDiff{}
	}
	d, err := diffTrees(f.r.store, f.r.synced.tree, f.r.headC.Tree)
	if err != nil {
		return &treeDiff{} // the head is damaged, which its reader tells
	}
	f.recent, f.trees = map[object.FileID]bool{}, map[object.FileID]object.TreeID{}
	for _, p := range d.Added {
		f.recent[p.Entry.ID] = true
		f.trees[p.Entry.ID] = p.Entry.Tree
	}
	for _, p := range d.Changed {
		f.recent[p.New.Entry.ID] = true
	}
	return d
}

// dir records a directory of the head, as far as it is on disk.
func (f *filler) dir(path string, id object.FileID, t object.TreeID) error {
	if t.IsZero() {
		return nil
	}
	d, err := f.r.store.Directory(t)
	if err != nil {
		return err
	}
	for _, e := range d.Entries {
		if err := f.entry(join(path, e.Name), id, e); err != nil {
			return err
		}
	}
	return nil
}

// entry records one entry, if a path holds it, with all below it.
func (f *filler) entry(path string, parent object.FileID, e object.Entry) error {
	there, err := f.onDisk(path, &e)
	if err != nil || !there {
		return err
	}
	if err := f.tx.Put(index.Node{Parent: parent, Entry: e, Uncertain: true}); err != nil {
		return err
	}
	if e.Kind != object.Dir {
		return nil
	}
	return f.dir(path, e.ID, e.Tree)
}

// takenBack records what is again at a name that it had left: the parents come
// first. It has to be the version that was there; else it is something new.
func (f *filler) takenBack(removed []placed) error {
	if !f.trusted {
		return nil
	}
	for _, p := range slices.Backward(removed) {
		if _, taken := f.tx.Get(p.Parent, p.Entry.Name); taken {
			continue
		}
		path, err := f.tx.Path(index.Slot{Parent: p.Parent, Name: p.Entry.Name})
		if err != nil {
			continue // its directory is not there
		}
		if p.Entry.Kind == object.Dir && len(f.tx.Slots(p.Entry.ID)) > 0 {
			continue // it is where the head has it, too: this is another one
		}
		same, err := f.holds(path, p.Entry)
		if err != nil {
			return err
		}
		if !same {
			continue
		}
		e := p.Entry
		e.Tree = f.trees[e.ID] // what was in it before the move, the list has too
		f.recent[e.ID] = true
		if err := f.entry(path, p.Parent, e); err != nil {
			return err
		}
	}
	return nil
}

// holds tells whether a path holds just what an entry says.
func (f *filler) holds(path string, e object.Entry) (bool, error) {
	info, err := f.r.tree.Stat(path)
	if err != nil {
		return false, nil // it is not there, or the scan will tell
	}
	if kind, ok := kindOf(info); !ok || kind != e.Kind {
		return false, nil
	}
	if e.Kind == object.Dir {
		return true, nil
	}
	content, err := f.r.hashPath(path, info)
	return err == nil && content.Blob == e.Blob && info.Mtime <= e.Mtime, nil
}

// onDisk tells whether a path holds an entry. Where it has another version, which
// the head's is to replace, e becomes that one.
func (f *filler) onDisk(path string, e *object.Entry) (bool, error) {
	if !f.trusted {
		return true, nil
	}
	info, err := f.r.tree.Stat(path)
	if isAbsent(err) {
		return false, nil
	}
	if err != nil {
		return true, nil // what cannot be looked at is not missing
	}
	if kind, ok := kindOf(info); !ok || kind != e.Kind {
		return false, nil
	}
	if f.r.wentBack {
		return true, nil // another version is an edit, whatever its time
	}
	recent := f.recent[e.ID]
	if recent && e.Kind != object.Symlink {
		if x, _, err := f.r.xattrs(path); err == nil {
			e.Mode, e.Xattrs = info.Perm(), x
		}
	}
	if e.Kind == object.Dir || info.Mtime > e.Mtime || info.Mtime == e.Mtime && !recent {
		return true, nil
	}
	content, err := f.r.hashPath(path, info)
	switch {
	case err != nil:
		return true, nil
	case content.Blob == e.Blob && !recent:
		return true, nil
	case content.Blob == e.Blob:
	case f.r.store.Has(content.Blob):
	case recent:
		f.r.log.Warn("the disk lost a version, which comes back from the store", "resource", f.r.name, "path", path)
		if err := f.r.keep(f.batch, path, info); err != nil {
			return true, err
		}
	default:
		return true, nil
	}
	e.Blob, e.Chunks, e.Mtime = content.Blob, content.List, info.Mtime
	return true, nil
}

// keep puts what a path holds into the store: nothing is replaced that is not
// there.
func (r *resource) keep(batch *store.Batch, path string, info tree.Info) error {
	if info.IsSymlink() {
		target, _, err := r.tree.Readlink(path)
		if err == nil {
			_, err = batch.WriteBlob([]byte(target))
		}
		return err
	}
	file, err := r.tree.OpenFile(path)
	if err != nil {
		return fmt.Errorf("keep what the disk has at %s: %w", path, err)
	}
	defer file.Close()
	if _, err := batch.PutFile(io.LimitReader(file, info.Size), info.Size, object.TreeID{}); err != nil {
		return fmt.Errorf("keep what the disk has at %s: %w", path, err)
	}
	return nil
}
