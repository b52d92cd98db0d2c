package store

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"slices"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"

	"github.com/silvermirror/smfs/backend/object"
)

const (
	// maxChain is how many deltas may have to be applied to read an object. It is
	// within what Receive takes.
	maxChain = 48
	// minDelta is from which size on, in bytes as stored, a delta is tried.
	minDelta = 512
	// maxSearch is up to which size of an object all of it is searched for what
	// its base has; above, only its ends are compared.
	maxSearch = 1 << 20
	// maxDeltified is above which size no delta is made: peers take none of more
	// than 64 MiB (Limits).
	maxDeltified = 32 << 20
)

// deltify is the plan of which objects of packs that are being merged are to be
// stored as what they differ by from the version after them: each file,
// directory and piece of metadata from the one that took its place in a commit.
// The newest version stays whole.
type deltify struct {
	s     *Store
	packs []*pack
	base  map[[20]byte][20]byte // of deltas, those that are there and those planned
	under map[[20]byte]int      // the most deltas that end in an object
}

// planDeltas looks at the commits in packs. Damage is not its matter: what
// cannot be read is left as it is.
func (s *Store) planDeltas(ctx context.Context, packs []*pack) (*deltify, error) {
	d := &deltify{s: s, packs: packs, base: map[[20]byte][20]byte{}, under: map[[20]byte]int{}}
	var commits []*object.Commit
	for _, p := range packs {
		for i := range p.idx.count {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			rec := p.idx.at(i)
			e, err := readEntry(p.r, rec.off, p.end())
			if err != nil {
				continue
			}
			switch e.kind {
			case object.TypeCommit:
				if c, err := s.Commit(rec.id); err == nil && !c.Foreign() && len(c.Parents) > 0 {
					commits = append(commits, c)
				}
			case plumbing.REFDeltaObject:
				d.base[rec.id] = e.ref
			case plumbing.OFSDeltaObject:
				if base, ok := p.idAt(e.base); ok {
					d.base[rec.id] = base
				}
			}
		}
	}
	for id := range d.base {
		d.lengthen(id)
	}
	slices.SortFunc(commits, func(a, b *object.Commit) int { return cmp.Compare(a.Gen, b.Gen) })
	for _, c := range commits {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if p, err := s.Commit(c.Parents[0]); err == nil {
			d.pair(p.Tree, c.Tree, 0)
		}
	}
	return d, nil
}

// lengthen counts a delta in what its bases carry.
func (d *deltify) lengthen(id [20]byte) {
	for n := d.under[id]; ; {
		base, ok := d.base[id]
		if n++; !ok || n <= d.under[base] {
			return
		}
		d.under[base], id = n, base
	}
}

// whole tells whether an object is in the packs, and no delta.
func (d *deltify) whole(id [20]byte) bool {
	_, delta := d.base[id]
	return !delta && d.has(id)
}

func (d *deltify) has(id [20]byte) bool {
	return slices.ContainsFunc(d.packs, func(p *pack) bool { _, ok := p.idx.search(id); return ok })
}

// pair plans for a tree that took the place of another, and for what is below. Of
// an old one that is a delta an earlier plan has seen all of that: to read it again
// would take its whole chain.
func (d *deltify) pair(old, new object.TreeID, depth int) {
	if old == new || depth > maxDirDepth || !d.whole(old) || !d.has(new) {
		return
	}
	a, errA := d.s.ReadTree(old, object.MaxTree)
	b, errB := d.s.ReadTree(new, object.MaxTree)
	if errA != nil || errB != nil {
		return
	}
	_ = object.ReplacedEntries(a, b, func(x, y object.TreeEntry) {
		if x.IsTree() {
			d.pair(x.ID, y.ID, depth+1)
		} else {
			d.set(x.ID, y.ID)
		}
	})
	d.set(old, new)
}

// set plans to store an object as a delta of another.
func (d *deltify) set(old, new [20]byte) {
	if !d.whole(old) || !d.has(new) {
		return
	}
	chain := 1
	for id := new; ; chain++ { // it must not end in the old one
		if id == old {
			return
		}
		base, ok := d.base[id]
		if !ok {
			break
		}
		id = base
	}
	if d.under[old]+chain > maxChain {
		return
	}
	d.base[old] = new
	d.lengthen(old)
}

// entry makes the pack entry of an object, as a delta if that is planned and
// pays: nil, where the object is to be copied as it is.
func (d *deltify) entry(rec idxEntry, stored int64, kind object.Type) []byte {
	base, planned := d.base[rec.id]
	if !planned || kind.IsDelta() || stored < minDelta {
		return nil
	}
	target, err := d.read(rec.id, kind)
	if err != nil {
		return nil
	}
	source, err := d.read(base, kind)
	if err != nil {
		return nil
	}
	if len(source) > maxDeltified || len(target) > maxDeltified {
		return nil
	}
	delta := makeDelta(source, target)
	var out bytes.Buffer
	out.Write(appendEntryHeader(nil, plumbing.REFDeltaObject, int64(len(delta))))
	out.Write(base[:])
	d.s.codec.deflate(&out, delta)
	if int64(out.Len()) > stored/2 {
		return nil
	}
	return out.Bytes()
}

func (d *deltify) read(id [20]byte, kind object.Type) ([]byte, error) {
	if kind == object.TypeTree { // some are in memory
		return d.s.ReadTree(id, object.MaxTree)
	}
	return d.s.ReadBlob(id, maxDelta)
}

// makeDelta tells target by what source has: in git's form.
func makeDelta(source, target []byte) []byte {
	const block = 4 << 10
	most := min(len(source), len(target))
	head := 0
	for head+block <= most && bytes.Equal(source[head:head+block], target[head:head+block]) {
		head += block
	}
	for head < most && source[head] == target[head] {
		head++
	}
	a, b := source[head:], target[head:]
	for len(a) >= block && len(b) >= block && bytes.Equal(a[len(a)-block:], b[len(b)-block:]) {
		a, b = a[:len(a)-block], b[:len(b)-block]
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	tail := len(target) - head - len(b)
	if len(b) > block && len(target) <= maxSearch && len(source) <= maxSearch {
		return packfile.DiffDelta(source, target)
	}
	d := binary.AppendUvarint(nil, uint64(len(source)))
	d = binary.AppendUvarint(d, uint64(len(target)))
	d = appendCopy(d, 0, head)
	for len(b) > 0 {
		n := min(len(b), 127)
		d = append(append(d, byte(n)), b[:n]...)
		b = b[n:]
	}
	return appendCopy(d, len(source)-tail, tail)
}

// appendCopy appends the instructions to copy n bytes of the source.
func appendCopy(b []byte, from, n int) []byte {
	for n > 0 {
		k := min(n, 1<<16) // what all versions of git read
		at := len(b)
		b = append(b, 0x80)
		for i := range 4 {
			if c := byte(from >> (8 * i)); c != 0 {
				b[at] |= 1 << i
				b = append(b, c)
			}
		}
		for i := range 2 {
			if c := byte(k >> (8 * i)); c != 0 { // a size of 0 is 1<<16
				b[at] |= 0x10 << i
				b = append(b, c)
			}
		}
		from, n = from+k, n-k
	}
	return b
}
