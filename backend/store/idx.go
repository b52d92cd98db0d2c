package store

import (
	"bytes"
	"cmp"
	"crypto/sha1"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
)

// idxEntry is one object of a pack as its index knows it.
type idxEntry struct {
	id  [20]byte
	off int64
	crc uint32 // IEEE CRC-32 of the entry's raw bytes
}

const (
	idxMagic  = "\xfftOc\x00\x00\x00\x02"
	idxFanout = 8
	idxNames  = idxFanout + 256*4
	largeFlag = 1 << 31
)

// encodeIdx gives the bytes of a version 2 index. It sorts entries by id.
func encodeIdx(entries []idxEntry, pack [20]byte) []byte {
	slices.SortFunc(entries, func(a, b idxEntry) int { return bytes.Compare(a.id[:], b.id[:]) })
	b := append(make([]byte, 0, idxNames+28*len(entries)+40), idxMagic...)
	n := 0
	for k := range 256 {
		for n < len(entries) && int(entries[n].id[0]) == k {
			n++
		}
		b = binary.BigEndian.AppendUint32(b, uint32(n))
	}
	for i := range entries {
		b = append(b, entries[i].id[:]...)
	}
	for i := range entries {
		b = binary.BigEndian.AppendUint32(b, entries[i].crc)
	}
	var large []byte
	for i := range entries {
		off := uint32(entries[i].off)
		if entries[i].off >= largeFlag {
			off = largeFlag | uint32(len(large)/8)
			large = binary.BigEndian.AppendUint64(large, uint64(entries[i].off))
		}
		b = binary.BigEndian.AppendUint32(b, off)
	}
	b = append(b, large...)
	b = append(b, pack[:]...)
	sum := sha1.Sum(b)
	return append(b, sum[:]...)
}

// idx is a parsed index: look-ups go straight to its bytes. It is immutable
// and safe for concurrent use.
type idx struct {
	data  []byte
	count int

	order  sync.Once // fills places
	places []uint32
}

// parseIdx checks all of an index but whether its offsets are right. Reads
// verify content, so a wrong offset is found when it is used.
func parseIdx(data []byte) (*idx, error) {
	if len(data) < idxNames+40 || string(data[:8]) != idxMagic {
		return nil, fmt.Errorf("%w: not an index of version 2", ErrBadIdx)
	}
	if sum := sha1.Sum(data[:len(data)-20]); !bytes.Equal(sum[:], data[len(data)-20:]) {
		return nil, fmt.Errorf("%w: checksum does not match", ErrBadIdx)
	}
	x := &idx{data: data}
	last := uint32(0)
	for k := range 256 {
		n := x.fan(k)
		if n < last {
			return nil, fmt.Errorf("%w: fan-out falls", ErrBadIdx)
		}
		last = n
	}
	x.count = int(last)
	if len(data) < idxNames+28*x.count+40 || (len(data)-idxNames-28*x.count-40)%8 != 0 {
		return nil, fmt.Errorf("%w: %d objects do not fit its length", ErrBadIdx, x.count)
	}
	return x, nil
}

func (x *idx) fan(k int) uint32 { return binary.BigEndian.Uint32(x.data[idxFanout+4*k:]) }

// packSum is the checksum of the pack that the index is for.
func (x *idx) packSum() []byte { return x.data[len(x.data)-40 : len(x.data)-20] }

func (x *idx) id(i int) []byte { return x.data[idxNames+20*i : idxNames+20*i+20] }

// at returns the i-th entry in the order of ids.
func (x *idx) at(i int) idxEntry {
	e := idxEntry{id: [20]byte(x.id(i))}
	e.crc = binary.BigEndian.Uint32(x.data[idxNames+20*x.count+4*i:])
	off := binary.BigEndian.Uint32(x.data[idxNames+24*x.count+4*i:])
	e.off = int64(off)
	if off&largeFlag != 0 {
		large := x.data[idxNames+28*x.count : len(x.data)-40]
		if k := int(off&^largeFlag) * 8; k+8 <= len(large) {
			e.off = int64(binary.BigEndian.Uint64(large[k:]))
		} else {
			e.off = -1 // no such offset: a read of it fails
		}
	}
	return e
}

func (x *idx) find(id [20]byte) (idxEntry, bool) {
	i, ok := x.search(id)
	if !ok {
		return idxEntry{}, false
	}
	return x.at(i), true
}

// search returns the place of id in the order of ids.
func (x *idx) search(id [20]byte) (int, bool) {
	lo, hi := 0, int(x.fan(int(id[0])))
	if id[0] > 0 {
		lo = int(x.fan(int(id[0]) - 1))
	}
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		switch c := bytes.Compare(x.id(mid), id[:]); {
		case c < 0:
			lo = mid + 1
		case c > 0:
			hi = mid
		default:
			return mid, true
		}
	}
	return 0, false
}

// byOffset returns the places of all entries in the order they lie in the
// pack. The slice is shared.
func (x *idx) byOffset() []uint32 {
	x.order.Do(func() {
		x.places = make([]uint32, x.count)
		for i := range x.places {
			x.places[i] = uint32(i)
		}
		slices.SortFunc(x.places, func(a, b uint32) int { return cmp.Compare(x.at(int(a)).off, x.at(int(b)).off) })
	})
	return x.places
}
