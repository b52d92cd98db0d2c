package index

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/silvermirror/smfs/backend/object"
	"github.com/silvermirror/smfs/journal"
)

// Disk is the tree that the nodes make up: what is on disk, as last committed
// or applied. Zero if there was none. Whoever changes nodes sets it in the same
// transaction, or says SetApart.
func (tx *Tx) Disk() (id object.TreeID) {
	_ = tx.try(func() error {
		v := tx.meta.get([]byte(metaDisk))
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

// SetDisk sets Disk, which the nodes make up again.
func (tx *Tx) SetDisk(id object.TreeID) error {
	return errors.Join(tx.set(metaApart, nil), tx.set(metaDisk, id[:]))
}

// SetApart says that the nodes are going to change before Disk is set again.
func (tx *Tx) SetApart() error {
	return tx.set(metaApart, []byte{1})
}

// Apart tells whether the nodes may make up another tree than Disk: changing
// them was cut short.
func (tx *Tx) Apart() (apart bool) {
	_ = tx.try(func() error {
		apart = tx.meta.get([]byte(metaApart)) != nil
		return nil
	})
	return apart
}

// SetKept notes that a directory, of that inode, was deleted elsewhere but holds
// files here that are not mirrored: it is no part of the mirror any more. The zero
// key takes the note away.
func (tx *Tx) SetKept(path string, key journal.FileKey) error {
	if key == (journal.FileKey{}) {
		return tx.set(metaKept+path, nil)
	}
	return tx.set(metaKept+path, binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, key.Ino), key.Gen))
}

// Kept is the directory that SetKept noted at that path; zero: none.
func (tx *Tx) Kept(path string) (key journal.FileKey) {
	_ = tx.try(func() error {
		if v := tx.meta.get([]byte(metaKept + path)); len(v) == 16 {
			key = journal.FileKey{Ino: binary.BigEndian.Uint64(v), Gen: binary.BigEndian.Uint64(v[8:])}
		}
		return nil
	})
	return key
}

// SetUnseen notes whether the disk may have changes that only a scan finds: one
// is wanted, or its finds are not all in the journal yet.
func (tx *Tx) SetUnseen(unseen bool) error {
	if !unseen {
		return tx.set(metaUnseen, nil)
	}
	return tx.set(metaUnseen, []byte{1})
}

// Unseen tells what SetUnseen noted last.
func (tx *Tx) Unseen() (unseen bool) {
	_ = tx.try(func() error {
		unseen = tx.meta.get([]byte(metaUnseen)) != nil
		return nil
	})
	return unseen
}

// SetHeld notes whether what a scan found missing was held back: whether it is
// meant, is still to be said.
func (tx *Tx) SetHeld(held bool) error {
	if !held {
		return tx.set(metaHeld, nil)
	}
	return tx.set(metaHeld, []byte{1})
}

// Held tells what SetHeld noted last.
func (tx *Tx) Held() (held bool) {
	_ = tx.try(func() error {
		held = tx.meta.get([]byte(metaHeld)) != nil
		return nil
	})
	return held
}
