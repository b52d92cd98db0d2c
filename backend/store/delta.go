package store

import (
	"encoding/binary"
	"fmt"
)

// applyDelta makes an object from its base and a git delta. It allocates no
// more than limit bytes.
func applyDelta(base, delta []byte, limit int64) ([]byte, error) {
	from, n := binary.Uvarint(delta)
	if n <= 0 || from != uint64(len(base)) {
		return nil, fmt.Errorf("%w: delta is for another base", ErrBadPack)
	}
	delta = delta[n:]
	size, n := binary.Uvarint(delta)
	if n <= 0 || size > uint64(limit) {
		return nil, fmt.Errorf("%w: delta makes more than %d bytes", ErrTooLarge, limit)
	}
	delta = delta[n:]
	out := make([]byte, 0, size)
	for len(delta) > 0 {
		var piece []byte
		var ok bool
		if delta[0]&0x80 != 0 {
			piece, delta, ok = deltaCopy(base, delta)
		} else {
			n := int(delta[0])
			if ok = n > 0 && len(delta) > n; ok {
				piece, delta = delta[1:1+n], delta[1+n:]
			}
		}
		if !ok || uint64(len(out)+len(piece)) > size {
			return nil, fmt.Errorf("%w: malformed delta", ErrBadPack)
		}
		out = append(out, piece...)
	}
	if uint64(len(out)) != size {
		return nil, fmt.Errorf("%w: delta is cut short", ErrBadPack)
	}
	return out, nil
}

// deltaCopy reads one copy instruction: which of the seven bytes of offset and
// length follow is told by its bits.
func deltaCopy(base, delta []byte) (piece, rest []byte, ok bool) {
	op := delta[0]
	delta = delta[1:]
	var v [7]byte
	for i := range v {
		if op&(1<<i) != 0 {
			if len(delta) == 0 {
				return nil, nil, false
			}
			v[i], delta = delta[0], delta[1:]
		}
	}
	off := uint64(v[0]) | uint64(v[1])<<8 | uint64(v[2])<<16 | uint64(v[3])<<24
	n := uint64(v[4]) | uint64(v[5])<<8 | uint64(v[6])<<16
	if n == 0 {
		n = 1 << 16
	}
	if off+n > uint64(len(base)) {
		return nil, nil, false
	}
	return base[off : off+n], delta, true
}
