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
		if p, err := s.Commit(c.Parents[0]); err == nil && d.whole(p.Tree) {
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

// whole tells whether an object is in the packs, and no delta. Of a tree that is
// one, an earlier plan has seen what is below it.
func (d *deltify) whole(id [20]byte) bool {
	_, delta := d.base[id]
	return !delta && d.has(id)
}

func (d *deltify) has(id [20]byte) bool {
	return slices.ContainsFunc(d.packs, func(p *pack) bool { _, ok := p.idx.search(id); return ok })
}

// pair plans for a tree that took the place of another, and for what is below.
func (d *deltify) pair(old, new object.TreeID, depth int) {
	if old == new || depth > maxDirDepth || !d.has(new) {
		return
	}
	a, errA := d.entries(old)
	b, errB := d.entries(new)
	if errA != nil || errB != nil {
		return
	}
	for len(a) > 0 && len(b) > 0 {
		switch c := object.CompareTreeEntries(a[0], b[0]); {
		case c < 0:
			a = a[1:]
			continue
		case c > 0:
			b = b[1:]
			continue
		}
		if a[0].ID != b[0].ID {
			if a[0].IsTree() {
				d.pair(a[0].ID, b[0].ID, depth+1)
			} else {
				d.set(a[0].ID, b[0].ID)
			}
		}
		a, b = a[1:], b[1:]
	}
	d.set(old, new)
}

func (d *deltify) entries(id object.TreeID) ([]object.TreeEntry, error) {
	data, err := d.s.ReadTree(id, object.MaxTree)
	if err != nil {
		return nil, err
	}
	return object.ParseTree(data)
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
	of, target, err := d.s.readAny(rec.id, maxDelta)
	if err != nil {
		return nil
	}
	as, source, err := d.s.readAny(base, maxDelta)
	if err != nil || as != of {
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

// makeDelta tells target by what source has: in git's form.
func makeDelta(source, target []byte) []byte {
	head := 0
	for head < min(len(source), len(target)) && source[head] == target[head] {
		head++
	}
	tail := 0
	for tail < min(len(source), len(target))-head && source[len(source)-1-tail] == target[len(target)-1-tail] {
		tail++
	}
	if middle := len(target) - head - tail; middle > 4<<10 && len(target) <= maxSearch && len(source) <= maxSearch {
		return packfile.DiffDelta(source, target)
	}
	b := binary.AppendUvarint(nil, uint64(len(source)))
	b = binary.AppendUvarint(b, uint64(len(target)))
	b = appendCopy(b, 0, head)
	for rest := target[head : len(target)-tail]; len(rest) > 0; {
		n := min(len(rest), 127)
		b = append(append(b, byte(n)), rest[:n]...)
		rest = rest[n:]
	}
	return appendCopy(b, len(source)-tail, tail)
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
