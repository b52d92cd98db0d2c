package index

import (
	"fmt"

	"github.com/silvermirror/smfs/backend/object"
)

// Disk is the tree that the nodes make up: what is on disk, as last committed
// or applied. Zero if there was none, or if it has to be made anew. Whoever
// changes nodes sets it in the same transaction.
func (tx *Tx) Disk() (id object.TreeID) {
	_ = tx.try(func() error {
		v := tx.meta.Get([]byte(metaDisk))
		if v == nil {
			return nil
		}
		if len(v) != len(id) {
			return fmt.Errorf("tree of the disk %x: %w", v, ErrDamaged)
		}
		copy(id[:], v)
		return nil
	})
	return id
}

// SetDisk sets Disk.
func (tx *Tx) SetDisk(id object.TreeID) error {
	return tx.write(func() error { return tx.meta.Put([]byte(metaDisk), id[:]) })
}
