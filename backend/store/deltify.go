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
	// maxInserted is from how many new bytes on an object of up to maxSearch bytes
	// is searched for what its base has elsewhere.
	maxInserted = 4 << 10
	maxSearch   = 1 << 20
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
	packs []*pack               // in the order in which objects are taken from them
	base  map[[20]byte][20]byte // of deltas, those that are there and stay, and those planned
	cut   map[[20]byte]bool     // deltas that become whole
	under map[[20]byte]int      // the most deltas that end in an object
}

// planDeltas looks at the commits in packs. Of an object that is in several the
// first one's copy counts. Damage is not its matter: what cannot be read is left as
// it is.
func (s *Store) planDeltas(ctx context.Context, packs []*pack) (*deltify, error) {
	d := &deltify{s: s, packs: packs, base: map[[20]byte][20]byte{}, cut: map[[20]byte]bool{}, under: map[[20]byte]int{}}
	var commits []*object.Commit
	for n, p := range packs {
		for i := range p.idx.count {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			rec := p.idx.at(i)
			e, err := readEntry(p.r, rec.off, p.end())
			if err != nil {
				continue
			}
			switch {
			case e.kind.IsDelta() && d.packOf(rec.id) != n:
			case e.kind == object.TypeCommit:
				if c, err := s.Commit(rec.id); err == nil && !c.Foreign() && len(c.Parents) > 0 {
					commits = append(commits, c)
				}
			case e.kind == plumbing.REFDeltaObject:
				d.base[rec.id] = e.ref
			case e.kind == plumbing.OFSDeltaObject:
				if base, ok := p.idAt(e.base); ok {
					d.base[rec.id] = base
				}
			}
		}
	}
	d.cutChains()
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

// cutChains has deltas made whole where chains are too long: of several packs' chains one may
// become, and those that plain git makes are as long as it was told to.
func (d *deltify) cutChains() {
	depth := map[[20]byte]int{} // of those that are settled
	for id := range d.base {
		var chain [][20]byte // that leads to what is settled
		for {
			_, settled := depth[id]
			base, delta := d.base[id]
			if settled || !delta {
				break
			}
			chain, id = append(chain, id), base
		}
		n := depth[id]
		for _, id := range slices.Backward(chain) {
			if n++; n > maxChain {
				delete(d.base, id)
				d.cut[id] = true
				n = 0
			}
			depth[id] = n
		}
	}
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
	return !delta && !d.cut[id] && d.has(id)
}

func (d *deltify) has(id [20]byte) bool { return d.packOf(id) >= 0 }

// packOf is the place of a pack that has an object, or -1.
func (d *deltify) packOf(id [20]byte) int {
	return slices.IndexFunc(d.packs, func(p *pack) bool { _, ok := p.idx.search(id); return ok })
}

// planned tells whether an earlier plan has had a pair: the old one is a delta
// since, or the new one is and both have been in one pack since. To read a delta
// again would take its whole chain.
func (d *deltify) planned(old, new [20]byte) bool {
	_, delta := d.base[new]
	return !d.whole(old) || delta && d.packOf(old) == d.packOf(new)
}

// pair plans for a tree that took the place of another, and for what is below.
func (d *deltify) pair(old, new object.TreeID, depth int) {
	if old == new || depth > maxDirDepth || !d.has(new) || d.planned(old, new) {
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
	if made, err := applyDelta(source, delta, maxDelta); err != nil || !bytes.Equal(made, target) {
		return nil // the original is all there is
	}
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

// makeDelta tells target by what source has: in git's form. What has moved within
// a large object is found where one place has grown or shrunk.
func makeDelta(source, target []byte) []byte {
	tail := commonSuffix(source, target)
	most := min(len(source), len(target)) - tail // where both are compared place by place
	rest := target[:len(target)-tail]
	d := binary.AppendUvarint(nil, uint64(len(source)))
	d = binary.AppendUvarint(d, uint64(len(target)))
	inserted := 0
	for at := 0; at < len(rest); {
		n := commonPrefix(source[min(at, most):most], target[min(at, most):most])
		d = appendCopy(d, at, n)
		at += n
		differ := differAhead(source[min(at, most):most], rest[at:])
		d = appendInsert(d, rest[at:at+differ])
		at, inserted = at+differ, inserted+differ
	}
	if inserted > maxInserted && len(target) <= maxSearch && len(source) <= maxSearch {
		return packfile.DiffDelta(source, target)
	}
	return appendCopy(d, len(source)-tail, tail)
}

// sameAgain is how many bytes have to be the same in one place to be taken from there.
const sameAgain = 16

// differAhead is how many bytes of b come before it and a are the same again for a while.
func differAhead(a, b []byte) int {
	for i := 0; i+sameAgain <= min(len(a), len(b)); i++ {
		if a[i] == b[i] && bytes.Equal(a[i:i+sameAgain], b[i:i+sameAgain]) {
			return i
		}
	}
	return len(b)
}

// block is how much is compared at once.
const block = 4 << 10

func commonPrefix(a, b []byte) (n int) {
	for n+block <= min(len(a), len(b)) && bytes.Equal(a[n:n+block], b[n:n+block]) {
		n += block
	}
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}

func commonSuffix(a, b []byte) (n int) {
	for n+block <= min(len(a), len(b)) && bytes.Equal(a[len(a)-n-block:len(a)-n], b[len(b)-n-block:len(b)-n]) {
		n += block
	}
	for n < min(len(a), len(b)) && a[len(a)-n-1] == b[len(b)-n-1] {
		n++
	}
	return n
}

// appendInsert appends the instructions to insert bytes.
func appendInsert(d, data []byte) []byte {
	for len(data) > 0 {
		n := min(len(data), 127)
		d = append(append(d, byte(n)), data[:n]...)
		data = data[n:]
	}
	return d
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
