package backend

import (
	"errors"

	"github.com/silvermirror/smfs/backend/index"
	"github.com/silvermirror/smfs/backend/object"
	"github.com/silvermirror/smfs/fs/tree"
)

// fillIndex makes an index that was lost anew, from the head and the disk. What
// the head has and the disk lacks was perhaps never applied, so it counts as
// not on disk yet, not as deleted; what the disk has in an older version, as
// not updated yet, not as edited. All else the scan finds: it reads every file.
func (r *resource) fillIndex(tx *index.Tx) error {
	r.wantScan = true
	err := r.checkRoot()
	f := filler{r: r, tx: tx, trusted: err == nil || errors.Is(err, tree.ErrUnsupported)}
	if err := f.dir("", object.FileID{}, r.headC.Tree); err != nil {
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
	trusted bool // the root is the recorded one: what is missing there is missing
}

// dir records a directory of the head, as far as it is on disk.
func (f *filler) dir(path string, id object.FileID, t object.TreeID) error {
	d, err := f.r.store.Directory(t)
	if err != nil {
		return err
	}
	for _, e := range d.Entries {
		at := join(path, e.Name)
		there, err := f.onDisk(at, &e)
		if err != nil {
			return err
		}
		if !there {
			continue
		}
		if err := f.tx.Put(index.Node{Parent: id, Entry: e, Uncertain: true}); err != nil {
			return err
		}
		if e.Kind == object.Dir {
			if err := f.dir(at, e.ID, e.Tree); err != nil {
				return err
			}
		}
	}
	return nil
}

// onDisk tells whether a path holds an entry. Where that is an older version of
// it, e becomes that one.
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
	if e.Kind != object.File || info.Mtime >= e.Mtime {
		return true, nil
	}
	blob, err := f.r.hashPath(path, info)
	if err == nil && blob != e.Blob && f.r.store.Has(blob) {
		e.Blob, e.Mtime = blob, info.Mtime
	}
	return true, nil
}

// settleDisk makes the tree of the disk again, should an apply have been cut
// short between its steps.
func (r *resource) settleDisk(tx *index.Tx) error {
	if !tx.Apart() {
		return nil
	}
	return r.remakeDisk(tx, tx.Disk())
}

// remakeDisk makes the tree of the disk out of all nodes; like is a tree that
// has its options.
func (r *resource) remakeDisk(tx *index.Tx, like object.TreeID) error {
	batch, err := r.store.NewBatch()
	if err != nil {
		return err
	}
	defer batch.Discard()
	root := &object.Directory{}
	if !like.IsZero() {
		if root, err = batch.Directory(like); err != nil {
			return err
		}
	}
	disk, err := writeTree(tx, batch, object.FileID{}, root.Options)
	if err == nil {
		err = batch.Commit()
	}
	return errors.Join(err, tx.SetDisk(disk))
}

// writeTree writes the tree of one directory of the index, with all below it.
func writeTree(tx *index.Tx, w treeWriter, dir object.FileID, options []byte) (object.TreeID, error) {
	d := &object.Directory{Options: options}
	if err := tx.Children(dir, func(n index.Node) error {
		d.Entries = append(d.Entries, treeEntry(n))
		return nil
	}); err != nil {
		return object.TreeID{}, err
	}
	for i, e := range d.Entries {
		if e.Kind != object.Dir {
			continue
		}
		var err error
		if d.Entries[i].Tree, err = writeTree(tx, w, e.ID, nil); err != nil {
			return object.TreeID{}, err
		}
	}
	return w.PutDirectory(d)
}
