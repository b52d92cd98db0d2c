package replica

import (
	"errors"
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
	refused bool
}

// Connected says that a session with the peer began, with what is applied
// there. It forgets what an earlier session was about.
func (r *Replica) Connected(id Peer, headID object.CommitID, cover object.Cover) []Action {
	p := &peer{}
	r.peers[id] = p
	if out := r.told(id, p, head{headID, cover}); out != nil {
		return out
	}
	return append(r.announce(id), r.push(id)...)
}

// Announced says what is applied at the peer now.
func (r *Replica) Announced(id Peer, headID object.CommitID, cover object.Cover) []Action {
	p := r.peers[id]
	if p == nil || p.refused {
		return nil
	}
	if out := r.told(id, p, head{headID, cover}); out != nil {
		return out
	}
	return r.push(id)
}

// told notes a peer's head. It returns the refusal if there is a fork.
func (r *Replica) told(id Peer, p *peer, h head) []Action {
	p.head = h
	p.has.add(h.id)
	p.failed = object.CommitID{}
	return r.checkFork(id, h.cover)
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
	if p == nil || p.refused || !p.sending.IsZero() || p.failed == r.ours.id || r.ours.id.IsZero() {
		return nil
	}
	if p.has.has(r.ours.id) || p.head.settles(r.ours) {
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
		if r.ours.cover.Has(t.Writer, t.Seq) {
			add(t.Commit)
		}
	}
	return out
}

func (r *Replica) announce(id Peer) []Action {
	if p := r.peers[id]; p == nil || p.refused {
		return nil
	}
	return []Action{Announce{Peer: id, Head: r.ours.id, Cover: r.ours.cover}}
}

func (r *Replica) connected() []Peer { return slices.Sorted(maps.Keys(r.peers)) }

// checkFork refuses a peer whose cover and ours name two commits for one
// number of one writer.
func (r *Replica) checkFork(id Peer, cover object.Cover) []Action {
	_, err := r.ours.cover.Union(cover)
	if !errors.Is(err, object.ErrFork) {
		return nil
	}
	p := r.peers[id]
	if p == nil || p.refused {
		return []Action{}
	}
	p.refused = true
	return []Action{Refuse{Peer: id, Writer: forked(r.ours.cover, cover), Reason: err.Error()}}
}

func forked(a, b object.Cover) object.Writer {
	for _, t := range a {
		if o, ok := b.Get(t.Writer); ok && o.Seq == t.Seq && o.Commit != t.Commit {
			return t.Writer
		}
	}
	return ""
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
		}
	}
	return int(behind)
}

// Mirrored reports whether the peer has applied all of cover. It is false for
// a peer that is not connected.
func (r *Replica) Mirrored(id Peer, cover object.Cover) bool {
	p := r.peers[id]
	return p != nil && p.head.cover.Contains(cover)
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
