package backend

import (
	"context"
	"fmt"

	"github.com/silvermirror/smfs/backend/index"
	"github.com/silvermirror/smfs/backend/object"
	"github.com/silvermirror/smfs/tags"
)

// indexFaults lists what is wrong with the index in itself, and whether its nodes
// make up another tree than it says.
func (r *resource) indexFaults(ctx context.Context) (faults []string, err error) {
	err = r.index.Check(ctx, func(text string) { faults = append(faults, text) })
	if err != nil || len(faults) > 0 {
		return faults, err
	}
	err = r.index.View(func(tx *index.Tx) error {
		disk := tx.Disk()
		if tx.Apart() || disk.IsZero() {
			return nil // an apply is under way, or nothing was committed yet
		}
		recorded, err := r.store.Directory(disk)
		if err != nil {
			return nil // the store's matter
		}
		made, err := writeTree(tx, hasher{}, object.FileID{}, recorded.Options)
		if err != nil {
			faults = append(faults, fmt.Sprintf("its names make up no tree: %v", err))
		} else if made != disk {
			faults = append(faults, fmt.Sprintf("its names make up the tree %s, not %s as it says", made, disk))
		}
		return nil
	})
	return faults, err
}

// hasher tells the ids of directories and writes nothing.
type hasher struct{}

func (h hasher) PutDirectory(d *object.Directory) (object.TreeID, error) {
	return object.EncodeDirectory(d, h)
}

func (hasher) WriteTree(data []byte) (object.TreeID, error) {
	return object.TreeID(object.Hash(object.TypeTree, data)), nil
}

func (hasher) WriteBlob(data []byte) (object.BlobID, error) {
	return object.BlobID(object.Hash(object.TypeBlob, data)), nil
}

// tagFaults lists the files whose tags in memory are not those of the index, which
// makes up the tree on disk, and with mend sets them right. The worker's.
func (r *resource) tagFaults(mend bool) (faults []string, err error) {
	is := tags.NewIndex()
	err = r.index.View(func(tx *index.Tx) error {
		if err := loadTags(tx, is); err != nil {
			return err
		}
		for _, f := range is.Differences(r.tagged) {
			path := "a file that is gone"
			if slots := tx.Slots(object.FileID(f)); len(slots) > 0 {
				if p, err := tx.Path(slots[0]); err == nil {
					path = r.mirrorPath(p)
				}
			}
			faults = append(faults, fmt.Sprintf("%s has the tags %q, and %q in the view", path, is.Tags(f), r.tagged.Tags(f)))
			if mend {
				r.tagged.Set(f, is.Tags(f))
			}
		}
		return nil
	})
	if mend && len(faults) > 0 {
		r.generation.Add(1)
	}
	return faults, err
}
