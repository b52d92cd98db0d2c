package backend

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sort"
	"sync"
	"time"

	"github.com/silvermirror/smfs/backend/object"
	"github.com/silvermirror/smfs/backend/peer"
	"github.com/silvermirror/smfs/backend/replica"
)

// link is a session with a node.
type link struct {
	s       *sessions
	node    string // its fingerprint and where it is: copies share a key
	name    string
	remote  *remote // that was dialed; nil: the node came in
	session *peer.Session
	serving chan struct{} // closed once the link takes part: what is shared is settled

	unshared []string // why resources that both have are not, where we dialed

	mu     sync.Mutex // guards what follows; innermost
	theirs map[*resource]string
	latest map[*resource]peer.Announce // what the node last announced
	queue  map[*resource]peer.Announce // what is to be announced, the newest of each
	send   chan struct{}
}

func (l *link) push(ctx context.Context, r *resource, a replica.Push) error {
	name, ok := l.nameOf(r)
	if !ok {
		return peer.ErrClosed
	}
	out, err := r.store.Pack(ctx, a.Head, a.Haves)
	if err != nil {
		return fmt.Errorf("collect what the peer lacks: %w", err)
	}
	if large := out.Large(); len(large) > 0 { // it may have them in another file
		has, err := l.session.Has(ctx, name, large)
		if err != nil {
			return err
		}
		out.Leave(large, has)
	}
	p := peer.Push{Resource: name, Head: a.Head, Haves: a.Haves, Size: out.Bytes}
	return l.session.Push(ctx, p, func(w io.Writer) error {
		_, err := out.WriteTo(w)
		return err
	})
}

// share notes that a resource is shared, and what the node calls it.
func (l *link) share(r *resource, name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.theirs[r] = name
}

func (l *link) unshare(r *resource) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.theirs, r)
}

func (l *link) nameOf(r *resource) (string, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	name, ok := l.theirs[r]
	return name, ok
}

// shared returns a copy of what is shared over the link.
func (l *link) shared() map[*resource]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make(map[*resource]string, len(l.theirs))
	for r, name := range l.theirs {
		out[r] = name
	}
	return out
}

// state is what the node last said it has applied of a resource.
func (l *link) state(r *resource) (peer.Announce, bool) {
	l.mu.Lock()
	name, ok := l.theirs[r]
	a, announced := l.latest[r]
	l.mu.Unlock()
	if announced || !ok {
		return a, ok
	}
	for _, d := range l.session.PeerHello().Resources {
		if d.Name == name {
			return peer.Announce{Resource: name, Head: d.Head, Cover: d.Cover}, true
		}
	}
	return peer.Announce{}, false
}

// announce has the link tell the node what is applied here.
func (l *link) announce(r *resource, head object.CommitID, cover object.Cover) {
	name, ok := l.nameOf(r)
	if !ok {
		return
	}
	waiting := r.waitingCount()
	l.mu.Lock()
	l.queue[r] = peer.Announce{Resource: name, Head: head, Cover: cover, Waiting: waiting}
	l.mu.Unlock()
	select {
	case l.send <- struct{}{}:
	default:
	}
}

// sendAnnouncements sends what announce queues, one after the other.
func (l *link) sendAnnouncements() {
	for {
		select {
		case <-l.send:
		case <-l.session.Done():
			return
		}
		l.mu.Lock()
		queue := l.queue
		l.queue = map[*resource]peer.Announce{}
		l.mu.Unlock()
		for r, a := range queue {
			err := l.session.Announce(l.s.ctx, a)
			if errors.Is(err, &peer.Refusal{Code: peer.UnknownResource}) {
				l.s.unshare(l, r)
				continue
			}
			if err != nil && l.session.Err() == nil {
				l.session.Abort(err)
				return
			}
		}
	}
}

func identity(d peer.Resource) peer.Identity { return peer.Identity{IDs: d.IDs, Empty: d.Empty} }

// describe fills in what is exchanged over the link.
func (l *link) describe(st *PeerStatus) {
	for r := range l.shared() {
		rs := PeerResourceStatus{Name: r.name}
		rs.Head, rs.Behind = r.peerState(l.node)
		st.Resources = append(st.Resources, rs)
	}
	sort.Slice(st.Resources, func(i, j int) bool { return st.Resources[i].Name < st.Resources[j].Name })
	for _, t := range l.session.Transfers() {
		tr := Transfer{Path: t.Resource, Bytes: t.Bytes, Total: t.Total}
		if d := time.Since(t.Started); d > 0 {
			tr.Rate = int64(float64(t.Bytes) / d.Seconds())
		}
		st.Transfers = append(st.Transfers, tr)
	}
}
