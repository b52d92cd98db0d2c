package replica

import (
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
	from Peer
}

// Replica is the state of one resource on one node.
type Replica struct {
	ours       head
	peers      map[Peer]*peer
	candidates []candidate
	held       recent // heads that are complete here

	merging  object.CommitID // the candidate of the Merge under way, or zero
	adopting head            // of the Adopt under way, or zero
}

// New starts with the head that is applied. The zero id is a resource without
// a commit.
func New(id object.CommitID, cover object.Cover) *Replica {
	r := &Replica{ours: head{id, cover}, peers: make(map[Peer]*peer)}
	r.held.add(id)
	return r
}

// Head is the applied head.
func (r *Replica) Head() object.CommitID { return r.ours.id }

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
	if act := r.checkFork(from, cover); act != nil {
		return act
	}
	if p := r.peers[from]; p != nil {
		p.has.add(id)
	}
	if r.ours.settles(theirs) {
		// The peer did not know what is here.
		return append(r.announce(from), r.push(from)...)
	}
	r.addCandidate(candidate{theirs, from})
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

// Failed says that the Merge or Adopt of a head could not be done, for good:
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

// next decides about the candidates, one at a time: to adopt one ends more
// than to merge, and what covers most is adopted first.
func (r *Replica) next() []Action {
	r.candidates = slices.DeleteFunc(r.candidates, func(c candidate) bool { return r.ours.settles(c.head) })
	if !r.adopting.id.IsZero() || len(r.candidates) == 0 {
		return nil
	}
	best := r.best()
	if best.cover.Contains(r.ours.cover) {
		r.adopting = best.head
		return []Action{Adopt{From: r.ours.id, Head: best.id, Cover: best.cover}}
	}
	if !r.merging.IsZero() {
		return nil
	}
	if out := r.checkFork(best.from, best.cover); out != nil {
		r.candidates = slices.DeleteFunc(r.candidates, func(c candidate) bool { return c.id == best.id })
		return append(out, r.next()...)
	}
	r.merging = best.id
	return []Action{Merge{Ours: r.ours.id, Theirs: best.id}}
}

// best is the candidate to adopt, or else to merge with.
func (r *Replica) best() candidate {
	return slices.MinFunc(r.candidates, func(a, b candidate) int {
		if adoptA, adoptB := a.cover.Contains(r.ours.cover), b.cover.Contains(r.ours.cover); adoptA != adoptB {
			if adoptA {
				return -1
			}
			return 1
		}
		switch moreA, moreB := a.cover.Contains(b.cover), b.cover.Contains(a.cover); {
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
func (h head) settles(o head) bool {
	switch {
	case h.id == o.id:
		return true
	case !h.cover.Contains(o.cover):
		return false
	case !o.cover.Contains(h.cover):
		return true
	}
	return !h.id.IsZero() && (o.id.IsZero() || slices.Compare(h.id[:], o.id[:]) < 0)
}
