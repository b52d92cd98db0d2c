package tags

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// state is a commit as far as tags go: a file's set, and the dots that its cover
// holds.
type state struct {
	set  Set
	seen map[Dot]bool
}

func (s state) has(d Dot) bool { return s.seen[d] }

func merge(a, b state) state {
	seen := map[Dot]bool{}
	for _, s := range []state{a, b} {
		for d := range s.seen {
			seen[d] = true
		}
	}
	return state{set: Merge(a.set, b.set, a.has, b.has), seen: seen}
}

// commit returns s after one commit of a writer that adds or removes tags.
func (s state) commit(d Dot, change func(Set) Set) state {
	next := merge(s, state{})
	next.seen[d] = true
	next.set = change(next.set)
	return next
}

func TestMerge(t *testing.T) {
	a1, b1, b2 := dot("A", 1), dot("B", 1), dot("B", 2)
	add := func(d Dot) func(Set) Set { return func(s Set) Set { return s.With("work", d) } }
	drop := func(s Set) Set { return s.Without("work") }
	keep := func(s Set) Set { return s }
	start := state{}
	tagged := start.commit(a1, add(a1))
	for _, tt := range []struct {
		name string
		a, b state
		want []Dot
	}{
		{"nothing", start, start, nil},
		{"added on one side", tagged, start, []Dot{a1}},
		{"added on both sides", tagged, start.commit(b1, add(b1)), []Dot{a1, b1}},
		{"kept on both sides", tagged, tagged.commit(b1, keep), []Dot{a1}},
		{"removed on one side", tagged, tagged.commit(b1, drop), nil},
		{"removed here, added anew there", tagged.commit(b1, drop), tagged.commit(dot("C", 1), add(dot("C", 1))), []Dot{dot("C", 1)}},
		{"removed and added again", tagged, tagged.commit(b1, drop).commit(b2, add(b2)), []Dot{b2}},
		{"removed by who never saw it", tagged, start.commit(b1, drop), []Dot{a1}},
	} {
		got := merge(tt.a, tt.b).set
		var want Set
		if tt.want != nil {
			want = Set{{"work", tt.want}}
		}
		if !got.Equal(want) {
			t.Errorf("%s: %v, want %v", tt.name, got, want)
		}
	}
}

// world is a few nodes that tag, untag and merge at random. It knows the truth:
// which dots exist, and which commits removed them.
type world struct {
	rnd   *rand.Rand
	nodes []state
	seq   []uint64
	tags  map[Dot]string       // every dot ever made
	gone  map[Dot]map[Dot]bool // a dot, and the commits that removed it
}

func newWorld(rnd *rand.Rand, nodes int) *world {
	w := &world{rnd: rnd, nodes: make([]state, nodes), seq: make([]uint64, nodes), tags: map[Dot]string{}, gone: map[Dot]map[Dot]bool{}}
	for i := range w.nodes {
		w.nodes[i].seen = map[Dot]bool{}
	}
	return w
}

func (w *world) step() {
	i, name := w.rnd.IntN(len(w.nodes)), string(rune('a'+w.rnd.IntN(4)))
	s := w.nodes[i]
	switch w.rnd.IntN(4) {
	case 0:
		w.nodes[i] = merge(s, w.nodes[w.rnd.IntN(len(w.nodes))])
		return
	case 1:
		d := w.next(i)
		w.removed(s.set, name, d)
		w.nodes[i] = s.commit(d, func(s Set) Set { return s.Without(name) })
	default:
		d := w.next(i)
		w.removed(s.set, name, d) // the new dot stands for the old ones
		w.tags[d] = name
		w.nodes[i] = s.commit(d, func(s Set) Set { return s.With(name, d) })
	}
}

func (w *world) next(i int) Dot {
	w.seq[i]++
	return dot(string(rune('A'+i)), w.seq[i])
}

func (w *world) removed(s Set, name string, by Dot) {
	for _, t := range s {
		if t.Name != name {
			continue
		}
		for _, d := range t.Dots {
			if w.gone[d] == nil {
				w.gone[d] = map[Dot]bool{}
			}
			w.gone[d][by] = true
		}
	}
}

// want is the set by definition: the dots that s has seen, but for those that a
// commit removed which s has seen too.
func (w *world) want(s state) Set {
	byTag := map[string][]Dot{}
	for d := range s.seen {
		name, made := w.tags[d]
		alive := true
		for by := range w.gone[d] {
			alive = alive && !s.seen[by]
		}
		if made && alive {
			byTag[name] = append(byTag[name], d)
		}
	}
	var set Set
	for name, dots := range byTag {
		slices.SortFunc(dots, Dot.Compare)
		set = append(set, Tag{name, dots})
	}
	slices.SortFunc(set, func(a, b Tag) int { return int(a.Name[0]) - int(b.Name[0]) })
	return set
}

// TestMergeProperties checks, over random histories, that merges neither lose
// nor resurrect a tag, and that their order does not matter.
func TestMergeProperties(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	for range 300 {
		w := newWorld(rnd, 3+rnd.IntN(2))
		for range 5 + rnd.IntN(40) {
			w.step()
		}
		for i, s := range w.nodes {
			if want := w.want(s); !s.set.Equal(want) {
				t.Fatalf("node %d holds %v, want %v", i, s.set, want)
			}
		}
		a, b, c := w.nodes[0], w.nodes[1], w.nodes[2]
		equal(t, "commutative", merge(a, b), merge(b, a))
		equal(t, "associative", merge(merge(a, b), c), merge(a, merge(b, c)))
		equal(t, "idempotent", merge(a, a), a)
		equal(t, "absorbing", merge(merge(a, b), b), merge(a, b))
	}
}

func equal(t *testing.T, law string, got, want state) {
	t.Helper()
	if !got.set.Equal(want.set) {
		t.Fatalf("not %s: %v and %v", law, got.set, want.set)
	}
}
