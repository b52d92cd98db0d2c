package replica

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/silvermirror/smfs/backend/object"
)

// sim is a network of replicas in one thread. What is under way is an event;
// whoever drives the sim says which comes next.
type sim struct {
	w     *world
	nodes []*simNode
	flows map[[2]int]*flow // by sender and receiver, both ways; missing: not connected
	made  map[object.CommitID]bool
	// eager carries out what a node does by itself at once: only the order
	// of messages is left open.
	eager bool
	order order
	// lose, if set, lets a message be lost though its sender is told it
	// arrived: no network is to do this.
	lose func(s *sim, to int, m message) bool
	errs []error
	// restored says that some node went back to an old state: then commits may
	// be recorded anew, as others.
	restored bool
}

// order says when announcements arrive. They commute with almost all else, so
// that leaving it open makes a search many times longer.
type order int

const (
	anytime order = iota
	atOnce        // before any push
	atLast        // when no push is under way
)

// simNode is a node: what its disk holds, and its replica.
type simNode struct {
	r *Replica
	disk
	local []local
	old   disk // a copy that its user made, at some time
}

// disk is what a node keeps.
type disk struct {
	ref    object.CommitID
	has    map[object.CommitID]bool
	writer object.Writer
}

func (d disk) copy() disk {
	d.has = maps.Clone(d.has)
	return d
}

// local is work of one node's engine.
type local struct {
	act     Action
	applied object.CommitID // second half of an Adopt
	done    *Push           // the push that ended
	err     error
}

// flow is what is under way from one node to another. Announcements keep their
// order; pushes may come before or after.
type flow struct {
	announced []message
	pushed    []message
}

type message struct {
	head  object.CommitID
	haves []object.CommitID
	push  *Push
}

func newSim(w *world, n int) *sim {
	s := &sim{w: w, flows: make(map[[2]int]*flow), made: make(map[object.CommitID]bool)}
	for i := range n {
		n := &simNode{disk: disk{has: make(map[object.CommitID]bool), writer: w.newWriter(i)}}
		n.old = n.copy()
		s.nodes = append(s.nodes, n)
		s.start(i)
	}
	return s
}

// start begins a node's replica from its disk.
func (s *sim) start(i int) {
	n := s.nodes[i]
	n.local, n.r = nil, New(n.ref, s.w.cover(n.ref), s.lineage(n))
}

// lineage knows the commits that a node has.
func (s *sim) lineage(n *simNode) *object.Lineage {
	return object.NewLineage(func(id object.CommitID) (*object.Commit, error) {
		if !n.has[id] {
			return nil, fmt.Errorf("%s is not here", id)
		}
		return s.w.Commit(id)
	})
}

func peerName(i int) Peer { return Peer(fmt.Sprint("n", i)) }

func peerIndex(p Peer) (i int) {
	if _, err := fmt.Sscanf(string(p), "n%d", &i); err != nil {
		panic(err)
	}
	return i
}

func (s *sim) fail(format string, args ...any) {
	s.errs = append(s.errs, fmt.Errorf(format, args...))
}

// do carries out what a replica asked for.
func (s *sim) do(i int, acts []Action) {
	n := s.nodes[i]
	for _, act := range acts {
		switch a := act.(type) {
		case Push:
			if f := s.flows[[2]int{i, peerIndex(a.Peer)}]; f != nil {
				f.pushed = append(f.pushed, message{a.Head, a.Haves, &a})
			}
		case Announce:
			if a.Head != n.ref && s.eager {
				s.fail("n%d announces %s and has %s", i, a.Head, n.ref)
			}
			if f := s.flows[[2]int{i, peerIndex(a.Peer)}]; f != nil {
				if s.eager { // a newer one takes the place of those not yet sent
					f.announced = nil
				}
				f.announced = append(f.announced, message{head: a.Head})
			}
		case Refuse:
			if !s.restored {
				s.fail("n%d refuses %s", i, a.Peer)
			}
		default:
			n.local = append(n.local, local{act: act})
		}
	}
	for s.eager && len(n.local) > 0 {
		s.work(i)
	}
}

// work does the first of what a node's engine has to do.
func (s *sim) work(i int) {
	n := s.nodes[i]
	l := n.local[0]
	n.local = n.local[1:]
	switch a := l.act.(type) {
	case Merge:
		if !n.has[a.Ours] || !n.has[a.Theirs] {
			s.fail("n%d merges what it lacks", i)
		}
		id := s.w.merged(a.Ours, a.Theirs)
		n.has[id] = true
		s.made[id] = true
		s.do(i, n.r.Merged(a.Ours, a.Theirs, id, s.w.cover(id)))
	case Yield:
		if !n.has[a.Ours] || !n.has[a.Theirs] {
			s.fail("n%d yields to what it lacks", i)
		}
		n.writer = s.w.newWriter(i)
		anew, id := s.w.yielded(a.Ours, a.Theirs, n.writer)
		n.has[anew], n.has[id] = true, true
		s.do(i, n.r.Yielded(a.Ours, a.Theirs, id, s.w.cover(id)))
	case Adopt:
		if n.ref != a.From {
			return // a local commit came between
		}
		if !n.has[a.Head] {
			s.fail("n%d adopts what it lacks", i)
		}
		n.ref = a.Head
		n.local = append([]local{{applied: a.Head}}, n.local...)
	default:
		if l.done != nil {
			s.do(i, n.r.PushDone(l.done.Peer, l.done.Head, l.err))
			return
		}
		s.do(i, n.r.Applied(l.applied))
	}
}

// commit lets the user of a node change something.
func (s *sim) commit(i int, rng *rand.Rand) {
	n := s.nodes[i]
	var tree object.TreeID
	c := &object.Commit{Author: "node", Email: "k@smfs", Message: "edit", Writer: n.writer, Seq: 1, Gen: 1, Cover: s.w.cover(n.ref), Time: s.w.tick(rng)}
	if t, ok := c.Cover.Get(n.writer); ok {
		c.Seq = t.Seq + 1
	}
	if !n.ref.IsZero() {
		p := s.w.commits[n.ref]
		tree, c.Parents, c.Gen = p.Tree, []object.CommitID{n.ref}, p.Gen+1
	}
	d := s.w.load(tree)
	wr := write{}
	s.w.change(rng, d, &wr)
	c.Tree = s.w.store(d)
	wr.commit = s.w.put(c)
	s.w.writes = append(s.w.writes, wr)
	n.ref = wr.commit
	n.has[wr.commit] = true
	s.do(i, n.r.Committed(wr.commit, s.w.cover(wr.commit)))
}

func (s *sim) connect(i, j int) {
	if s.flows[[2]int{i, j}] != nil {
		return
	}
	s.flows[[2]int{i, j}], s.flows[[2]int{j, i}] = &flow{}, &flow{}
	hi, hj := s.nodes[i].r.Head(), s.nodes[j].r.Head()
	s.do(i, s.nodes[i].r.Connected(peerName(j), hj, s.w.cover(hj)))
	s.do(j, s.nodes[j].r.Connected(peerName(i), hi, s.w.cover(hi)))
}

func (s *sim) disconnect(i, j int) {
	delete(s.flows, [2]int{i, j})
	delete(s.flows, [2]int{j, i})
	for _, e := range [][2]int{{i, j}, {j, i}} {
		n := s.nodes[e[0]]
		n.local = slices.DeleteFunc(n.local, func(l local) bool { return l.done != nil && l.done.Peer == peerName(e[1]) })
		s.do(e[0], n.r.Disconnected(peerName(e[1])))
	}
}

// restore takes a node back to the copy of its disk, or makes one. What no
// other node has in its head by then is lost by that alone.
func (s *sim) restore(i int) {
	n := s.nodes[i]
	kept := map[object.CommitID]bool{}
	for j, o := range s.nodes {
		if j != i {
			maps.Copy(kept, s.w.reach(o.ref))
		}
	}
	maps.Copy(kept, s.w.reach(n.old.ref))
	for k := range s.w.writes {
		if wr := &s.w.writes[k]; !kept[wr.commit] {
			wr.blob = object.BlobID{} // it may come up again: what it replaced may be gone
		}
	}
	s.restored = true
	n.disk = n.old.copy()
	s.crash(i)
}

// crash ends a node's engine and starts it again from its disk.
func (s *sim) crash(i int) {
	for j := range s.nodes {
		if s.flows[[2]int{i, j}] != nil {
			s.disconnect(i, j)
		}
	}
	s.start(i)
}

// event is one thing that may happen next.
type event struct {
	from, to int // a message; from == to: work of that node
	push     bool
	index    int // which push
}

func (s *sim) events() (out []event) {
	for i, n := range s.nodes {
		if len(n.local) > 0 {
			out = append(out, event{from: i, to: i})
		}
	}
	flows := slices.SortedFunc(maps.Keys(s.flows), func(a, b [2]int) int { return slices.Compare(a[:], b[:]) })
	for _, k := range flows {
		if len(s.flows[k].announced) > 0 {
			out = append(out, event{from: k[0], to: k[1]})
		}
	}
	for _, k := range flows {
		for i := range s.flows[k].pushed {
			out = append(out, event{from: k[0], to: k[1], push: true, index: i})
		}
	}
	keep := func(push bool) bool {
		return slices.ContainsFunc(out, func(e event) bool { return e.from != e.to && e.push == push })
	}
	switch {
	case s.order == atOnce && keep(false):
		return out[:1]
	case s.order == atLast && keep(true):
		return slices.DeleteFunc(out, func(e event) bool { return e.from != e.to && !e.push })
	}
	return out
}

func (s *sim) step(e event) {
	if e.from == e.to {
		s.work(e.from)
		return
	}
	f, to := s.flows[[2]int{e.from, e.to}], s.nodes[e.to]
	if !e.push {
		m := f.announced[0]
		f.announced = f.announced[1:]
		s.do(e.to, to.r.Announced(peerName(e.from), m.head, s.w.cover(m.head)))
		return
	}
	m := f.pushed[e.index]
	f.pushed = slices.Delete(slices.Clone(f.pushed), e.index, e.index+1)
	s.receive(e.from, e.to, m)
	if m.push != nil {
		n := s.nodes[e.from]
		n.local = append(n.local, local{done: m.push})
		s.do(e.from, nil)
	}
}

// receive delivers a push: what its head reaches and its haves do not.
func (s *sim) receive(from, to int, m message) {
	src, dst := s.nodes[from], s.nodes[to]
	for _, h := range m.haves {
		if !src.has[h] || !dst.has[h] {
			s.fail("n%d takes %s to be at n%d and itself", from, h, to)
		}
	}
	known := s.w.reach(m.haves...)
	for id := range s.w.reach(m.head) {
		if !known[id] {
			dst.has[id] = true
		} else if !dst.has[id] {
			s.fail("n%d lacks %s, which n%d left out", to, id, from)
		}
	}
	if s.lose != nil && s.lose(s, to, m) {
		return
	}
	cover := s.w.cover(m.head)
	if t, ok := cover.Get(dst.writer); ok && !s.w.cover(dst.ref).Has(t.Writer, t.Seq) {
		dst.writer = s.w.newWriter(to) // it has forgotten what it wrote
	}
	s.do(to, dst.r.Received(peerName(from), m.head, cover))
}

// twice delivers a push once more, as a sender that missed the answer would.
func (s *sim) twice(e event) {
	f := s.flows[[2]int{e.from, e.to}]
	m := f.pushed[e.index]
	m.push = nil
	f.pushed = append(f.pushed, m)
}

var errEndless = errors.New("does not come to rest")

// settle lets everything happen, in the order rng says, until nothing is left.
func (s *sim) settle(rng *rand.Rand) {
	for range 100_000 {
		ev := s.events()
		if len(ev) == 0 {
			return
		}
		s.step(ev[rng.IntN(len(ev))])
	}
	s.errs = append(s.errs, errEndless)
}

// check says what is wrong with a network at rest, of which every two nodes
// are connected by some path.
func (s *sim) check() error {
	head := s.nodes[0].ref
	for i, n := range s.nodes {
		if n.ref != head || n.r.Head() != head {
			s.fail("n%d is at %s, its replica at %s; n0 at %s", i, n.ref, n.r.Head(), head)
		}
	}
	for k := range s.flows {
		r := s.nodes[k[0]].r
		if !r.Mirrored(peerName(k[1]), r.ours.cover) || r.Behind(peerName(k[1])) != 0 {
			s.fail("n%d takes n%d to be behind by %d", k[0], k[1], r.Behind(peerName(k[1])))
		}
	}
	s.checkWrites(head)
	s.checkQuiet()
	return errors.Join(s.errs...)
}

// checkWrites: what a user wrote is in the tree, or a user saw it go.
func (s *sim) checkWrites(head object.CommitID) {
	if head.IsZero() {
		return
	}
	cover := s.w.cover(head)
	now := s.w.load(s.w.commits[head].Tree).blobs(map[object.BlobID]string{})
	gone := make(map[object.BlobID]bool)
	for _, wr := range s.w.writes {
		for _, b := range wr.replaced {
			gone[b] = true
		}
	}
	for _, wr := range s.w.writes {
		c := s.w.commits[wr.commit]
		if !s.restored && !cover.Has(c.Writer, c.Seq) {
			s.fail("%s:%d is not in the head", c.Writer, c.Seq)
		}
		if _, is := now[wr.blob]; !wr.blob.IsZero() && !is && !gone[wr.blob] {
			s.fail("%q, written to %s, is lost", strings.TrimRight(string(wr.blob[:]), "\x00"), wr.path)
		}
	}
}

// checkQuiet: delivering every head twice more makes no commit.
func (s *sim) checkQuiet() {
	before := len(s.w.commits)
	for range 2 {
		for _, k := range slices.SortedFunc(maps.Keys(s.flows), func(a, b [2]int) int { return slices.Compare(a[:], b[:]) }) {
			s.receive(k[0], k[1], message{head: s.nodes[k[0]].ref})
		}
		s.settle(rand.New(rand.NewPCG(1, 1)))
	}
	if len(s.w.commits) != before {
		s.fail("%d more commits at rest", len(s.w.commits)-before)
	}
}
