package store

import (
	"bytes"
	"crypto/sha1"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"os"
	"sort"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/silvermirror/smfs/backend/object"
)

// Errors about packs and the objects in them.
var (
	ErrBadPack  = errors.New("malformed pack")
	ErrBadIdx   = errors.New("malformed pack index")
	ErrTooLarge = errors.New("object is too large")
)

var errNoBase = errors.New("base of a delta is not in its pack")

const (
	// maxDeltaDepth is the longest chain that git itself makes.
	maxDeltaDepth = 4095
	// maxDelta bounds objects held in memory while a chain is resolved. git
	// does not make deltas of files above 512 MiB.
	maxDelta = 512 << 20
)

// directory maps ids to the entries of one pack.
type directory interface {
	find(id [20]byte) (idxEntry, bool)
}

// pack reads objects out of one pack, finished or not. It is safe for
// concurrent use. A pack that leaves the store's list stays open for those who
// still read from it: the runtime closes it with the last reference.
type pack struct {
	codec *codec
	r     io.ReaderAt
	end   func() int64 // offset behind the last entry
	dir   directory
	depth int   // longest delta chain; 0: maxDeltaDepth
	limit int64 // bytes of an object in a chain; 0: maxDelta

	// Of finished packs:
	name string // path without ".pack"
	idx  *idx
	size int64
	file *os.File

	damaged bool // only a part of it could be indexed
}

// openPack opens a finished pack with its index x, which it reads where x is
// nil. An error that wraps ErrBadIdx or os.ErrNotExist may be cured by
// rebuildIdx.
func openPack(c *codec, name string, x *idx) (*pack, error) {
	f, err := os.Open(name + ".pack")
	if err != nil {
		return nil, err
	}
	p, err := newPack(c, name, f, x)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("open pack %s: %w", name, err)
	}
	return p, nil
}

func newPack(c *codec, name string, f *os.File, x *idx) (*pack, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	p := &pack{codec: c, r: f, file: f, name: name, size: info.Size(), idx: x}
	if p.size < packHeaderSize+packTrailerSize {
		return nil, fmt.Errorf("%w: %d bytes", ErrBadPack, p.size)
	}
	p.end = func() int64 { return p.size - packTrailerSize }
	if x == nil {
		if p.idx, err = openIdx(name + ".idx"); err != nil {
			return nil, err
		}
	}
	p.dir = p.idx
	return p, p.matchIdx()
}

// matchIdx compares the pack's header and trailer with the index.
func (p *pack) matchIdx() error {
	var head [packHeaderSize]byte
	var sum [packTrailerSize]byte
	if _, err := p.r.ReadAt(head[:], 0); err != nil {
		return err
	}
	if _, err := p.r.ReadAt(sum[:], p.size-packTrailerSize); err != nil {
		return err
	}
	if sum != p.idx.mem.PackfileChecksum {
		return fmt.Errorf("%w: it is for another pack", ErrBadIdx)
	}
	if n, err := parsePackHeader(head[:]); err != nil || n != p.idx.count {
		return fmt.Errorf("%w: %d objects where the pack has %d", ErrBadIdx, p.idx.count, n)
	}
	return nil
}

// kind resolves the type of the object at an offset.
func (p *pack) kind(at int64) (object.Type, error) {
	for range p.maxDepth() {
		e, err := readEntry(p.r, at, p.end())
		if err != nil {
			return 0, err
		}
		if !e.kind.IsDelta() {
			return e.kind, nil
		}
		if at, err = p.base(e); err != nil {
			return 0, err
		}
	}
	return 0, fmt.Errorf("%w: delta chain at %d is too long", ErrBadPack, at)
}

func (p *pack) maxDepth() int {
	if p.depth > 0 {
		return p.depth + 1
	}
	return maxDeltaDepth + 1
}

func (p *pack) maxInChain() int64 {
	if p.limit > 0 {
		return p.limit
	}
	return maxDelta
}

func (p *pack) base(e entry) (int64, error) {
	if e.kind == plumbing.OFSDeltaObject {
		return e.base, nil
	}
	x, ok := p.dir.find(e.ref)
	if !ok {
		return 0, fmt.Errorf("%w: %x", errNoBase, e.ref)
	}
	return x.off, nil
}

// read returns a whole object of at most max bytes, its deltas resolved. The
// content is not yet verified.
func (p *pack) read(at, max int64) (object.Type, []byte, error) {
	var deltas [][]byte
	budget := p.maxInChain()
	for range p.maxDepth() {
		e, err := readEntry(p.r, at, p.end())
		if err != nil {
			return 0, nil, err
		}
		if !e.kind.IsDelta() {
			data, err := p.resolve(e, max, deltas)
			return e.kind, data, err
		}
		if budget -= e.size; budget < 0 {
			return 0, nil, fmt.Errorf("%w: deltas of more than %d bytes", ErrTooLarge, p.maxInChain())
		}
		d, err := p.inflate(e)
		if err != nil {
			return 0, nil, err
		}
		deltas = append(deltas, d)
		if at, err = p.base(e); err != nil {
			return 0, nil, err
		}
	}
	return 0, nil, fmt.Errorf("%w: delta chain at %d is too long", ErrBadPack, at)
}

// resolve reads the object at the bottom of a chain and applies the deltas, the
// last read first.
func (p *pack) resolve(e entry, max int64, deltas [][]byte) ([]byte, error) {
	limit := max
	if len(deltas) > 0 {
		limit = p.maxInChain()
	}
	if e.size > limit {
		return nil, fmt.Errorf("%w: %d bytes, more than %d", ErrTooLarge, e.size, limit)
	}
	data, err := p.inflate(e)
	for i := len(deltas) - 1; i >= 0 && err == nil; i-- {
		if i == 0 {
			limit = max
		}
		data, err = applyDelta(data, deltas[i], limit)
	}
	return data, err
}

func (p *pack) inflate(e entry) ([]byte, error) {
	f, err := p.codec.inflate(p.r, e.data, p.end())
	if err != nil {
		return nil, err
	}
	defer f.close()
	return f.all(e.size)
}

// open streams the object at an offset. Its reader verifies the content: it
// ends in io.EOF only if all bytes were those of id, else in ErrCorrupt.
func (p *pack) open(id [20]byte, at int64) (object.Type, int64, io.ReadCloser, error) {
	e, err := readEntry(p.r, at, p.end())
	if err != nil {
		return 0, 0, nil, err
	}
	if e.kind.IsDelta() {
		kind, data, err := p.read(at, maxDelta)
		if err == nil {
			err = verify(kind, id, data)
		}
		return kind, int64(len(data)), io.NopCloser(bytes.NewReader(data)), err
	}
	f, err := p.codec.inflate(p.r, e.data, p.end())
	if err != nil {
		return 0, 0, nil, err
	}
	h := sha1.New()
	h.Write(object.Header(e.kind, e.size))
	return e.kind, e.size, &verifyingReader{in: f, hash: h, left: e.size, id: id, kind: e.kind}, nil
}

func verify(kind object.Type, id [20]byte, data []byte) error {
	if object.Hash(kind, data) != id {
		return corrupt(kind, id, errors.New("its content does not match its id"))
	}
	return nil
}

// verifyingReader is what OpenBlob returns. It is for one goroutine.
type verifyingReader struct {
	in   *inflater
	hash hash.Hash
	left int64
	id   [20]byte
	kind object.Type
	err  error
}

func (v *verifyingReader) Read(b []byte) (int, error) {
	if v.err != nil {
		return 0, v.err
	}
	if v.left == 0 {
		return 0, v.finish()
	}
	n, err := v.in.Read(b[:min(int64(len(b)), v.left)])
	v.hash.Write(b[:n])
	v.left -= int64(n)
	if err != nil && (v.left > 0 || !errors.Is(err, io.EOF)) {
		v.err = corrupt(v.kind, v.id, noEOF(err))
		return n, v.err
	}
	return n, nil
}

func (v *verifyingReader) finish() error {
	v.err = io.EOF
	if err := v.in.end(); err != nil {
		v.err = corrupt(v.kind, v.id, err)
	} else if [20]byte(v.hash.Sum(nil)) != v.id {
		v.err = corrupt(v.kind, v.id, errors.New("its content does not match its id"))
	}
	return v.err
}

func (v *verifyingReader) Close() error {
	if v.in != nil {
		v.in.close()
		v.in, v.err = nil, os.ErrClosed
	}
	return nil
}

// rawEnd is the offset behind the entry at off.
func (p *pack) rawEnd(off int64) int64 {
	order := p.idx.byOffset()
	i := sort.Search(len(order), func(i int) bool { return p.idx.at(int(order[i])).off > off })
	if i < len(order) {
		return p.idx.at(int(order[i])).off
	}
	return p.end()
}

// copyRaw writes the raw bytes [from, from+n) to w and returns their CRC.
func (p *pack) copyRaw(w io.Writer, from, n int64, buf []byte) (crc uint32, err error) {
	for n > 0 {
		b := buf[:min(int64(len(buf)), n)]
		if _, err := p.r.ReadAt(b, from); err != nil {
			return crc, fmt.Errorf("read pack %s: %w", p.name, noEOF(err))
		}
		crc = crc32.Update(crc, crc32.IEEETable, b)
		if _, err := w.Write(b); err != nil {
			return crc, err
		}
		from, n = from+int64(len(b)), n-int64(len(b))
	}
	return crc, nil
}
