package store

import (
	"encoding/binary"
	"fmt"

	"github.com/go-git/go-git/v5/plumbing/format/packfile"
)

// applyDelta makes an object of at most limit bytes from its base and a git
// delta. The limit is checked before anything is allocated. (A copy of our own
// was twice as fast, but to inflate and hash the base takes longer than either.)
func applyDelta(base, delta []byte, limit int64) ([]byte, error) {
	_, n := binary.Uvarint(delta) // the size of the base, which PatchDelta compares
	size, m := binary.Uvarint(delta[max(n, 0):])
	if n <= 0 || m <= 0 {
		return nil, fmt.Errorf("%w: delta without its sizes", ErrBadPack)
	}
	if size > uint64(limit) {
		return nil, fmt.Errorf("%w: delta makes more than %d bytes", ErrTooLarge, limit)
	}
	data, err := packfile.PatchDelta(base, delta)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadPack, err)
	}
	return data, nil
}
