package replica

import (
	"maps"
	"slices"

	"github.com/silvermirror/smfs/backend/object"
)

// peer is what is known of a connected peer.
type peer struct {
	head    head            // applied there
	has     recent          // heads that are complete there: it weighs them, or has done
	sending object.CommitID // the push under way, or zero
	failed  object.CommitID // the last push, if it failed and nothing is new since
	refused bool            // its head is known to be of a fork, and that was told
}

// Connected says that a session with the peer began, with what is applied
// there. It forgets what an earlier session was about.
func (r *Replica) Connected(id Peer, headID object.CommitID, cover object.Cover) []Action {
	p := &peer{}
	r.peers[id] = p
	out := r.told(id, p, head{headID, cover})
	return slices.Concat(out, r.announce(id), r.push(id))
}

// Announced says what is applied at the peer now.
func (r *Replica) Announced(id Peer, headID object.CommitID, cover object.Cover) []Action {
	p := r.peers[id]
	if p == nil {
		return nil
	}
	return append(r.told(id, p, head{headID, cover}), r.push(id)...)
}

// told notes a peer's head. It returns the refusal if there is a fork. The peer
// is sent ours then, and sends its own: whoever finds that the other's commit
// stands gives way.
func (r *Replica) told(id Peer, p *peer, h head) []Action {
	p.head = h
	p.has.add(h.id)
	p.failed = object.CommitID{}
	fork := r.fork(h.cover)
	if fork == nil {
		p.refused = false
		return nil
	}
	return r.refuse(id, fork)
}

// Disconnected says that the session ended, and with it any push.
func (r *Replica) Disconnected(id Peer) []Action {
	delete(r.peers, id)
	return nil
}

// PushDone says that a push ended. A failed one is not repeated within the
// session unless there is something new: the engine reconnects.
func (r *Replica) PushDone(id Peer, headID object.CommitID, err error) []Action {
	p := r.peers[id]
	if p == nil || p.sending != headID {
		return nil
	}
	p.sending, p.failed = object.CommitID{}, object.CommitID{}
	if err == nil {
		p.has.add(headID)
	} else {
		p.failed = headID
	}
	return r.push(id)
}

// push starts a push to the peer, if it lacks something and none is under way.
func (r *Replica) push(id Peer) []Action {
	p := r.peers[id]
	if p == nil || !p.sending.IsZero() || p.failed == r.ours.id || r.ours.id.IsZero() {
		return nil
	}
	if p.has.has(r.ours.id) || r.maySettle(p.head, r.ours) {
		return nil
	}
	p.sending = r.ours.id
	return []Action{Push{Peer: id, Head: r.ours.id, Haves: r.haves(p)}}
}

// haves are the commits known to be on both sides, newest knowledge first: the
// peer's heads that are here, and its writers' tips that ours covers.
func (r *Replica) haves(p *peer) []object.CommitID {
	var out []object.CommitID
	add := func(id object.CommitID) {
		if !id.IsZero() && id != r.ours.id && !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	for _, id := range p.has.newest() {
		if r.held.has(id) {
			add(id)
		}
	}
	for _, t := range p.head.cover {
		if r.Covers(object.Cover{t}) {
			add(t.Commit)
		}
	}
	return out
}

func (r *Replica) announce(id Peer) []Action {
	if r.peers[id] == nil {
		return nil
	}
	return []Action{Announce{Peer: id, Head: r.ours.id, Cover: r.ours.cover}}
}

func (r *Replica) connected() []Peer { return slices.Sorted(maps.Keys(r.peers)) }

// refuse tells of a peer's fork, once.
func (r *Replica) refuse(id Peer, fork *object.Fork) []Action {
	p := r.peers[id]
	if p == nil || p.refused {
		return nil
	}
	p.refused = true
	return []Action{Refuse{Peer: id, Fork: fork}}
}

// Behind is the number of user commits of ours that the peer has not applied;
// all, if it is not connected.
func (r *Replica) Behind(id Peer) int {
	var theirs object.Cover
	if p := r.peers[id]; p != nil {
		theirs = p.head.cover
	}
	behind := uint64(0)
	for _, t := range r.ours.cover {
		o, _ := theirs.Get(t.Writer)
		if o.Seq < t.Seq {
			behind += t.Seq - o.Seq
		} else if id, known := r.lineage.At(o, t.Seq); known && id != t.Commit {
			behind++ // a fork: how many there are is not known
		}
	}
	return int(behind)
}

// Mirrored reports whether the peer is known to have applied all of cover. It
// is false for a peer that is not connected, and where that hangs on commits
// which are not here yet.
func (r *Replica) Mirrored(id Peer, cover object.Cover) bool {
	p := r.peers[id]
	return p != nil && p.head.cover.Contains(cover, r.lineage)
}

// PeerHead is what is applied at the peer as far as known.
func (r *Replica) PeerHead(id Peer) (object.CommitID, bool) {
	p := r.peers[id]
	if p == nil {
		return object.CommitID{}, false
	}
	return p.head.id, true
}

// recent is a small set of commits, the oldest forgotten first.
type recent struct{ ids []object.CommitID }

const maxRecent = 64

func (s *recent) add(id object.CommitID) {
	if id.IsZero() {
		return
	}
	s.ids = slices.DeleteFunc(s.ids, func(o object.CommitID) bool { return o == id })
	if len(s.ids) == maxRecent {
		s.ids = s.ids[1:]
	}
	s.ids = append(s.ids, id)
}

func (s *recent) has(id object.CommitID) bool { return slices.Contains(s.ids, id) }

func (s *recent) newest() []object.CommitID {
	out := slices.Clone(s.ids)
	slices.Reverse(out)
	return out
}
