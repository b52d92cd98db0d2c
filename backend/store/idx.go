package store

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sort"
	"sync"

	"github.com/go-git/go-git/v5/plumbing/format/idxfile"
)

// idxEntry is one object of a pack as its index knows it.
type idxEntry struct {
	id  [20]byte
	off int64
	crc uint32 // IEEE CRC-32 of the entry's raw bytes
}

const largeFlag = 1 << 31

// idx is the index of a pack. go-git holds, reads and writes it; look-ups go
// straight to its bytes, for go-git's take a lock and remember every answer in
// a map. It is immutable and safe for concurrent use.
type idx struct {
	mem   *idxfile.MemoryIndex
	count int

	order  sync.Once // fills places
	places []uint32
}

// newIdx makes an index. It sorts entries by id. (go-git's own maker drops
// objects that occur twice, and then no longer fits the pack's header.)
func newIdx(entries []idxEntry, pack [20]byte) *idx {
	slices.SortFunc(entries, func(a, b idxEntry) int { return bytes.Compare(a.id[:], b.id[:]) })
	m := &idxfile.MemoryIndex{Version: idxfile.VersionSupported, PackfileChecksum: pack}
	names, crcs, offs := make([]byte, 0, 20*len(entries)), make([]byte, 0, 4*len(entries)), make([]byte, 0, 4*len(entries))
	n := 0
	for k := range m.Fanout {
		from := n
		for ; n < len(entries) && int(entries[n].id[0]) == k; n++ {
			names = append(names, entries[n].id[:]...)
			crcs = binary.BigEndian.AppendUint32(crcs, entries[n].crc)
			off := uint32(entries[n].off)
			if entries[n].off >= largeFlag {
				off = largeFlag | uint32(len(m.Offset64)/8)
				m.Offset64 = binary.BigEndian.AppendUint64(m.Offset64, uint64(entries[n].off))
			}
			offs = binary.BigEndian.AppendUint32(offs, off)
		}
		m.Fanout[k], m.FanoutMapping[k] = uint32(n), -1
		if n > from {
			m.FanoutMapping[k] = len(m.Names)
			m.Names = append(m.Names, names[20*from:20*n])
			m.CRC32 = append(m.CRC32, crcs[4*from:4*n])
			m.Offset32 = append(m.Offset32, offs[4*from:4*n])
		}
	}
	return &idx{mem: m, count: n}
}

// encode gives the bytes of the index. It is for one goroutine at a time.
func (x *idx) encode() []byte {
	b := bytes.NewBuffer(make([]byte, 0, x.size()))
	idxfile.NewEncoder(b).Encode(x.mem) // a bytes.Buffer takes all
	return b.Bytes()
}

// size is the length of the encoded index.
func (x *idx) size() int { return 8 + 4*256 + 28*x.count + len(x.mem.Offset64) + 40 }

func openIdx(path string) (*idx, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readIdx(f)
}

// readIdx checks all of an index but whether its offsets are right. Reads
// verify content, so a wrong offset is found when it is used.
func readIdx(f fs.File) (*idx, error) {
	x := &idx{mem: idxfile.NewMemoryIndex()}
	if err := idxfile.NewDecoder(idxInput{bufio.NewReader(f), f}).Decode(x.mem); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadIdx, noEOF(err))
	}
	x.count = int(x.mem.Fanout[255])
	return x, nil
}

// idxInput tells the decoder the length of the file, against which it holds
// the number of objects before it allocates for them.
type idxInput struct {
	*bufio.Reader
	file fs.File
}

func (in idxInput) Stat() (fs.FileInfo, error) { return in.file.Stat() }

// at returns the i-th entry in the order of ids.
func (x *idx) at(i int) idxEntry {
	k := sort.Search(256, func(k int) bool { return int(x.mem.Fanout[k]) > i })
	return x.entry(byte(k), i)
}

// entry returns the i-th entry, whose id begins with k.
func (x *idx) entry(k byte, i int) idxEntry {
	b := x.mem.FanoutMapping[k]
	i -= x.first(k)
	off := binary.BigEndian.Uint32(x.mem.Offset32[b][4*i:])
	e := idxEntry{[20]byte(x.mem.Names[b][20*i:]), int64(off), binary.BigEndian.Uint32(x.mem.CRC32[b][4*i:])}
	if off&largeFlag != 0 {
		e.off = -1 // where there is no such offset: a read of it fails
		if at := int(off&^largeFlag) * 8; at+8 <= len(x.mem.Offset64) {
			e.off = int64(binary.BigEndian.Uint64(x.mem.Offset64[at:]))
		}
	}
	return e
}

// first is the place of the first id that begins with k.
func (x *idx) first(k byte) int {
	if k == 0 {
		return 0
	}
	return int(x.mem.Fanout[k-1])
}

func (x *idx) find(id [20]byte) (idxEntry, bool) {
	i, ok := x.search(id)
	if !ok {
		return idxEntry{}, false
	}
	return x.entry(id[0], i), true
}

// search returns the place of id in the order of ids.
func (x *idx) search(id [20]byte) (int, bool) {
	b := x.mem.FanoutMapping[id[0]]
	if b < 0 {
		return 0, false
	}
	names := x.mem.Names[b]
	i, ok := sort.Find(len(names)/20, func(i int) int { return bytes.Compare(id[:], names[20*i:20*i+20]) })
	return x.first(id[0]) + i, ok
}

// byOffset returns the places of all entries in the order they lie in the
// pack. The slice is shared.
func (x *idx) byOffset() []uint32 {
	x.order.Do(func() {
		x.places = make([]uint32, x.count)
		offs := make([]int64, x.count)
		for i := range x.places {
			x.places[i], offs[i] = uint32(i), x.at(i).off
		}
		slices.SortFunc(x.places, func(a, b uint32) int { return cmp.Compare(offs[a], offs[b]) })
	})
	return x.places
}
