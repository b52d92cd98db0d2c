package backend

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/silvermirror/smfs/backend/object"
	"github.com/silvermirror/smfs/backend/replica"
)

// target is what a peer has to have of a resource.
type target struct {
	r     *resource
	cover object.Cover
}

// waitMirrored returns once every node that can be reached has applied what is
// committed now. A peer that was not tried yet counts as one that can be.
func (s *sessions) waitMirrored(ctx context.Context) error {
	targets := make([]target, len(s.e.resources))
	for i, r := range s.e.resources {
		targets[i] = target{r, r.cover()}
	}
	if err := s.awaitReady(ctx); err != nil {
		return err
	}
	s.tryNow(nil)
	return s.await(ctx, nil, func(ctx context.Context, l *link) (bool, error) { return l.has(ctx, targets) })
}

// syncNow tries every selected peer at once, and returns when those that answer
// and this node have the same.
func (s *sessions) syncNow(ctx context.Context, list []*resource, hosts []string) error {
	if err := s.awaitReady(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	for _, h := range hosts {
		if s.peers[h] == nil {
			s.mu.Unlock()
			return fmt.Errorf("%w: no peer is called %q", ErrNotFound, h)
		}
	}
	total := len(s.peers) + len(s.links)
	s.mu.Unlock()
	if total == 0 {
		return nil
	}
	s.tryNow(hosts)
	return s.await(ctx, hosts, func(ctx context.Context, l *link) (bool, error) { return l.equal(ctx, list) })
}

// tryNow has the dialers of the selected peers that are not connected try at
// once, whatever pause they make: they count as not tried yet.
func (s *sessions) tryNow(hosts []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, p := range s.peers {
		if p.state == stateConnected || len(hosts) > 0 && !slices.Contains(hosts, name) {
			continue
		}
		p.tried = false
		p.state = stateConnecting
		select {
		case p.kick <- struct{}{}:
		default:
		}
	}
}

// await returns once every selected peer was tried, and done holds for each
// that is connected. One at least must be. It ends with what was refused, too,
// when that is not mended within the time that a peer has to answer: a session
// that begins anew, or the side that has to give way, may still do so.
func (s *sessions) await(ctx context.Context, hosts []string, done func(context.Context, *link) (bool, error)) error {
	events, stop := s.e.watch()
	defer stop()
	tick := time.NewTicker(time.Second) // a refusal grows old by itself
	defer tick.Stop()
	for start := time.Now(); ; {
		links, waits, failed := s.selected(hosts)
		for _, l := range links {
			ok, err := done(ctx, l)
			if err != nil && ctx.Err() == nil {
				return err
			}
			if !ok {
				waits = append(waits, awaited{l.name, l.node, l.waiting(s.e.resources)})
			}
		}
		if len(waits) == 0 && ctx.Err() == nil {
			if len(links) == 0 {
				return WithHint(fmt.Errorf("%w: no peer could be reached%s", ErrUnreachable, failed), "`smfs peer list` shows the peers, `smfs peer add` adds one")
			}
			return nil
		}
		if err := s.stuck(waits, start); err != nil {
			return err
		}
		select {
		case <-events:
		case <-tick.C:
		case <-ctx.Done():
			return waitError(ctx, ctx.Err(), "not mirrored yet on "+names(waits), "`smfs status` shows how far it is")
		}
	}
}

// awaited is a peer that is not as far as it should be.
type awaited struct {
	name, node string
	waiting    int // names that it could not bring up to date
}

func names(list []awaited) string {
	out := make([]string, len(list))
	for i, a := range list {
		out[i] = a.name
		if a.waiting > 0 {
			out[i] += fmt.Sprintf(" (names that wait there: %d; its own status says for what)", a.waiting)
		}
	}
	return strings.Join(out, ", ")
}

// stuck is what was refused in the exchange with a peer that is waited for, if
// that has been so for long, and since the wait began.
func (s *sessions) stuck(list []awaited, start time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for x, n := range s.refusals {
		since := n.since
		if since.Before(start) {
			since = start
		}
		i := slices.IndexFunc(list, func(a awaited) bool { return a.node == x.node })
		if i >= 0 && time.Since(since) > s.e.o.Config.Main.Timeout {
			return WithHint(fmt.Errorf("%w: %s: %w", ErrRefused, list[i].name, n.err),
				cmp.Or(Hint(n.err), "`smfs status` on both sides shows what each has; their smfs.log tells more"))
		}
	}
	return nil
}

// selected lists the links in use, the peers that no attempt to reach has ended
// for, and in words why others failed. hosts empty means all.
func (s *sessions) selected(hosts []string) (links []*link, untried []awaited, failed string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	wanted := map[string]bool{}
	for name, p := range s.peers {
		if len(hosts) > 0 && !slices.Contains(hosts, name) {
			continue
		}
		if list := s.links[p.node]; p.node != "" && len(list) > 0 {
			wanted[p.node] = true
			continue
		}
		if !p.tried {
			untried = append(untried, awaited{name: name, node: p.node})
		}
		if p.problem != "" {
			failed += "; " + name + ": " + p.problem
		}
	}
	for node, list := range s.links {
		if len(hosts) == 0 || wanted[node] {
			links = append(links, list[0])
		}
	}
	return links, untried, failed
}

// has tells whether the node has applied the targets, and nothing waits there.
func (l *link) has(ctx context.Context, targets []target) (bool, error) {
	for i := range targets {
		t := &targets[i]
		if _, shared := l.nameOf(t.r); !shared || t.cover == nil {
			continue
		}
		if l.waiting([]*resource{t.r}) > 0 {
			return false, nil
		}
		ok := false
		if err := t.r.do(ctx, func() error {
			if !t.r.replica.Covers(t.cover) {
				t.cover = t.r.cover() // it was recorded anew since, after a fork
			}
			ok = t.r.replica.Mirrored(replica.Peer(l.node), t.cover)
			return nil
		}); err != nil || !ok {
			return false, err
		}
	}
	return true, nil
}

// waiting is how many names of the resources wait at the node.
func (l *link) waiting(list []*resource) (n int) {
	for _, r := range list {
		if a, shared := l.state(r); shared {
			n += max(a.Waiting, 0)
		}
	}
	return n
}

// equal tells whether the node shows the same heads as this one.
func (l *link) equal(ctx context.Context, list []*resource) (bool, error) {
	for _, r := range list {
		if _, shared := l.nameOf(r); !shared {
			continue
		}
		ok := false
		if err := r.do(ctx, func() error {
			head, known := r.replica.PeerHead(replica.Peer(l.node))
			ok = known && head == r.replica.Head()
			return nil
		}); err != nil || !ok {
			return false, err
		}
	}
	return true, nil
}

// changed wakes all who wait for something to happen in the engine.
func (e *Engine) changed() {
	for _, r := range e.resources {
		r.changed()
	}
}

// watch returns a channel that gets a value after each change of anything, and
// a function that ends that.
func (e *Engine) watch() (<-chan struct{}, func()) {
	w := make(chan struct{}, 1)
	for _, r := range e.resources {
		r.addWatcher(w)
	}
	return w, func() {
		for _, r := range e.resources {
			r.removeWatcher(w)
		}
	}
}

// peerState is what a node has applied of the resource, as the worker last
// published it.
func (r *resource) peerState(node string) (head string, behind int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.peers[node]
	return s.head, s.behind
}

type peerState struct {
	head   string
	behind int
}

// publish makes what the sync state knows of the nodes readable beside the
// worker.
func (r *resource) publish() {
	if len(r.nodes) == 0 && len(r.peers) == 0 {
		return
	}
	peers := make(map[string]peerState, len(r.nodes))
	for node := range r.nodes {
		var s peerState
		head, ok := r.replica.PeerHead(replica.Peer(node))
		if ok && !head.IsZero() {
			s.head = head.String()
		}
		if ok && head == r.replica.Head() && r.mended != nil {
			r.mended(node)
		}
		s.behind = r.replica.Behind(replica.Peer(node))
		peers[node] = s
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.peers = peers
}

// post has the worker run f some time; if the engine ends first it is not run.
func (r *resource) post(ctx context.Context, f func()) {
	select {
	case r.calls <- f:
	case <-ctx.Done():
	}
}

var errFuture = errors.New("it is from the future")
