package replica

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/silvermirror/smfs/backend/object"
)

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

// live runs a network for a while: users write, links come and go, nodes
// crash, messages are late, out of order, lost with their link, or arrive
// twice; with restores, nodes go back to copies of old states. In the end all links are up and everything arrives.
func live(w *world, seed uint64, restores bool, change func(*sim)) error {
	rng := rand.New(rand.NewPCG(seed, 1))
	s := newSim(w, 2+rng.IntN(4))
	if change != nil {
		change(s)
	}
	edges := randomEdges(rng, len(s.nodes))
	for range 30 + rng.IntN(120) {
		switch k := rng.IntN(100); {
		case k < 25:
			s.commit(rng.IntN(len(s.nodes)), rng)
		case k < 35:
			e := edges[rng.IntN(len(edges))]
			s.connect(e[0], e[1])
		case k < 39:
			e := edges[rng.IntN(len(edges))]
			s.disconnect(e[0], e[1])
		case k < 41:
			s.crash(rng.IntN(len(s.nodes)))
		case restores && k < 44:
			n := s.nodes[rng.IntN(len(s.nodes))]
			n.old = n.copy()
		case restores && k < 46:
			s.restore(rng.IntN(len(s.nodes)))
		default:
			if ev := s.events(); len(ev) > 0 {
				e := ev[rng.IntN(len(ev))]
				if e.push && rng.IntN(8) == 0 {
					s.twice(e)
				}
				s.step(e)
			}
		}
	}
	for _, e := range edges {
		s.connect(e[0], e[1])
	}
	s.settle(rng)
	return s.check()
}

// randomEdges connects n nodes: a random tree and a few more.
func randomEdges(rng *rand.Rand, n int) (out [][2]int) {
	for i := 1; i < n; i++ {
		out = append(out, [2]int{rng.IntN(i), i})
	}
	for range rng.IntN(n) {
		if i, j := rng.IntN(n), rng.IntN(n); i < j {
			out = append(out, [2]int{i, j})
		}
	}
	return out
}

func TestSimulation(t *testing.T) {
	first := rand.Uint64()
	t.Logf("seeds from %d", first)
	end := time.Now().Add(soak(t))
	for i := uint64(0); i < 200 || time.Now().Before(end); i++ {
		if err := live(newWorld(), first+i, i%2 == 1, nil); err != nil {
			t.Fatalf("seed %d: %v", first+i, err)
		}
	}
}

// fault is a rule left out, and how the simulation must fail.
type fault struct {
	join func(w *world, a, b object.CommitID) (*object.Commit, error)
	lose func(s *sim, to int, m message) bool
	want string
}

// equalCovers holds where only the lower id decides.
func equalCovers(s *sim, to int, m message) bool {
	ours := s.nodes[to].r.Head()
	return ours != m.head && s.w.cover(ours).Equal(s.w.cover(m.head))
}

// TestFaultsAreFound shows that the simulation fails for each rule that is
// left out.
func TestFaultsAreFound(t *testing.T) {
	made, pushed := 0, 0
	for name, f := range map[string]fault{
		"no lower id at equal covers": {lose: equalCovers, want: "its replica at"},
		"a push that is lost": {lose: func(*sim, int, message) bool {
			pushed++
			return pushed%5 == 0
		}, want: "its replica at"},
		"no merges": {lose: func(s *sim, to int, m message) bool {
			return !s.w.cover(m.head).HasAll(s.nodes[to].r.ours.cover)
		}, want: "its replica at"},
		"merges that take one side": {join: func(w *world, a, b object.CommitID) (*object.Commit, error) {
			c, err := pure(w, a, b)
			if err == nil {
				c.Tree = w.commits[c.Parents[0]].Tree
			}
			return c, err
		}, want: "is lost"},
		// Convergence does not hang on merges being pure, but on one of two
		// equal covers being chosen; without both, nothing is agreed on.
		"merges that differ from node to node": {join: func(w *world, a, b object.CommitID) (*object.Commit, error) {
			clear(w.merges)
			made++
			c, err := pure(w, a, b)
			if err == nil {
				c.Time += int64(made)
			}
			return c, err
		}, lose: equalCovers, want: "its replica at"},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(200) {
				w := newWorld()
				if f.join != nil {
					w.join = f.join
				}
				err := live(w, seed, false, func(s *sim) { s.lose = f.lose })
				if err != nil && strings.Contains(err.Error(), f.want) {
					return
				}
			}
			t.Error("the simulation does not find it")
		})
	}
}

// clone copies a sim so that both can go on. Objects are shared.
func (s *sim) clone() *sim {
	c := *s
	c.made, c.errs = maps.Clone(s.made), slices.Clone(s.errs)
	c.nodes = make([]*simNode, len(s.nodes))
	for i, n := range s.nodes {
		m := *n
		m.disk, m.local, m.r = n.copy(), slices.Clone(n.local), n.r.clone()
		m.r.lineage = c.lineage(&m)
		c.nodes[i] = &m
	}
	c.flows = make(map[[2]int]*flow, len(s.flows))
	for k, f := range s.flows {
		c.flows[k] = &flow{slices.Clone(f.announced), slices.Clone(f.pushed)}
	}
	return &c
}

func (r *Replica) clone() *Replica {
	c := *r
	c.candidates = slices.Clone(r.candidates)
	c.held.ids = slices.Clone(r.held.ids)
	c.peers = make(map[Peer]*peer, len(r.peers))
	for id, p := range r.peers {
		q := *p
		q.has.ids = slices.Clone(p.has.ids)
		c.peers[id] = &q
	}
	return &c
}

// state is what the future of a sim depends on.
func (s *sim) state() string {
	b := []byte{}
	ids := func(ids ...object.CommitID) {
		for _, id := range ids {
			b = append(b, id[:6]...)
		}
		b = append(b, ';')
	}
	set := func(s []object.CommitID) {
		ids(slices.SortedFunc(slices.Values(s), func(a, b object.CommitID) int { return slices.Compare(a[:], b[:]) })...)
	}
	for i, n := range s.nodes {
		ids(n.ref, n.r.ours.id, n.r.merging, n.r.adopting.id)
		for _, c := range n.r.candidates {
			ids(c.id)
		}
		set(slices.Collect(maps.Keys(n.has)))
		set(n.r.held.ids)
		for _, id := range n.r.connected() {
			p := n.r.peers[id]
			ids(p.head.id, p.sending, p.failed)
			set(p.has.ids)
		}
		for j := range s.nodes {
			f := s.flows[[2]int{i, j}]
			if f == nil {
				continue
			}
			for _, m := range f.announced {
				ids(m.head)
			}
			b = append(b, '|')
			for _, m := range f.pushed {
				ids(m.head)
			}
		}
		b = append(b, fmt.Sprint(len(n.local))...)
	}
	return string(b)
}

// explore tries every order of what may happen and returns the first fault. It
// collects the states and the heads at which all came to rest.
func explore(s *sim, seen map[string]bool, ends map[object.CommitID]bool) error {
	if k := s.state(); seen[k] {
		return nil
	} else {
		seen[k] = true
	}
	ev := s.events()
	if len(ev) == 0 {
		ends[s.nodes[0].ref] = true
		return s.check()
	}
	for _, e := range ev {
		c := s.clone()
		c.step(e)
		if err := explore(c, seen, ends); err != nil {
			return err
		}
	}
	return nil
}

// start is a network of nodes with a few files, of which the first few write.
func start(nodes, writers int, edges [][2]int, order order) *sim {
	rng := rand.New(rand.NewPCG(1, 2))
	s := newSim(newWorld(), nodes)
	for _, e := range edges {
		s.connect(e[0], e[1])
	}
	for range 3 {
		s.commit(0, rng)
	}
	s.settle(rng)
	s.eager, s.order = nodes > 2, order
	for i := range writers {
		s.commit(i, rng)
	}
	return s
}

// TestDeliveryOrders tries every order in which what nodes that write at once
// say to each other can arrive; for two nodes, every order in which they do
// what they have to as well. SMFS_EXHAUSTIVE=1 adds searches that take long.
func TestDeliveryOrders(t *testing.T) {
	row, ring := [][2]int{{0, 1}, {1, 2}}, [][2]int{{0, 1}, {1, 2}, {0, 2}}
	cases := map[string]*sim{
		"two nodes":                       start(2, 2, row[:1], anytime),
		"a row, news at once":             start(3, 3, row, atOnce),
		"a row, news at last":             start(3, 3, row, atLast),
		"a row, two write":                start(3, 2, row, anytime),
		"a ring, two write, news at once": start(3, 2, ring, atOnce),
		"a ring, two write, news at last": start(3, 2, ring, atLast),
	}
	if os.Getenv("SMFS_EXHAUSTIVE") != "" {
		cases["a ring, news at once"] = start(3, 3, ring, atOnce)
		cases["a ring, news at last"] = start(3, 3, ring, atLast)
	}
	for name, s := range cases {
		t.Run(name, func(t *testing.T) {
			seen, ends := make(map[string]bool), make(map[object.CommitID]bool)
			if err := explore(s, seen, ends); err != nil {
				t.Fatal(err)
			}
			merges := make(map[object.CommitID]bool)
			for _, id := range s.w.merges {
				merges[id] = true
			}
			t.Logf("%d states, %d merges, %d final heads", len(seen), len(merges), len(ends))
			if len(ends) == 0 {
				t.Error("no end was reached")
			}
			// The pairs of incomparable covers of three writers: 3 of single
			// ones, 3 of a pair and the third, 3 of two pairs.
			if len(merges) > 9 {
				t.Errorf("%d merges", len(merges))
			}
		})
	}
}

// TestExploreFindsFaults shows that the search can fail.
func TestExploreFindsFaults(t *testing.T) {
	s := start(3, 3, [][2]int{{0, 1}, {1, 2}}, atOnce)
	s.lose = func(s *sim, to int, m message) bool { return to == 2 && len(s.made) > 0 }
	if err := explore(s, make(map[string]bool), make(map[object.CommitID]bool)); err == nil {
		t.Error("a lost push is not found")
	} else if errors.Is(err, errEndless) {
		t.Error(err)
	}
}
