package index

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
)

// What bbolt's pages look like (its internal/common).
const (
	pageHeader = 16 // id (8), flags (2), count (2), overflow (4); little-endian, as all
	branchFlag = 0x01
	leafFlag   = 0x02
	listFlag   = 0x10 // of free pages

	branchElem = 16 // pos (4), ksize (4), page (8)
	leafElem   = 16 // flags (4), pos (4), ksize (4), vsize (4)
	bucketElem = 0x01
	bucketHead = 16 // root (8), sequence (8); an inline page follows where the root is 0

	metaBytes   = 64
	metaMagic   = 0xED0CDAED
	metaVersion = 2
	noFreeList  = 1<<64 - 1
)

// fileMeta is one of the two pages that say where all is.
type fileMeta struct {
	pageSize int64
	root     uint64
	free     uint64 // the page of the list of free pages
	end      uint64 // the first page that does not exist
	txid     uint64
}

func readMeta(file io.ReaderAt, at int64) (m fileMeta, ok bool) {
	b := make([]byte, metaBytes)
	if _, err := file.ReadAt(b, at+pageHeader); err != nil {
		return m, false
	}
	sum := fnv.New64a()
	_, _ = sum.Write(b[:56])
	u32, u64 := binary.LittleEndian.Uint32, binary.LittleEndian.Uint64
	m = fileMeta{pageSize: int64(u32(b[8:])), root: u64(b[16:]), free: u64(b[32:]), end: u64(b[40:]), txid: u64(b[48:])}
	ok = u32(b) == metaMagic && u32(b[4:]) == metaVersion && u64(b[56:]) == sum.Sum64()
	return m, ok && m.pageSize >= 1024 && m.pageSize <= 1024<<14 && m.end < 1<<40
}

// newestMeta is the one that bbolt goes by; it opens no file that has none.
func newestMeta(file io.ReaderAt) (m fileMeta, ok bool) {
	m, ok = readMeta(file, 0)
	for i := 0; !ok && i <= 14; i++ {
		m, ok = readMeta(file, 1024<<i)
	}
	if !ok {
		return m, false
	}
	if second, ok := readMeta(file, m.pageSize); ok && second.txid > m.txid {
		m = second
	}
	return m, true
}

// checkFile looks at a file before bbolt does, which maps it and trusts what it
// finds. Where there is no list of free pages bbolt looks for them in all others, in
// a goroutine of its own, where a page that makes no sense ends the process. Nobody
// else has the file open.
func checkFile(file io.ReaderAt, size int64) error {
	m, ok := newestMeta(file)
	if !ok {
		return nil // new, or bbolt says what it is
	}
	if size/m.pageSize < int64(m.end) {
		return fmt.Errorf("file has %d bytes of %d: %w", size, int64(m.end)*m.pageSize, ErrDamaged)
	}
	if m.free != noFreeList {
		return nil
	}
	return checkPages(context.Background(), file, m)
}

// pages is a walk over the pages of a file, each of them once.
type pages struct {
	ctx  context.Context
	file io.ReaderAt
	m    fileMeta
	seen []bool
}

// checkPages reads all pages that the root leads to, and tells the first thing that
// is not as bbolt leaves it: ErrDamaged.
func checkPages(ctx context.Context, file io.ReaderAt, m fileMeta) error {
	p := pages{ctx: ctx, file: file, m: m, seen: make([]bool, m.end)}
	if _, err := p.tree(m.root, nil, nil); err != nil || m.free == noFreeList {
		return err
	}
	return p.free()
}

func bad(id uint64, format string, args ...any) error {
	return fmt.Errorf("page %d: %s: %w", id, fmt.Sprintf(format, args...), ErrDamaged)
}

// read returns a page with those that follow it and belong to it.
func (p *pages) read(id uint64) (page, error) {
	if err := p.ctx.Err(); err != nil {
		return page{}, err
	}
	if id < 2 || id >= p.m.end {
		return page{}, bad(id, "there are %d", p.m.end)
	}
	b, err := p.bytes(id, 1)
	if err != nil {
		return page{}, err
	}
	more := uint64(binary.LittleEndian.Uint32(b[12:]))
	if is := binary.LittleEndian.Uint64(b); is != id {
		return page{}, bad(id, "it says that it is %d", is)
	}
	if more >= p.m.end-id {
		return page{}, bad(id, "it is longer than the file")
	}
	for i := id; i <= id+more; i++ {
		if p.seen[i] {
			return page{}, bad(i, "it is used twice")
		}
		p.seen[i] = true
	}
	if more > 0 {
		if b, err = p.bytes(id, 1+more); err != nil {
			return page{}, err
		}
	}
	return page{id, b}, nil
}

func (p *pages) bytes(id, count uint64) ([]byte, error) {
	b := make([]byte, int64(count)*p.m.pageSize)
	if _, err := p.file.ReadAt(b, int64(id)*p.m.pageSize); err != nil {
		return nil, bad(id, "%v", err)
	}
	return b, nil
}

// tree looks at a page and all below it. Its keys are not less than from, and
// less than to; nil is no bound. It returns the last one.
func (p *pages) tree(id uint64, from, to []byte) (last []byte, err error) {
	at, err := p.read(id)
	if err != nil {
		return nil, err
	}
	if at.flags() == leafFlag {
		return p.leaf(at, from, to)
	}
	if at.flags() != branchFlag || at.count() == 0 {
		return nil, bad(id, "it is no part of a tree")
	}
	last = from
	for i := range at.count() {
		key, below, err := at.branch(i)
		if err == nil {
			err = at.inOrder(i, key, last, to)
		}
		if err != nil {
			return nil, err
		}
		end := to
		if i+1 < at.count() {
			if end, _, err = at.branch(i + 1); err != nil {
				return nil, err
			}
		}
		if last, err = p.tree(below, key, end); err != nil {
			return nil, err
		}
	}
	return last, nil
}

// leaf looks at the keys of a page, and at the buckets in it.
func (p *pages) leaf(at page, from, to []byte) (last []byte, err error) {
	last = from
	for i := range at.count() {
		flags, key, value, err := at.leaf(i)
		if err == nil {
			err = at.inOrder(i, key, last, to)
		}
		if err == nil && flags&bucketElem != 0 {
			err = p.bucket(at.id, value)
		}
		if err != nil {
			return nil, err
		}
		last = key
	}
	return last, nil
}

func (p *pages) bucket(id uint64, value []byte) error {
	if len(value) < bucketHead {
		return bad(id, "a bucket has %d bytes", len(value))
	}
	if root := binary.LittleEndian.Uint64(value); root != 0 {
		_, err := p.tree(root, nil, nil)
		return err
	}
	inline := page{id, value[bucketHead:]}
	if len(inline.b) < pageHeader || inline.flags() != leafFlag {
		return bad(id, "a bucket in it is no tree")
	}
	_, err := p.leaf(inline, nil, nil)
	return err
}

// free looks at the list of free pages: none is in use.
func (p *pages) free() error {
	at, err := p.read(p.m.free)
	if err != nil {
		return err
	}
	if at.flags() != listFlag {
		return bad(at.id, "it is no list of free pages")
	}
	ids, n := at.b[pageHeader:], uint64(at.count())
	if n == 0xffff { // the true number does not fit
		n, ids = binary.LittleEndian.Uint64(ids), ids[8:]
	}
	if n > uint64(len(ids)/8) {
		return bad(at.id, "it lists %d pages", n)
	}
	for i := range n {
		id := binary.LittleEndian.Uint64(ids[8*i:])
		if id < 2 || id >= p.m.end || p.seen[id] {
			return bad(id, "it is listed as free")
		}
		p.seen[id] = true
	}
	return nil
}

// page is one page with its header.
type page struct {
	id uint64
	b  []byte
}

func (p page) flags() uint16 { return binary.LittleEndian.Uint16(p.b[8:]) }
func (p page) count() int    { return int(binary.LittleEndian.Uint16(p.b[10:])) }

// part cuts out what an element at off says is pos bytes behind it.
func (p page) part(off int, pos, size uint32) ([]byte, error) {
	begin := uint64(off) + uint64(pos)
	if begin+uint64(size) > uint64(len(p.b)) {
		return nil, bad(p.id, "an element is longer than it")
	}
	return p.b[begin : begin+uint64(size)], nil
}

func (p page) elem(i, size int) (off int, e []byte, err error) {
	off = pageHeader + i*size
	if off+size > len(p.b) {
		return 0, nil, bad(p.id, "it counts %d elements", p.count())
	}
	return off, p.b[off : off+size], nil
}

func (p page) branch(i int) (key []byte, below uint64, err error) {
	off, e, err := p.elem(i, branchElem)
	if err != nil {
		return nil, 0, err
	}
	key, err = p.part(off, binary.LittleEndian.Uint32(e), binary.LittleEndian.Uint32(e[4:]))
	return key, binary.LittleEndian.Uint64(e[8:]), err
}

func (p page) leaf(i int) (flags uint32, key, value []byte, err error) {
	off, e, err := p.elem(i, leafElem)
	if err != nil {
		return 0, nil, nil, err
	}
	u32 := binary.LittleEndian.Uint32
	pos, ksize, vsize := u32(e[4:]), u32(e[8:]), u32(e[12:])
	if key, err = p.part(off, pos, ksize); err == nil {
		value, err = p.part(off+int(pos)+int(ksize), 0, vsize)
	}
	return u32(e), key, value, err
}

// inOrder compares the key of element i with the one before it and the bound. The
// first may be what leads to the page.
func (p page) inOrder(i int, key, last, to []byte) error {
	order := 1
	if last != nil {
		order = bytes.Compare(key, last)
	}
	if len(key) == 0 || order < 0 || order == 0 && i > 0 || to != nil && bytes.Compare(key, to) >= 0 {
		return bad(p.id, "key %d is out of order", i)
	}
	return nil
}
