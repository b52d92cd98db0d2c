package backend

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
	"unicode"

	"gopkg.in/ini.v1"

	"github.com/silvermirror/smfs/backend/peer"
)

// startDialer keeps a session with a peer from now on. s.mu is held.
func (s *sessions) startDialer(p *remote) {
	ctx, cancel := context.WithCancel(s.ctx)
	p.cancel = cancel
	s.group.Go(func() { s.keepDialing(ctx, p, nil) })
}

// steady is how long a session must last for its end not to count as one more
// failure.
const steady = 10 * time.Second

// keepDialing connects to a peer and, when the session ends, connects again,
// until ctx ends. first is a session that exists already, or nil.
func (s *sessions) keepDialing(ctx context.Context, p *remote, first *link) {
	if s.awaitReady(ctx) != nil {
		return
	}
	wait := peer.Backoff{Random: rand.Float64, Max: 30 * time.Second}
	for {
		l, err := first, error(nil)
		if l == nil {
			l, err = s.connectTo(ctx, p, false)
		}
		first = nil
		served := err == nil
		if served {
			began := time.Now()
			s.log.Info("connected", "peer", p.spec.Name, "node", l.name)
			err = s.serve(ctx, l)
			if time.Since(began) > steady {
				wait.Reset()
			}
		}
		if ctx.Err() != nil {
			return
		}
		s.lost(p, err, served)
		timer := time.NewTimer(wait.Next())
		select {
		case <-timer.C:
		case <-p.kick:
			timer.Stop()
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

// connectTo dials a peer, greets it and agrees on what is shared. unite allows
// to share resources that both hold files and were never one.
func (s *sessions) connectTo(ctx context.Context, p *remote, unite bool) (*link, error) {
	patience := s.e.o.Config.Main.Timeout
	limit, cancel := context.WithTimeoutCause(ctx, patience, &ofKind{fmt.Errorf("no answer within %s", patience), ErrUnreachable})
	defer cancel()
	stream, err := s.dial(limit, p.spec)
	if err != nil {
		return nil, err
	}
	l, err := s.open(limit, stream, peer.Options{Initiator: true})
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	p.node, l.remote = l.node, p
	s.mu.Unlock()
	if err := s.agree(ctx, l, unite); err != nil {
		l.session.Close()
		return nil, err
	}
	return l, nil
}

// agree asks the peer to share what has the same name on both sides and is not
// shared yet. At least one resource must be shared in the end.
func (s *sessions) agree(ctx context.Context, l *link, unite bool) error {
	var errs []error
	some := false
	for _, theirs := range l.session.PeerHello().Resources {
		for _, r := range s.e.resources {
			if !s.meant(l, r) {
				continue
			}
			ours := identity(r.describe())
			if peer.Negotiate(ours, identity(theirs), false) == peer.Shared {
				l.share(r, theirs.Name)
				some = true
				continue
			}
			if r.name != theirs.Name {
				continue
			}
			if err := s.askToShare(ctx, l, r, ours, theirs.Name, unite); err != nil {
				errs = append(errs, err)
				continue
			}
			some = true
		}
	}
	if some {
		for _, err := range errs {
			s.log.Warn("a resource is not shared", "peer", l.name, "error", err)
			l.unshared = append(l.unshared, errorText(err))
		}
		return nil
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	return WithHint(fmt.Errorf("%w: %s has no resource in common with this mirror", ErrRefused, l.name), "resources are matched by name the first time: give one the same section name on both sides")
}

func (s *sessions) askToShare(ctx context.Context, l *link, r *resource, ours peer.Identity, name string, unite bool) error {
	l.share(r, name) // before the peer answers: it announces at once
	got, err := l.session.Join(ctx, peer.Join{Resource: name, IDs: ours.IDs, Empty: ours.Empty, Unite: unite})
	if err == nil {
		_, err = r.negotiate(ctx, peer.Identity(got), unite)
	}
	if err != nil {
		l.unshare(r)
	}
	if errors.Is(err, &peer.Refusal{Code: peer.NotShared}) {
		return WithHint(fmt.Errorf("%w: %s holds files on both sides that were never one mirror", ErrRefused, r.name), "to unite them, keeping all files of both, add the peer with --join")
	}
	if err != nil {
		return fmt.Errorf("share %s: %w", r.name, err)
	}
	return nil
}

// lost notes that a peer is not connected. One whose session has just ended may
// be back at once, so it counts as not tried yet.
func (s *sessions) lost(p *remote, err error, served bool) {
	s.mu.Lock()
	again := p.tried && p.state == stateUnreachable
	p.state, p.tried = stateUnreachable, !served
	if served {
		p.state = stateConnecting
	}
	if p.node != "" && len(s.links[p.node]) > 0 {
		p.state = stateConnected // it came to us
	}
	p.problem = ""
	if err != nil {
		p.problem = errorText(err)
	}
	s.mu.Unlock()
	if !again {
		s.log.Warn("peer is not connected", "peer", p.spec.Name, "error", err)
	}
	s.e.changed()
}

// errorText is an error with its hint, for status.
func errorText(err error) string {
	if h := Hint(err); h != "" {
		return err.Error() + " (" + h + ")"
	}
	return err.Error()
}

// AddPeer adds a peer, and returns once resources are shared with it. A peer
// that cannot be reached now is added all the same, with a warning; one that
// answers and is not what it should be is not.
func (e *Engine) AddPeer(ctx context.Context, spec PeerSpec) (*PeerAdded, error) {
	s := e.sessions
	if err := checkPeer(spec); err != nil {
		return nil, err
	}
	if err := s.awaitReady(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	_, exists := s.peers[spec.Name]
	s.mu.Unlock()
	if exists {
		return nil, WithHint(fmt.Errorf("%w: there is a peer %q already", ErrInvalid, spec.Name), "smfs peer remove "+spec.Name)
	}
	p := newRemote(PeerSpec{Name: spec.Name, URL: spec.URL, Command: spec.Command})
	out := &PeerAdded{}
	l, err := s.connectTo(ctx, p, spec.Join)
	switch {
	case ctx.Err() != nil: // whoever asked does not want it any more
		if l != nil {
			l.session.Close()
		}
		return nil, ctx.Err()
	case err == nil:
		out.Reachable = true
		out.Warning = strings.Join(l.unshared, "; ")
		for r := range l.shared() {
			out.Resources = append(out.Resources, r.name)
		}
	case errors.Is(err, ErrUnreachable):
		out.Warning = "added, but it cannot be reached now: " + errorText(err)
	default:
		return nil, err
	}
	if err := s.add(p, l); err != nil {
		if l != nil {
			l.session.Close()
		}
		return nil, err
	}
	return out, nil
}

func checkPeer(spec PeerSpec) error {
	bad := spec.Name == "" || spec.Name == ini.DefaultSection || len(spec.Name) > 64
	for i, c := range spec.Name {
		letter := unicode.IsLetter(c) || unicode.IsDigit(c)
		bad = bad || !letter && (i == 0 || !strings.ContainsRune("._-", c))
	}
	if bad {
		return fmt.Errorf("%w: peer name %q: up to 64 letters and digits make one, with . _ and - among them", ErrInvalid, spec.Name)
	}
	if _, err := peer.ParseURL(spec.URL); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return nil
}

// add records a peer and has it served; l is the session with it, if any.
func (s *sessions) add(p *remote, l *link) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.peers[p.spec.Name]; ok {
		return fmt.Errorf("%w: there is a peer %q already", ErrInvalid, p.spec.Name)
	}
	s.file.list[p.spec.Name] = p.spec
	if err := s.file.save(); err != nil {
		delete(s.file.list, p.spec.Name)
		return fmt.Errorf("save peers.ini: %w", err)
	}
	s.peers[p.spec.Name] = p
	if l == nil {
		p.state, p.tried = stateUnreachable, true
	}
	ctx, cancel := context.WithCancel(s.ctx)
	p.cancel = cancel
	s.group.Go(func() { s.keepDialing(ctx, p, l) })
	return nil
}

// RemovePeer forgets a peer and ends the session with it.
func (e *Engine) RemovePeer(_ context.Context, name string) error {
	s := e.sessions
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.peers[name]
	if !ok {
		return fmt.Errorf("%w: no peer is called %q", ErrNotFound, name)
	}
	spec, listed := s.file.list[name]
	if !listed {
		return WithHint(fmt.Errorf("%w: %q comes from the config file", ErrInvalid, name), "take it out of `hosts` there")
	}
	delete(s.file.list, name)
	if err := s.file.save(); err != nil {
		s.file.list[name] = spec
		return fmt.Errorf("save peers.ini: %w", err)
	}
	delete(s.peers, name)
	if p.cancel != nil {
		p.cancel()
	}
	for _, l := range s.links[p.node] { // also one that has come in
		l.session.Abort(errors.New("the peer was removed here"))
	}
	for x := range s.refusals {
		if x.node == p.node {
			delete(s.refusals, x)
		}
	}
	return nil
}

// Peers lists the peers.
func (e *Engine) Peers(context.Context) ([]PeerStatus, error) { return e.sessions.status(), nil }

// Busy tells that a peer has a session here, or something is being sent: an
// engine without a mount does not end then.
func (e *Engine) Busy() bool {
	e.sessions.mu.Lock()
	defer e.sessions.mu.Unlock()
	for _, list := range e.sessions.links {
		for _, l := range list {
			if l.remote == nil || len(l.session.Transfers()) > 0 {
				return true
			}
		}
	}
	return false
}
