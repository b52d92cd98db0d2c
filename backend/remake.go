package backend

import (
	"errors"

	"github.com/silvermirror/smfs/backend/index"
	"github.com/silvermirror/smfs/backend/object"
)

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
func writeTree(tx *index.Tx, w dirWriter, dir object.FileID, options []byte) (object.TreeID, error) {
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
