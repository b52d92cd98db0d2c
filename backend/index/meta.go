package index

import (
	"fmt"

	"github.com/silvermirror/smfs/backend/object"
)

// Applied is the commit that was last applied; zero if there was none.
func (tx *Tx) Applied() (id object.CommitID) {
	_ = tx.try(func() error {
		v := tx.meta.Get([]byte(metaApplied))
		if v == nil {
			return nil
		}
		if len(v) != len(id) {
			return fmt.Errorf("applied commit %x: %w", v, ErrDamaged)
		}
		copy(id[:], v)
		return nil
	})
	return id
}

// SetApplied sets Applied.
func (tx *Tx) SetApplied(id object.CommitID) error {
	return tx.write(func() error { return tx.meta.Put([]byte(metaApplied), id[:]) })
}
