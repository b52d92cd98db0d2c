package replica

import (
	"errors"
	"slices"

	"github.com/silvermirror/smfs/backend/object"
)

// head is a commit with all it covers.
type head struct {
	id    object.CommitID
	cover object.Cover
}

// candidate is a head that is complete here and not yet part of ours.
type candidate struct {
	head
	from     Peer
	replaces object.CommitID // our head that gives way to it; zero: none does
}

// Replica is the state of one resource on one node.
type Replica struct {
	ours       head
	lineage    *object.Lineage
	peers      map[Peer]*peer
	candidates []candidate
	held       recent // heads that are complete here

	merging  object.CommitID // the candidate of the Merge or Yield under way, or zero
	adopting head            // of the Adopt under way, or zero
}

// New starts with the head that is applied. The zero id is a resource without
// a commit. l knows the commits that are here.
func New(id object.CommitID, cover object.Cover, l *object.Lineage) *Replica {
	r := &Replica{ours: head{id, cover}, lineage: l, peers: make(map[Peer]*peer)}
	r.held.add(id)
	return r
}

// Head is the applied head.
func (r *Replica) Head() object.CommitID { return r.ours.id }

// Covers reports whether the applied head covers all of cover.
func (r *Replica) Covers(cover object.Cover) bool { return r.ours.cover.Contains(cover, r.lineage) }

// Committed says that a commit made here is durable and is the head. It sits
// on the applied head, or on the one being adopted if the ref had moved.
func (r *Replica) Committed(id object.CommitID, cover object.Cover) []Action {
	r.adopting = head{} // the engine finds that the ref has moved on
	return r.advance(head{id, cover})
}

// Received says that a head which the peer sent is verified and durable here.
func (r *Replica) Received(from Peer, id object.CommitID, cover object.Cover) []Action {
	r.held.add(id)
	theirs := head{id, cover}
	if p := r.peers[from]; p != nil {
		p.has.add(id)
	}
	if r.settles(r.ours, theirs) {
		// The peer did not know what is here.
		return append(r.announce(from), r.push(from)...)
	}
	r.addCandidate(candidate{head: theirs, from: from})
	return r.next()
}

// Merged says that the merge of ours and theirs is durable.
func (r *Replica) Merged(ours, theirs, merge object.CommitID, cover object.Cover) []Action {
	r.held.add(merge)
	if r.merging == theirs {
		r.merging = object.CommitID{}
	}
	if ours == r.ours.id && r.adopting.id.IsZero() {
		// Weighed with the others: by now one may cover all this does.
		r.addCandidate(candidate{head: head{merge, cover}})
	}
	return r.next()
}

// Yielded says that the head which is to take the place of ours is durable.
func (r *Replica) Yielded(ours, theirs, made object.CommitID, cover object.Cover) []Action {
	r.held.add(made)
	if r.merging == theirs {
		r.merging = object.CommitID{}
	}
	if r.adopting.id.IsZero() {
		r.addCandidate(candidate{head: head{made, cover}, replaces: ours})
	}
	return r.next()
}

// Failed says that the Merge, Yield or Adopt of a head could not be done, for good:
// the head is dropped until it is received again. Peers that sent it take it to
// be here; they send it again after they connected anew, or with their next
// commit.
func (r *Replica) Failed(id object.CommitID) []Action {
	if r.merging == id {
		r.merging = object.CommitID{}
	}
	if r.adopting.id == id {
		r.adopting = head{}
	}
	r.candidates = slices.DeleteFunc(r.candidates, func(c candidate) bool { return c.id == id })
	return r.next()
}

// Applied says that the adopted head is what ref and disk show now.
func (r *Replica) Applied(id object.CommitID) []Action {
	if r.adopting.id != id || id.IsZero() {
		return nil // a local commit overtook it
	}
	h := r.adopting
	r.adopting = head{}
	return r.advance(h)
}

// advance makes h the head and tells the peers.
func (r *Replica) advance(h head) []Action {
	r.ours = h
	r.held.add(h.id)
	var out []Action
	for _, p := range r.connected() {
		out = append(out, r.announce(p)...)
		out = append(out, r.push(p)...)
	}
	return append(out, r.next()...)
}

// addCandidate keeps one of each head.
func (r *Replica) addCandidate(c candidate) {
	if !slices.ContainsFunc(r.candidates, func(o candidate) bool { return o.id == c.id }) {
		r.candidates = append(r.candidates, c)
	}
}

// next decides about the candidates, one at a time: forks come first, to adopt
// one ends more than to merge, and what covers most is adopted first.
func (r *Replica) next() []Action {
	r.candidates = slices.DeleteFunc(r.candidates, func(c candidate) bool {
		return r.settles(r.ours, c.head) || !c.replaces.IsZero() && c.replaces != r.ours.id
	})
	if !r.adopting.id.IsZero() || len(r.candidates) == 0 {
		return nil
	}
	if i := slices.IndexFunc(r.candidates, func(c candidate) bool { return !c.replaces.IsZero() }); i >= 0 {
		return r.adopt(r.candidates[i].head)
	}
	yield, out := r.weighForks()
	if len(r.candidates) == 0 {
		return out
	}
	best := r.best()
	switch {
	case yield == nil && best.cover.Contains(r.ours.cover, r.lineage):
		return append(out, r.adopt(best.head)...)
	case !r.merging.IsZero():
		return out
	case yield != nil:
		r.merging = yield.Theirs
		return append(out, *yield)
	}
	r.merging = best.id
	return append(out, Merge{Ours: r.ours.id, Theirs: best.id})
}

func (r *Replica) adopt(h head) []Action {
	r.adopting = h
	return []Action{Adopt{From: r.ours.id, Head: h.id, Cover: h.cover}}
}

// weighForks drops the candidates that have to give way to ours, and finds one
// that ours has to give way to.
func (r *Replica) weighForks() (yield *Yield, out []Action) {
	kept := r.candidates[:0]
	for _, c := range r.candidates {
		fork := r.fork(c.cover)
		if fork == nil {
			kept = append(kept, c)
			continue
		}
		if stands, err := r.lineage.Stands(fork); err == nil && !stands {
			kept = append(kept, c)
			if yield == nil {
				yield = &Yield{Ours: r.ours.id, Theirs: c.id, Fork: fork}
			}
			continue
		}
		out = append(out, r.refuse(c.from, fork)...)
		out = append(out, r.push(c.from)...)
	}
	r.candidates = kept
	return yield, out
}

// fork is where a cover and ours name two commits with one number, ours as A;
// nil where no such is known.
func (r *Replica) fork(cover object.Cover) *object.Fork {
	var fork *object.Fork
	errors.As(r.lineage.Agree(r.ours.cover, cover), &fork)
	return fork
}

// best is the candidate to adopt, or else to merge with.
func (r *Replica) best() candidate {
	contains := func(a, b object.Cover) bool { return a.Contains(b, r.lineage) }
	return slices.MinFunc(r.candidates, func(a, b candidate) int {
		if adoptA, adoptB := contains(a.cover, r.ours.cover), contains(b.cover, r.ours.cover); adoptA != adoptB {
			if adoptA {
				return -1
			}
			return 1
		}
		switch moreA, moreB := contains(a.cover, b.cover), contains(b.cover, a.cover); {
		case moreA && !moreB:
			return -1
		case moreB && !moreA:
			return 1
		}
		return slices.Compare(a.id[:], b.id[:])
	})
}

// settles reports whether h makes the other head needless: it covers more, or
// as much and has the lower id.
func (r *Replica) settles(h, o head) bool { return settles(h, o, object.Cover.Contains, r.lineage) }

// maySettle is settles as far as the commits of h are here: they are taken to
// be those of o where they are not.
func (r *Replica) maySettle(h, o head) bool { return settles(h, o, object.Cover.MayContain, r.lineage) }

func settles(h, o head, contains func(a, b object.Cover, l *object.Lineage) bool, l *object.Lineage) bool {
	switch {
	case h.id == o.id:
		return true
	case !contains(h.cover, o.cover, l):
		return false
	case !contains(o.cover, h.cover, l):
		return true
	}
	return !h.id.IsZero() && (o.id.IsZero() || slices.Compare(h.id[:], o.id[:]) < 0)
}
