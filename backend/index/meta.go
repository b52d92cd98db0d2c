package index

import (
	"fmt"

	"github.com/silvermirror/smfs/backend/object"
)

// Applied is the commit that the index, and the disk but for pending paths,
// agrees with; zero if there was none.
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

// SetPending remembers that path's newest version is not on disk yet, and that
// what is there comes from base.
func (tx *Tx) SetPending(path string, base object.CommitID) error {
	return tx.write(func() error {
		key := []byte("/" + path) // the root's path is empty, a key must not be
		if tx.pending.Get(key) == nil {
			if err := tx.add(&tx.counts.pending, 1); err != nil {
				return err
			}
		}
		return tx.pending.Put(key, base[:])
	})
}

// ClearPending forgets a pending path; one that is not pending is no error.
func (tx *Tx) ClearPending(path string) error {
	return tx.write(func() error {
		key := []byte("/" + path)
		if tx.pending.Get(key) == nil {
			return nil
		}
		if err := tx.add(&tx.counts.pending, -1); err != nil {
			return err
		}
		return tx.pending.Delete(key)
	})
}

// PendingBase returns the commit that path's bytes on disk come from, if it is
// pending.
func (tx *Tx) PendingBase(path string) (base object.CommitID, ok bool) {
	_ = tx.try(func() error {
		v := tx.pending.Get([]byte("/" + path))
		if v == nil {
			return nil
		}
		ok = true
		return copyCommit(&base, v)
	})
	return base, ok
}

// Pending returns all pending paths with their bases.
func (tx *Tx) Pending() (map[string]object.CommitID, error) {
	all := make(map[string]object.CommitID)
	err := tx.try(func() error {
		return tx.pending.ForEach(func(k, v []byte) error {
			var base object.CommitID
			if err := copyCommit(&base, v); err != nil {
				return err
			}
			all[string(k[1:])] = base
			return nil
		})
	})
	return all, err
}

func copyCommit(id *object.CommitID, v []byte) error {
	if len(v) != len(id) {
		return fmt.Errorf("pending base %x: %w", v, ErrDamaged)
	}
	copy(id[:], v)
	return nil
}
