package store

import (
	"fmt"

	"github.com/pjbgf/sha1cd"

	"github.com/silvermirror/smfs/backend/object"
)

// safeHash computes the id of an object whose content somebody else chose: it
// refuses content made to collide.
type safeHash struct{ h sha1cd.CollisionResistantHash }

func newSafeHash(kind object.Type, size int64) safeHash {
	h := sha1cd.New().(sha1cd.CollisionResistantHash)
	h.Write(object.Header(kind, size))
	return safeHash{h}
}

// safeID is the id of such an object that is in memory.
func safeID(kind object.Type, data []byte) ([20]byte, error) {
	h := newSafeHash(kind, int64(len(data)))
	h.Write(data)
	return h.id()
}

func (s safeHash) Write(b []byte) (int, error) { return s.h.Write(b) }

func (s safeHash) id() ([20]byte, error) {
	sum, collides := s.h.CollisionResistantSum(nil)
	if collides {
		return [20]byte{}, fmt.Errorf("%w: content made to collide in SHA-1", object.ErrInvalid)
	}
	return [20]byte(sum), nil
}
