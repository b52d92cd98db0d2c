package store

import (
	"context"
	"crypto/sha1"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"github.com/silvermirror/smfs/backend/object"
)

// indexer makes the index of a pack file of which nothing is known or trusted.
// It inflates and hashes every object once, holding no large one in memory.
type indexer struct {
	codec  *codec
	r      io.ReaderAt
	size   int64 // of the file, trailer included
	limits Limits

	entries []idxEntry // deltas have no id until they are resolved
	deltas  []int      // places in entries
	known   map[[20]byte]idxEntry
	left    int64 // bytes that may yet be inflated
	end     int64 // offset behind the last good entry
}

// index fills entries. On error they hold what could be read before it.
func (x *indexer) index(ctx context.Context) (sum [20]byte, err error) {
	x.known = map[[20]byte]idxEntry{}
	x.left = x.limits.Inflated
	if err := x.scan(ctx); err != nil {
		return sum, err
	}
	if x.end != x.size-packTrailerSize {
		return sum, fmt.Errorf("%w: %d bytes behind the last object", ErrBadPack, x.size-packTrailerSize-x.end)
	}
	if sum, err = x.checksums(); err != nil {
		return sum, err
	}
	return sum, x.resolveAll(ctx)
}

func (x *indexer) scan(ctx context.Context) error {
	var head [packHeaderSize]byte
	if x.size < packHeaderSize+packTrailerSize {
		return fmt.Errorf("%w: %d bytes", ErrBadPack, x.size)
	}
	if _, err := x.r.ReadAt(head[:], 0); err != nil {
		return fmt.Errorf("%w: %w", ErrBadPack, err)
	}
	count, err := parsePackHeader(head[:])
	if err != nil {
		return err
	}
	if int64(count) > x.limits.Objects {
		return fmt.Errorf("%w: %d objects, more than %d", ErrLimit, count, x.limits.Objects)
	}
	x.end = packHeaderSize
	for i := range count {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := x.one(); err != nil {
			return fmt.Errorf("object %d of %d: %w", i+1, count, err)
		}
	}
	return nil
}

// one reads the entry at x.end.
func (x *indexer) one() error {
	e, err := readEntry(x.r, x.end, x.size-packTrailerSize)
	if err != nil {
		return err
	}
	if err := x.admit(e); err != nil {
		return err
	}
	f, err := x.codec.inflate(x.r, e.data, x.size-packTrailerSize)
	if err != nil {
		return err
	}
	defer f.close()
	h := newSafeHash(e.kind, e.size)
	n, err := io.Copy(h, io.LimitReader(f, e.size))
	if err != nil || n != e.size {
		return fmt.Errorf("%w: object is cut short: %w", ErrBadPack, errors.Join(err))
	}
	if err := f.end(); err != nil {
		return err
	}
	rec := idxEntry{off: e.at}
	if e.kind.IsDelta() {
		x.deltas = append(x.deltas, len(x.entries))
	} else {
		if rec.id, err = h.id(); err != nil {
			return err
		}
		x.known[rec.id] = rec
	}
	x.entries = append(x.entries, rec)
	x.end = e.data + f.consumed()
	return nil
}

// admit holds an entry's claims against the limits, before anything is read.
func (x *indexer) admit(e entry) error {
	limit := x.limits.ObjectSize
	switch {
	case e.kind.IsDelta():
		limit = min(limit, x.limits.Delta)
	case e.kind == object.TypeCommit:
		limit = object.MaxCommit
	case e.kind == object.TypeTree:
		limit = object.MaxTree
	case e.kind == object.TypeTag && !x.limits.Tags:
		return fmt.Errorf("%w: an annotated tag", ErrBadPack)
	}
	return x.spend(e.size, limit)
}

func (x *indexer) spend(size, limit int64) error {
	if size > limit {
		return fmt.Errorf("%w: %w: object of %d bytes, more than %d", ErrLimit, ErrTooLarge, size, limit)
	}
	if x.left -= size; x.left < 0 {
		return fmt.Errorf("%w: more than %d bytes once inflated", ErrLimit, x.limits.Inflated)
	}
	return nil
}

// checksums verifies the pack's trailer and computes each entry's CRC.
func (x *indexer) checksums() (sum [20]byte, err error) {
	h := sha1.New()
	in := io.TeeReader(io.NewSectionReader(x.r, 0, x.end), h)
	buf := make([]byte, 256<<10)
	if _, err := io.CopyN(io.Discard, in, packHeaderSize); err != nil {
		return sum, err
	}
	for i := range x.entries {
		end := x.end
		if i+1 < len(x.entries) {
			end = x.entries[i+1].off
		}
		c := crc32.NewIEEE()
		if _, err := io.CopyBuffer(c, io.LimitReader(in, end-x.entries[i].off), buf); err != nil {
			return sum, err
		}
		x.entries[i].crc = c.Sum32()
	}
	if _, err := x.r.ReadAt(sum[:], x.end); err != nil {
		return sum, err
	}
	if [20]byte(h.Sum(nil)) != sum {
		return sum, fmt.Errorf("%w: checksum does not match", ErrBadPack)
	}
	return sum, nil
}

// find lets the pack reader follow deltas by id.
func (x *indexer) find(id [20]byte) (idxEntry, bool) {
	e, ok := x.known[id]
	return e, ok
}

// resolveAll finds the ids of deltas. A delta may have as its base one that
// comes later, so it goes round until nothing is left or nothing moves.
func (x *indexer) resolveAll(ctx context.Context) error {
	p := &pack{codec: x.codec, r: x.r, dir: x, depth: x.limits.DeltaDepth, limit: x.limits.Delta}
	p.end = func() int64 { return x.size - packTrailerSize }
	for len(x.deltas) > 0 {
		var waiting []int
		for _, i := range x.deltas {
			if err := ctx.Err(); err != nil {
				return err
			}
			ok, err := x.resolve(p, &x.entries[i])
			if err != nil {
				return err
			}
			if !ok {
				waiting = append(waiting, i)
			}
		}
		if len(waiting) == len(x.deltas) {
			return fmt.Errorf("%w: the base of a delta is not in it", ErrBadPack)
		}
		x.deltas = waiting
	}
	return nil
}

func (x *indexer) resolve(p *pack, rec *idxEntry) (bool, error) {
	kind, data, err := p.read(rec.off, x.limits.Delta)
	if errors.Is(err, errNoBase) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if kind == object.TypeTag && !x.limits.Tags {
		return false, fmt.Errorf("%w: an annotated tag", ErrBadPack)
	}
	if err := x.spend(int64(len(data)), x.limits.Delta); err != nil {
		return false, err
	}
	if rec.id, err = safeID(kind, data); err != nil {
		return false, err
	}
	x.known[rec.id] = *rec
	return true, nil
}

// rebuildIdx makes the index of a pack in the store again. Of a pack that is
// damaged itself it keeps what lies before the damage, and returns both.
func (s *Store) rebuildIdx(name string) (*pack, error) {
	f, err := os.Open(name + ".pack")
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	x := &indexer{codec: s.codec, r: f, size: info.Size(), limits: noLimits()}
	sum, damage := x.index(context.Background())
	if damage != nil {
		return s.partialPack(name, f, x), fmt.Errorf("%w: %w", ErrDamaged, damage)
	}
	f.Close()
	made := newIdx(x.entries, sum)
	if err := s.replaceIdx(name, made.encode()); err != nil {
		return nil, err
	}
	return openPack(s.codec, name, made)
}

func (s *Store) replaceIdx(name string, data []byte) error {
	temp := s.tempPath("idx")
	if err := writeFile(s.disk, temp, data, true); err != nil {
		return err
	}
	if err := s.disk.rename(temp, name+".idx"); err != nil {
		return err
	}
	return s.disk.syncDir(s.packDir())
}

// partialPack is a reader for the part of a damaged pack that was indexed. Its
// index stays in memory.
func (s *Store) partialPack(name string, f *os.File, x *indexer) *pack {
	var whole []idxEntry
	for _, e := range x.entries {
		if e.id != ([20]byte{}) {
			whole = append(whole, e)
		}
	}
	p := &pack{codec: s.codec, r: f, file: f, name: name, size: x.size, damaged: true}
	p.end = func() int64 { return x.size }
	p.idx = newIdx(whole, [20]byte{})
	p.dir = p.idx
	return p
}
