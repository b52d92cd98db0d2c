package backend

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/silvermirror/smfs/backend/object"
	"github.com/silvermirror/smfs/backend/peer"
	"github.com/silvermirror/smfs/backend/replica"
	"github.com/silvermirror/smfs/backend/store"
)

// States of a peer, as status shows them.
const (
	stateConnecting  = "connecting"
	stateConnected   = "connected"
	stateUnreachable = "unreachable"
)

// sessions keeps a session with each peer: it dials those that are configured,
// takes those that come in through `smfs serve --stdio`, and carries what the
// workers want sent. A node that is connected twice, since both sides dialed,
// has one link in use; the others are spare.
type sessions struct {
	e      *Engine
	self   string // fingerprint of this node
	mirror string // id of the mirror and of the place that it is at
	log    *slog.Logger
	dialer *peer.Dialer

	started chan struct{} // closed once ctx is set
	ctx     context.Context
	group   sync.WaitGroup

	mu    sync.Mutex // guards what follows; taken before those of links, resources and sessions
	file  *peerFile
	peers map[string]*remote
	links map[string][]*link // by link.node; the first is in use
	// What was refused, by either side, and is not mended yet.
	refusals map[exchange]refusalNote
}

// exchange is a resource that is shared with a node.
type exchange struct {
	node string
	r    *resource
}

// refusalNote is why an exchange does not go on.
type refusalNote struct {
	err   error
	since time.Time
}

// remote is a configured peer. Its fields but spec and kick are guarded by
// sessions.mu.
type remote struct {
	spec   PeerSpec
	kick   chan struct{} // tells the dialer not to wait any longer
	cancel context.CancelFunc

	state   string
	problem string
	node    string // link.node, once it was connected
	tried   bool   // an attempt has ended, one way or the other
}

func newSessions(e *Engine) (*sessions, error) {
	file, err := openPeerFile(e.o.State)
	if err != nil {
		return nil, err
	}
	here, err := placeOf(e.o.State)
	if err != nil {
		return nil, err
	}
	s := &sessions{
		e: e, self: object.Fingerprint(e.o.Node.Signer.PublicKey()), mirror: e.o.Node.Mirror + "-" + here.String(), log: e.log, file: file,
		dialer:  peer.NewDialer(e.o.Env, e.log),
		started: make(chan struct{}), peers: map[string]*remote{}, links: map[string][]*link{}, refusals: map[exchange]refusalNote{},
	}
	var hosts []string
	for _, r := range e.resources {
		hosts = append(hosts, r.conf.Hosts...)
		r.send = func(a replica.Action) { s.carry(r, a) }
		r.hangUp = func(err error) { s.hangUp(r, err) }
		r.mended = func(node string) { s.mended(node, r) }
	}
	list, err := configuredPeers(file, hosts)
	if err != nil {
		return nil, err
	}
	for _, spec := range list {
		s.peers[spec.Name] = newRemote(spec)
	}
	return s, nil
}

func newRemote(spec PeerSpec) *remote {
	return &remote{spec: spec, kick: make(chan struct{}, 1), state: stateConnecting}
}

// run dials the peers and serves sessions until ctx ends.
func (s *sessions) run(ctx context.Context) error {
	s.mu.Lock()
	s.ctx = ctx
	for _, p := range s.peers {
		s.startDialer(p)
	}
	s.mu.Unlock()
	close(s.started)
	<-ctx.Done()
	s.group.Wait()
	return nil
}

// awaitReady returns once every resource's head stands for what is on disk.
func (s *sessions) awaitReady(ctx context.Context) error {
	select {
	case <-s.started:
	case <-ctx.Done():
		return ctx.Err()
	}
	for _, r := range s.e.resources {
		select {
		case <-r.ready:
		case <-ctx.Done():
			return ctx.Err()
		case <-s.ctx.Done():
			return ErrClosing
		}
	}
	return nil
}

// hello is what this node says of itself.
func (s *sessions) hello() peer.Hello {
	h := peer.Hello{Node: s.self, Name: s.e.o.Node.Name, MirrorID: s.mirror}
	for _, r := range s.e.resources {
		h.Resources = append(h.Resources, r.describe())
	}
	return h
}

// describe is what a peer is told of a resource.
func (r *resource) describe() peer.Resource {
	head, c := r.headNow()
	d := peer.Resource{Name: r.name, IDs: r.store.Meta().ResourceIDs, Empty: c == nil, Head: head}
	if c != nil {
		d.Cover = c.FullCover(head)
	}
	return d
}

// Session speaks with a peer that has come in, over stream, until either side
// ends.
func (e *Engine) Session(ctx context.Context, stream io.ReadWriteCloser) error {
	s := e.sessions
	if err := s.awaitReady(ctx); err != nil {
		stream.Close()
		return err
	}
	l, err := s.open(ctx, stream, peer.Options{})
	if err != nil {
		return err
	}
	return s.serve(ctx, l)
}

// open greets a peer.
func (s *sessions) open(ctx context.Context, stream io.ReadWriteCloser, o peer.Options) (*link, error) {
	l := &link{s: s, theirs: map[*resource]string{}, latest: map[*resource]peer.Announce{}, queue: map[*resource]peer.Announce{}, send: make(chan struct{}, 1), serving: make(chan struct{})}
	o.Hello, o.Handler, o.Log = s.hello(), l, s.log
	session, err := peer.Open(ctx, stream, o)
	if err != nil {
		return nil, err
	}
	h := session.PeerHello()
	l.session, l.node, l.name = session, h.Node+"@"+h.MirrorID, h.Name
	if h.Node == s.self && h.MirrorID == s.mirror {
		session.Close()
		return nil, fmt.Errorf("%w: the address leads to this mirror itself", ErrRefused)
	}
	return l, nil
}

// serve has a link take part until its session or ctx ends.
func (s *sessions) serve(ctx context.Context, l *link) error {
	s.group.Add(1)
	defer s.group.Done()
	s.join(l)
	defer s.leave(l)
	s.group.Go(l.sendAnnouncements)
	for r := range l.shared() {
		s.connect(l, r)
	}
	close(l.serving)
	s.e.changed()
	select {
	case <-l.session.Done():
		return l.session.Err()
	case <-ctx.Done():
	case <-s.ctx.Done():
	}
	return nil
}

// join makes the link known, and finds the resources that are shared already.
func (s *sessions) join(l *link) {
	for _, theirs := range l.session.PeerHello().Resources {
		for _, r := range s.e.resources {
			ours := r.describe()
			if s.meant(l, r) && peer.Negotiate(identity(ours), identity(theirs), false) == peer.Shared {
				l.share(r, theirs.Name)
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.links[l.node] = append(s.links[l.node], l)
	for _, p := range s.peers {
		if p.node == l.node {
			p.state, p.problem = stateConnected, strings.Join(l.unshared, "; ")
		}
	}
}

// meant tells whether the config wants the resource mirrored with the node:
// where the resource lists hosts, the node must be one of them. A node that is
// no configured peer was let in by its login.
func (s *sessions) meant(l *link, r *resource) bool {
	if len(r.conf.Hosts) == 0 {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	remotes := []*remote{l.remote}
	if l.remote == nil { // it came in
		remotes = slices.DeleteFunc(slices.Collect(maps.Values(s.peers)), func(p *remote) bool { return p.node != l.node })
	}
	return len(remotes) == 0 || slices.ContainsFunc(remotes, func(p *remote) bool {
		return slices.Contains(r.conf.Hosts, p.spec.Name) || slices.Contains(r.conf.Hosts, p.spec.URL)
	})
}

// leave ends a link. Another link to the same node takes over.
func (s *sessions) leave(l *link) {
	l.session.Close()
	s.mu.Lock()
	list := s.links[l.node]
	used := list[0] == l
	list = slices.DeleteFunc(slices.Clone(list), func(o *link) bool { return o == l })
	s.links[l.node] = list
	if len(list) == 0 {
		delete(s.links, l.node)
	}
	s.mu.Unlock()
	if used {
		for r := range l.shared() {
			s.disconnect(l, r)
		}
		if len(list) > 0 {
			for r := range list[0].shared() {
				s.connect(list[0], r)
			}
		}
	}
	s.e.changed()
}

// connect tells a resource's sync state of a node, and the node of our head,
// which may have moved since the greeting.
func (s *sessions) connect(l *link, r *resource) {
	if s.linkTo(l.node) != l {
		return // a spare link
	}
	r.post(s.ctx, func() {
		theirs, ok := l.state(r)
		if !ok {
			return
		}
		r.nodes[l.node] = l
		d := r.describe()
		l.announce(r, d.Head, d.Cover)
		r.act(r.replica.Connected(replica.Peer(l.node), theirs.Head, theirs.Cover))
	})
}

// linkTo returns the link in use to a node, nil where there is none.
func (s *sessions) linkTo(node string) *link {
	s.mu.Lock()
	defer s.mu.Unlock()
	if list := s.links[node]; len(list) > 0 {
		return list[0]
	}
	return nil
}

// carry does what a worker's sync state asks for, without blocking it.
func (s *sessions) carry(r *resource, a replica.Action) {
	switch a := a.(type) {
	case replica.Push:
		s.group.Go(func() { s.push(r, a) })
	case replica.Announce:
		if l := s.linkTo(string(a.Peer)); l != nil {
			l.announce(r, a.Head, a.Cover)
		}
	case replica.Refuse:
		s.refuse(r, a)
	}
}

// unshare ends the exchange of one resource over a link: the node does not
// want it.
func (s *sessions) unshare(l *link, r *resource) {
	l.unshare(r)
	s.disconnect(l, r)
}

// disconnect tells a resource's sync state that a link is gone, unless another
// link to the node has taken its place.
func (s *sessions) disconnect(l *link, r *resource) {
	r.post(s.ctx, func() {
		if r.nodes[l.node] == l {
			delete(r.nodes, l.node)
			r.act(r.replica.Disconnected(replica.Peer(l.node)))
		}
	})
}

// push sends a node what it lacks of a head.
func (s *sessions) push(r *resource, a replica.Push) {
	l := s.linkTo(string(a.Peer))
	err := peer.ErrClosed
	if l != nil {
		err = l.push(s.ctx, r, a)
	}
	if err != nil && s.ctx.Err() == nil && l != nil {
		s.log.Warn("push failed", "resource", r.name, "peer", l.name, "error", err)
		if errors.Is(err, &peer.Refusal{Code: peer.UnknownResource}) {
			s.unshare(l, r)
		} else if !lacks(err) && !errors.Is(err, &peer.Refusal{Code: peer.Fork}) && !errors.Is(err, &peer.Refusal{Code: peer.NotAuthorised}) {
			l.session.Abort(err) // the dialer connects anew, and what is missing is found out again
		}
		s.note(l.node, r, err, err)
	}
	r.post(s.ctx, func() { r.act(r.replica.PushDone(a.Peer, a.Head, err)) })
}

// lacks tells whether it is our store that has not all it should: the peer may be what
// helps out, and a new session would not do better.
func lacks(err error) bool {
	var refused *peer.Refusal
	return !errors.As(err, &refused) && (errors.Is(err, store.ErrMissing) || errors.Is(err, store.ErrCorrupt))
}

// sendAgain has the nodes sent what could not be read before.
func (s *sessions) sendAgain(r *resource) {
	s.mu.Lock()
	var links []*link
	for _, list := range s.links {
		links = append(links, list[0])
	}
	s.mu.Unlock()
	for _, l := range links {
		s.connect(l, r)
	}
}

// hangUp ends the sessions that share a resource; the dialers connect anew.
func (s *sessions) hangUp(r *resource, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, list := range s.links {
		for _, l := range list {
			if _, shared := l.nameOf(r); shared {
				l.session.Abort(err)
			}
		}
	}
}

func (s *sessions) refuse(r *resource, a replica.Refuse) {
	err := fmt.Errorf("%s: refused the peer's head, which has to give way: %w", r.name, a.Fork)
	s.log.Warn("peer refused", "peer", a.Peer, "error", err)
	s.note(string(a.Peer), r, &peer.Refusal{Code: peer.Fork}, err)
}

// note notes why a node does not get, or give, what it should. What cause says
// was refused, or lacks in a store, is in the way of the resource until both show
// the same.
func (s *sessions) note(node string, r *resource, cause, err error) {
	s.fault(node, err)
	var refused *peer.Refusal
	if !lacks(cause) && (!errors.As(cause, &refused) || refused.Code == peer.UnknownResource) {
		return
	}
	s.mu.Lock()
	x := exchange{node, r}
	if _, noted := s.refusals[x]; !noted {
		s.refusals[x] = refusalNote{err, time.Now()}
	}
	s.mu.Unlock()
	s.e.changed()
}

// mended forgets what was refused: the node shows what this one does.
func (s *sessions) mended(node string, r *resource) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := exchange{node, r}
	n, noted := s.refusals[x]
	if !noted {
		return
	}
	delete(s.refusals, x)
	for _, p := range s.peers {
		if p.node == node && p.problem == errorText(n.err) {
			p.problem = ""
		}
	}
}

// refusedBy is what is refused in the exchange with a node, "" if nothing. s.mu
// is held.
func (s *sessions) refusedBy(node string) string {
	for x, n := range s.refusals {
		if x.node == node {
			return errorText(n.err)
		}
	}
	return ""
}

// fault notes why a node does not get what it should, for status.
func (s *sessions) fault(node string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.peers {
		if p.node == node {
			p.problem = errorText(err)
		}
	}
}

// status lists the configured peers, and the nodes that have come in.
func (s *sessions) status() []PeerStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []PeerStatus
	named := map[string]bool{}
	for _, p := range s.peers {
		st := PeerStatus{Name: p.spec.Name, URL: p.spec.URL, State: p.state, Error: p.problem}
		if list := s.links[p.node]; p.node != "" && len(list) > 0 {
			named[p.node] = true
			list[0].describe(&st)
			st.Error = cmp.Or(st.Error, s.refusedBy(p.node))
		}
		out = append(out, st)
	}
	for node, list := range s.links {
		if !named[node] {
			st := PeerStatus{Name: list[0].name, State: stateConnected, Error: s.refusedBy(node)}
			list[0].describe(&st)
			out = append(out, st)
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}
