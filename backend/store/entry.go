package store

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/silvermirror/smfs/backend/object"
)

const (
	packHeaderSize  = 12
	packTrailerSize = 20
	maxEntryHeader  = 10 + 20
)

// entry is the head of one object in a pack.
type entry struct {
	at   int64 // offset of the entry
	kind object.Type
	size int64    // inflated bytes (of the delta, for deltas)
	data int64    // offset of the deflated bytes
	base int64    // plumbing.OFSDeltaObject: offset of the base
	ref  [20]byte // plumbing.REFDeltaObject: id of the base
}

// packHeader starts a pack of n objects.
func packHeader(n int) []byte {
	return binary.BigEndian.AppendUint32([]byte("PACK\x00\x00\x00\x02"), uint32(n))
}

// parsePackHeader returns the number of objects that the header claims.
func parsePackHeader(b []byte) (int, error) {
	if len(b) < packHeaderSize || string(b[:4]) != "PACK" {
		return 0, fmt.Errorf("%w: not a pack", ErrBadPack)
	}
	if v := binary.BigEndian.Uint32(b[4:]); v != 2 {
		return 0, fmt.Errorf("%w: version %d", ErrBadPack, v)
	}
	return int(binary.BigEndian.Uint32(b[8:])), nil
}

// appendEntryHeader appends type and size as packs hold them.
func appendEntryHeader(b []byte, kind object.Type, size int64) []byte {
	c := byte(kind)<<4 | byte(size&15)
	for size >>= 4; size > 0; size >>= 7 {
		b = append(b, c|0x80)
		c = byte(size & 0x7f)
	}
	return append(b, c)
}

// readEntry reads the head of the entry at an offset below end.
func readEntry(r io.ReaderAt, at, end int64) (entry, error) {
	var buf [maxEntryHeader + 10]byte
	n, err := r.ReadAt(buf[:min(int64(len(buf)), max(end-at, 0))], at)
	if n == 0 && err != nil {
		return entry{}, fmt.Errorf("%w: entry at %d: %w", ErrBadPack, at, err)
	}
	e, used, ok := parseEntry(buf[:n])
	if !ok {
		return entry{}, fmt.Errorf("%w: entry at %d", ErrBadPack, at)
	}
	e.at, e.data = at, at+int64(used)
	if e.kind == plumbing.OFSDeltaObject {
		if e.base = at - e.base; e.base < packHeaderSize || e.base >= at {
			return entry{}, fmt.Errorf("%w: entry at %d: its base lies outside", ErrBadPack, at)
		}
	}
	return e, nil
}

func parseEntry(b []byte) (e entry, used int, ok bool) {
	if len(b) == 0 {
		return e, 0, false
	}
	e.kind = object.Type(b[0] >> 4 & 7)
	size, shift := uint64(b[0]&15), 4
	for used = 1; b[used-1]&0x80 != 0; used++ {
		if used == len(b) || shift > 56 {
			return e, 0, false
		}
		size |= uint64(b[used]&0x7f) << shift
		shift += 7
	}
	e.size = int64(size)
	if e.size < 0 {
		return e, 0, false
	}
	switch e.kind {
	case object.TypeCommit, object.TypeTree, object.TypeBlob, object.TypeTag:
		return e, used, true
	case plumbing.REFDeltaObject:
		if len(b) < used+20 {
			return e, 0, false
		}
		e.ref = [20]byte(b[used : used+20])
		return e, used + 20, true
	case plumbing.OFSDeltaObject:
		return parseOffset(e, b, used)
	}
	return e, 0, false
}

// parseOffset reads the distance to a delta's base into e.base.
func parseOffset(e entry, b []byte, used int) (entry, int, bool) {
	for i := used; i < len(b) && i < used+9; i++ {
		if i > used {
			e.base++
		}
		e.base = e.base<<7 | int64(b[i]&0x7f)
		if b[i]&0x80 == 0 {
			return e, i + 1, true
		}
	}
	return e, 0, false
}
