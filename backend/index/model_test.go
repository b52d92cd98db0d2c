package index

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/silvermirror/smfs/backend/object"
	"github.com/silvermirror/smfs/journal"
	"github.com/silvermirror/smfs/tags"
)

// model is the index as a map and nothing else.
type model struct {
	nodes   map[Slot]Node
	applied object.CommitID
}

func newModel() *model {
	return &model{nodes: make(map[Slot]Node)}
}

func (m *model) clone() *model {
	c := newModel()
	for s, n := range m.nodes {
		c.nodes[s] = n
	}
	c.applied = m.applied
	return c
}

func (m *model) slots(match func(Node) bool) (list []Slot) {
	for s, n := range m.nodes {
		if match(n) {
			list = append(list, s)
		}
	}
	sortSlots(list)
	return list
}

func sortSlots(list []Slot) {
	slices.SortFunc(list, func(a, b Slot) int {
		return strings.Compare(string(a.Parent[:])+a.Name, string(b.Parent[:])+b.Name)
	})
}

func (m *model) children(dir object.FileID) []Slot {
	return m.slots(func(n Node) bool { return n.Parent == dir })
}

func (m *model) put(n Node) error {
	old, had := m.nodes[n.Slot()]
	if had && old.Kind == object.Dir && (n.Kind != object.Dir || n.ID != old.ID) && len(m.children(old.ID)) > 0 {
		return ErrNotEmpty
	}
	if n.Kind == object.Dir && (!had || old.ID != n.ID) && len(m.slots(func(o Node) bool { return o.ID == n.ID })) > 0 {
		return ErrExists
	}
	m.nodes[n.Slot()] = n
	return nil
}

func (m *model) deleteTree(s Slot) int {
	n, ok := m.nodes[s]
	if !ok {
		return 0
	}
	delete(m.nodes, s)
	removed := 1
	if n.Kind == object.Dir {
		for _, c := range m.children(n.ID) {
			removed += m.deleteTree(c)
		}
	}
	return removed
}

func (m *model) move(from, to Slot) error {
	n, ok := m.nodes[from]
	switch _, taken := m.nodes[to]; {
	case !ok:
		return ErrNotFound
	case from == to:
		return nil
	case taken:
		return ErrExists
	case n.Kind == object.Dir && m.below(to.Parent, n.ID):
		return ErrLoop
	}
	delete(m.nodes, from)
	n.Parent, n.Name = to.Parent, to.Name
	m.nodes[to] = n
	return nil
}

// above is the slot of a directory.
func (m *model) above(dir object.FileID) (Slot, bool) {
	list := m.slots(func(n Node) bool { return n.ID == dir })
	if len(list) == 0 {
		return Slot{}, false
	}
	return list[0], true
}

func (m *model) below(dir, top object.FileID) bool {
	for dir != top {
		s, ok := m.above(dir)
		if !ok {
			return false
		}
		dir = s.Parent
	}
	return true
}

func (m *model) path(s Slot) (string, bool) {
	path := s.Name
	for s.Parent != (object.FileID{}) {
		up, ok := m.above(s.Parent)
		if !ok {
			return "", false
		}
		s = up
		path = s.Name + "/" + path
	}
	return path, true
}

// gen makes up operations over few names, ids and keys, so that they collide.
type gen struct{ *rand.Rand }

func (g gen) id() object.FileID {
	return object.FileID{0: byte(1 + g.IntN(3)), 15: byte(g.IntN(8))}
}

func (g gen) key() journal.FileKey {
	if g.IntN(5) == 0 {
		return journal.FileKey{}
	}
	return journal.FileKey{Ino: uint64(g.IntN(8)), Gen: uint64(g.IntN(2))}
}

func (g gen) slot(m *model) Slot {
	names := []string{"a", "b", "ab", "\xff", "\x01", strings.Repeat("n", 255)}
	s := Slot{Name: names[g.IntN(len(names))]}
	if dirs := m.slots(func(n Node) bool { return n.Kind == object.Dir }); len(dirs) > 0 && g.IntN(4) > 0 {
		s.Parent = m.nodes[dirs[g.IntN(len(dirs))]].ID
	}
	return s
}

func (g gen) node(s Slot) Node {
	n := Node{Parent: s.Parent, Key: g.key(), Size: g.Int64N(1<<41) - 1<<40, Ctime: g.Int64() - g.Int64(), Uncertain: g.IntN(2) == 0}
	n.Name, n.ID, n.Kind = s.Name, g.id(), object.Kind(1+g.IntN(3))
	n.Mode, n.Mtime = g.Uint32(), g.Int64()-g.Int64()
	if n.Kind == object.Dir {
		n.ID[14] = 1 // a directory's id is never a file's
	} else {
		n.Blob[g.IntN(20)] = byte(g.IntN(2))
		n.Chunks[g.IntN(20)] = byte(g.IntN(2))
	}
	for i := range g.IntN(3) {
		n.Xattrs = append(n.Xattrs, object.Xattr{Name: fmt.Sprint("user.", i), Value: strings.Repeat("\x00", g.IntN(300))})
	}
	for i := range g.IntN(3) {
		n.Tags = append(n.Tags, tags.Tag{Name: fmt.Sprint("t", i), Dots: []tags.Dot{{Writer: "w", Seq: g.Uint64()}}})
	}
	if g.IntN(3) == 0 {
		n.Conflict = g.id()
	}
	return n
}

// step does one operation to both and compares what they say of it.
func (g gen) step(tx *Tx, m *model) error {
	s := g.slot(m)
	var got, want error
	var name string
	switch op := g.IntN(10); {
	case op < 4:
		n := g.node(s)
		name, got, want = "put", tx.Put(n), m.put(n)
	case op < 5:
		old, ok := m.nodes[s]
		if !ok {
			return nil
		}
		n := g.node(s) // an edit in place
		n.ID, n.Kind, n.Key = old.ID, old.Kind, old.Key
		name, got, want = "edit", tx.Put(n), m.put(n)
	case op < 7:
		n, err := tx.DeleteTree(s.Parent, s.Name)
		if w := m.deleteTree(s); n != w || err != nil {
			return fmt.Errorf("deleteTree %v: %d, %v, want %d", s, n, err, w)
		}
	case op < 9:
		to := g.slot(m)
		name, got, want = "move", tx.Move(s, to), m.move(s, to)
	default:
		return g.meta(tx, m)
	}
	if !errors.Is(got, want) || (got == nil) != (want == nil) {
		return fmt.Errorf("%s %v: %v, want %v", name, s, got, want)
	}
	return nil
}

func (g gen) meta(tx *Tx, m *model) error {
	m.applied = object.CommitID{0: byte(g.IntN(256))}
	return tx.SetApplied(m.applied)
}

// compare asks everything there is to ask.
func compare(tx *Tx, m *model) error {
	var all []Slot
	err := tx.All(func(n Node) error {
		all = append(all, n.Slot())
		if want := m.nodes[n.Slot()]; !reflect.DeepEqual(n, want) {
			return fmt.Errorf("node %+v, want %+v", n, want)
		}
		return nil
	})
	lists := []struct {
		name      string
		got, want []Slot
	}{{"all", all, m.slots(func(Node) bool { return true })}}
	add := func(name string, got []Slot, match func(Node) bool) {
		lists = append(lists, struct {
			name      string
			got, want []Slot
		}{name, got, m.slots(match)})
	}
	collect := func(each func(func(Node) error) error) (list []Slot) {
		err = errors.Join(err, each(func(n Node) error { list = append(list, n.Slot()); return nil }))
		return list
	}
	add("tagged", collect(tx.Tagged), func(n Node) bool { return len(n.Tags) > 0 })
	add("conflicts", collect(tx.Conflicts), func(n Node) bool { return n.Conflict != object.FileID{} })
	dirs := []object.FileID{{}}
	for s, n := range m.nodes {
		dirs = append(dirs, n.ID)
		add("slots", tx.Slots(n.ID), func(o Node) bool { return o.ID == n.ID })
		byKey := tx.ByKey(n.Key)
		sortSlots(byKey)
		add("by key", byKey, func(o Node) bool { return o.Key == n.Key && n.Key != journal.FileKey{} })
		path, e := tx.Path(s)
		want, ok := m.path(s)
		if path != want || (e == nil) != ok {
			err = errors.Join(err, fmt.Errorf("path of %v: %q, %v, want %q", s, path, e, want))
		}
		if found, ok := tx.Lookup(path); e == nil && (!ok || found.Slot() != s) {
			err = errors.Join(err, fmt.Errorf("look up %q: %v, %v", path, found.Slot(), ok))
		}
	}
	for _, dir := range dirs {
		add("children", collect(func(fn func(Node) error) error { return tx.Children(dir, fn) }), func(n Node) bool { return n.Parent == dir })
	}
	for _, l := range lists {
		if !slices.Equal(l.got, l.want) {
			err = errors.Join(err, fmt.Errorf("%s: %v, want %v", l.name, l.got, l.want))
		}
	}
	return errors.Join(err, compareMeta(tx, m))
}

func compareMeta(tx *Tx, m *model) error {
	files := len(m.slots(func(n Node) bool { return n.Kind != object.Dir }))
	conflicts := len(m.slots(func(n Node) bool { return n.Conflict != object.FileID{} }))
	var bytes int64
	for _, s := range m.slots(func(n Node) bool { return n.Kind == object.File }) {
		bytes += max(m.nodes[s].Size, 0)
	}
	if tx.Count() != files || tx.ConflictCount() != conflicts || tx.Bytes() != bytes {
		return fmt.Errorf("counts %+v, want %d files of %d bytes, %d conflicts", tx.counts, files, bytes, conflicts)
	}
	if tx.Applied() != m.applied {
		return fmt.Errorf("applied %v, want %v", tx.Applied(), m.applied)
	}
	return nil
}

// TestAgainstModel compares the index with a map over random transactions,
// some of which fail, with the file closed and opened in between.
func TestAgainstModel(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	g := gen{rand.New(rand.NewPCG(seed, 0))}
	file := scratch(t) + "/index"
	ix := open(t, file)
	m := newModel()
	giveUp := errors.New("give up")
	for round := range 200 {
		next, fail := m.clone(), g.IntN(6) == 0
		err := ix.Update(func(tx *Tx) error {
			for range g.IntN(30) {
				if err := g.step(tx, next); err != nil {
					return err
				}
			}
			if err := compare(tx, next); err != nil {
				return err
			}
			if fail {
				return giveUp
			}
			return nil
		})
		if fail && !errors.Is(err, giveUp) || !fail && err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if !fail {
			m = next
		}
		if g.IntN(40) == 0 {
			check(t, ix.Close())
			ix = open(t, file)
		}
		if err := ix.View(func(tx *Tx) error { return compare(tx, m) }); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
	}
	check(t, ix.Close())
}

func TestChildrenWhileChanging(t *testing.T) {
	ix := open(t, scratch(t)+"/index")
	check(t, ix.Update(func(tx *Tx) error {
		for i := range 500 {
			if err := tx.Put(file(fmt.Sprintf("%03d", i), i)); err != nil {
				return err
			}
		}
		var seen []string
		err := tx.Children(object.FileID{}, func(n Node) error {
			seen = append(seen, n.Name)
			_, err := tx.DeleteTree(n.Parent, n.Name)
			return err
		})
		if len(seen) != 500 || !sort.StringsAreSorted(seen) || tx.Count() != 0 {
			t.Errorf("saw %d, left %d", len(seen), tx.Count())
		}
		return err
	}))
	check(t, ix.Close())
}

func TestInvalidNodes(t *testing.T) {
	ix := open(t, scratch(t)+"/index")
	check(t, ix.Update(func(tx *Tx) error {
		for _, name := range []string{"", ".", "..", "a/b", "a\x00", strings.Repeat("n", 4097)} {
			if err := tx.Put(file(name, 1)); !errors.Is(err, ErrInvalid) {
				t.Errorf("name %q: %v", name, err)
			}
		}
		n := file("f", 1)
		n.ID = object.FileID{}
		if err := tx.Put(n); !errors.Is(err, ErrInvalid) {
			t.Errorf("no id: %v", err)
		}
		n = file("f", 1)
		n.Kind = 9
		if err := tx.Put(n); !errors.Is(err, ErrInvalid) {
			t.Errorf("kind 9: %v", err)
		}
		return tx.Put(file("f", 1)) // none of these spoilt the transaction
	}))
	check(t, ix.Close())
}
