package merge

import (
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/silvermirror/smfs/backend/object"
	"github.com/silvermirror/smfs/tags"
)

// branch is a tree that can be changed.
type branch struct {
	object.Entry
	kids map[string]*branch // directories
}

func (b *branch) clone() *branch {
	c := &branch{Entry: b.Entry}
	if b.kids != nil {
		c.kids = make(map[string]*branch, len(b.kids))
		for name, k := range b.kids {
			c.kids[name] = k.clone()
		}
	}
	return c
}

func (b *branch) put(t testing.TB, m *memory) object.TreeID {
	t.Helper()
	d := &object.Directory{}
	for _, name := range slices.Sorted(maps.Keys(b.kids)) {
		k := b.kids[name]
		e := k.Entry
		e.Name = name
		if e.Kind == object.Dir {
			e.Tree = k.put(t, m)
		}
		d.Entries = append(d.Entries, e)
	}
	id, err := m.PutDirectory(d)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// place is one name in a branch.
type place struct {
	dir  *branch
	name string
}

func (p place) at() *branch { return p.dir.kids[p.name] }

// places lists all names below b, in a fixed order.
func (b *branch) places() (out []place) {
	for _, name := range slices.Sorted(maps.Keys(b.kids)) {
		out = append(append(out, place{b, name}), b.kids[name].places()...)
	}
	return out
}

func (b *branch) dirs() []*branch {
	out := []*branch{b}
	for _, p := range b.places() {
		if k := p.at(); k.Kind == object.Dir {
			out = append(out, k)
		}
	}
	return out
}

// writer changes a tree at random, as one node would.
type writer struct {
	rng  *rand.Rand
	name string
	seq  uint64
	tree *branch
}

func pickOne[T any](rng *rand.Rand, s []T) (v T) {
	if len(s) == 0 {
		return v
	}
	return s[rng.IntN(len(s))]
}

func (w *writer) id() (id object.FileID) {
	for i := range 8 {
		id[i] = byte('a' + w.rng.IntN(26))
	}
	return id
}

func (w *writer) blob() object.BlobID {
	return word[object.BlobID]("content" + strconv.Itoa(w.rng.IntN(9)))
}

// free is a name that is not taken.
func (w *writer) free() (place, bool) {
	p := place{pickOne(w.rng, w.tree.dirs()), pickOne(w.rng, []string{"a", "b", "c.txt", "d"})}
	return p, p.at() == nil
}

// links are all branches of one file.
func (w *writer) links(id object.FileID) (out []*branch) {
	for _, p := range w.tree.places() {
		if p.at().ID == id {
			out = append(out, p.at())
		}
	}
	return out
}

func (w *writer) step() {
	any := pickOne(w.rng, w.tree.places())
	switch w.rng.IntN(12) {
	case 0, 1:
		w.create()
	case 2:
		if p, ok := w.free(); ok {
			p.dir.kids[p.name] = &branch{Entry: object.Entry{ID: w.id(), Kind: object.Dir, Mode: 0o755}, kids: map[string]*branch{}}
		}
	case 3, 4, 5:
		w.edit(any)
	case 6:
		if any.dir != nil {
			delete(any.dir.kids, any.name)
		}
	case 7, 8, 9:
		w.move(any)
	case 10:
		if to, ok := w.free(); ok && any.dir != nil && any.at().Kind != object.Dir {
			to.dir.kids[to.name] = any.at().clone()
		}
	case 11:
		w.exchange(any)
	}
}

func (w *writer) create() {
	p, ok := w.free()
	if !ok {
		return
	}
	e := object.Entry{ID: w.id(), Kind: object.File, Mode: 0o644, Blob: w.blob(), Mtime: int64(w.rng.IntN(3))}
	if w.rng.IntN(5) == 0 {
		e.Kind, e.Mode = object.Symlink, 0
	}
	p.dir.kids[p.name] = &branch{Entry: e}
}

func (w *writer) edit(p place) {
	if p.dir == nil {
		return
	}
	e := p.at().Entry
	switch w.rng.IntN(5) {
	case 0:
		e.Mode = []uint32{0o600, 0o640, 0o644, 0o755}[w.rng.IntN(4)]
	case 1:
		e.Xattrs = []object.Xattr{{Name: "user.x" + strconv.Itoa(w.rng.IntN(2)), Value: strconv.Itoa(w.rng.IntN(3))}}
	case 2:
		w.seq++
		e.Tags = tags.Set{{Name: "t" + strconv.Itoa(w.rng.IntN(3)), Dots: []tags.Dot{{Writer: w.name, Seq: w.seq}}}}
	default:
		if e.Kind != object.Dir {
			e.Blob, e.Mtime = w.blob(), int64(w.rng.IntN(9))
		}
	}
	if e.Kind == object.Symlink {
		e.Mode, e.Xattrs = 0, nil
	}
	for _, l := range w.links(e.ID) {
		l.Entry = e
	}
}

func (w *writer) move(from place) {
	to, ok := w.free()
	if !ok || from.dir == nil || slices.Contains(from.at().dirs(), to.dir) {
		return
	}
	to.dir.kids[to.name] = from.at()
	delete(from.dir.kids, from.name)
}

func (w *writer) exchange(a place) {
	b := pickOne(w.rng, w.tree.places())
	if a.dir == nil || slices.Contains(a.at().dirs(), b.dir) || slices.Contains(b.at().dirs(), a.dir) {
		return
	}
	a.dir.kids[a.name], b.dir.kids[b.name] = b.at(), a.at()
}

// randomTriple is a tree and what two writers made of it.
func randomTriple(t testing.TB, m *memory, seed uint64, spoil func(w *writer)) (base object.TreeID, a, b Side) {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 1))
	tree := &branch{kids: map[string]*branch{}}
	grow := func(name string, from *branch, steps int) *branch {
		w := &writer{rng: rng, name: name, tree: from.clone()}
		for range steps {
			w.step()
		}
		if spoil != nil {
			spoil(w)
		}
		return w.tree
	}
	old := grow("w.0", tree, rng.IntN(40))
	base = old.put(t, m)
	a = sideA(grow(writerA, old, 1+rng.IntN(8)).put(t, m))
	b = sideB(grow(writerB, old, 1+rng.IntN(8)).put(t, m))
	return base, a, b
}

// soak is how long the open-ended tests run: SMFS_SOAK, else briefly.
func soak(t testing.TB) time.Duration {
	t.Helper()
	v := os.Getenv("SMFS_SOAK")
	if v == "" {
		return 0
	}
	d, err := time.ParseDuration(v)
	if err != nil {
		t.Fatalf("SMFS_SOAK: %v", err)
	}
	return d
}

// seeds calls fn with many seeds, from a random one on.
func seeds(t *testing.T, rounds uint64, fn func(seed uint64) error) {
	t.Helper()
	first, end := rand.Uint64(), time.Now().Add(soak(t))
	t.Logf("seeds from %d", first)
	for i := uint64(0); i < rounds || time.Now().Before(end); i++ {
		if err := fn(first + i); err != nil {
			t.Fatalf("seed %d: %v", first+i, err)
		}
	}
}

func TestRandomTrees(t *testing.T) {
	seeds(t, 1200, func(seed uint64) error {
		m := newMemory()
		base, a, b := randomTriple(t, m, seed, nil)
		return checkAll(t, m, realMerge, base, a, b)
	})
}

// TestMalformedTrees: trees that give one FileID to several directories, even
// to one and what lies in it, or to files that differ, still merge to a tree
// with proper names, either way round.
func TestMalformedTrees(t *testing.T) {
	seeds(t, 600, func(seed uint64) error {
		m := newMemory()
		base, a, b := randomTriple(t, m, seed, (*writer).spoil)
		if err := checkSymmetric(t, m, realMerge, base, a, b); err != nil {
			return err
		}
		r, err := realMerge(m, base, a, b)
		if err != nil {
			return err
		}
		return validNames(t, m, r.Tree)
	})
}

// spoil copies entries with their FileIDs.
func (w *writer) spoil() {
	for range w.rng.IntN(4) {
		from := pickOne(w.rng, w.tree.places())
		to, ok := w.free()
		if !ok || from.dir == nil {
			continue
		}
		c := from.at().clone()
		c.Mode ^= uint32(w.rng.IntN(2))
		if c.Kind == object.Symlink {
			c.Mode = 0
		}
		to.dir.kids[to.name] = c
		for _, p := range c.places() {
			if w.rng.IntN(3) == 0 {
				delete(p.dir.kids, p.name)
			}
		}
	}
}
