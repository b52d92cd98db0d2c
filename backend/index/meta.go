package index

import (
	"fmt"

	"github.com/silvermirror/smfs/backend/object"
)

// Applied is the commit that was last applied; zero if there was none.
func (tx *Tx) Applied() (id object.CommitID) {
	_ = tx.try(func() error {
		v := tx.meta.get([]byte(metaApplied))
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

// Next is the commit that the nodes were last committed as. It is durable in
// the store, but the head may not be there yet: whoever opens the index after a
// crash moves it.
func (tx *Tx) Next() (id object.CommitID) {
	_ = tx.try(func() error {
		copy(id[:], tx.meta.get([]byte(metaNext)))
		return nil
	})
	return id
}

// SetNext sets Next.
func (tx *Tx) SetNext(id object.CommitID) error {
	return tx.set(metaNext, id[:])
}

// SetApplied sets Applied.
func (tx *Tx) SetApplied(id object.CommitID) error {
	return tx.set(metaApplied, id[:])
}

// set sets what is stored under a key of the bucket meta; nil: nothing.
func (tx *Tx) set(key string, value []byte) error {
	return tx.try(func() error {
		if value == nil {
			tx.meta.delete([]byte(key))
		} else {
			tx.meta.put([]byte(key), value)
		}
		return nil
	})
}
