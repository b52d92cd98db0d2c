package backend

import (
	"context"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"

	"github.com/silvermirror/smfs/backend/object"
	"github.com/silvermirror/smfs/backend/peer"
	"github.com/silvermirror/smfs/backend/replica"
	"github.com/silvermirror/smfs/backend/store"
)

// A link is the peer.Handler of its session. What a peer calls a resource is
// our name for it; only shared ones are served.

// sharedResource is what the peer calls name. It waits until the link takes
// part: a peer that is done with the greeting may call before this side is.
func (l *link) sharedResource(ctx context.Context, name string) (*resource, error) {
	if err := l.awaitServing(ctx); err != nil {
		return nil, err
	}
	if r := l.s.e.resource(name); r != nil {
		if _, ok := l.nameOf(r); ok {
			return r, nil
		}
	}
	return nil, &peer.Refusal{Code: peer.UnknownResource, Resource: name}
}

func (l *link) awaitServing(ctx context.Context) error {
	select {
	case <-l.serving:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// OnAnnounce takes what is applied at the peer.
func (l *link) OnAnnounce(ctx context.Context, _ *peer.Session, a peer.Announce) error {
	r, err := l.sharedResource(ctx, a.Resource)
	if err != nil {
		return err
	}
	l.mu.Lock()
	l.latest[r] = a
	l.mu.Unlock()
	r.post(ctx, func() {
		r.act(r.replica.Announced(replica.Peer(l.node), a.Head, a.Cover))
		r.changed()
	})
	return nil
}

// OnPush takes commits. It returns once they are durable here; adopting them is
// the worker's.
func (l *link) OnPush(ctx context.Context, _ *peer.Session, p peer.Push, pack io.Reader) error {
	r, err := l.sharedResource(ctx, p.Resource)
	if err != nil {
		return err
	}
	cover, err := r.receive(ctx, p.Head, pack)
	if err != nil {
		l.s.log.Warn("refused a push", "resource", r.name, "peer", l.name, "error", err)
		told := refusal(r.name, err)
		l.s.note(l.node, r, told, fmt.Errorf("%s: refused what the peer sent: %w", r.name, err))
		return told
	}
	l.s.group.Go(func() {
		r.post(l.s.ctx, func() {
			r.received(l.s.ctx, replica.Peer(l.node), p.Head, cover)
		})
	})
	return nil
}

// OnHas tells what need not be sent: nothing leaves a store.
func (l *link) OnHas(ctx context.Context, _ *peer.Session, resource string, ids [][20]byte) ([]bool, error) {
	r, err := l.sharedResource(ctx, resource)
	if err != nil {
		return nil, err
	}
	has := make([]bool, len(ids))
	for i, id := range ids {
		has[i] = r.store.Has(id)
	}
	return has, nil
}

// OnFetch sends commits that the peer asks for.
func (l *link) OnFetch(ctx context.Context, _ *peer.Session, f peer.Fetch, w io.Writer) error {
	r, err := l.sharedResource(ctx, f.Resource)
	if err != nil {
		return err
	}
	out, err := r.store.Pack(ctx, f.Want, f.Haves)
	if err != nil {
		return refusal(r.name, err)
	}
	_, err = out.WriteTo(w)
	return err
}

// OnJoin shares a resource with the peer, if that can be.
func (l *link) OnJoin(ctx context.Context, _ *peer.Session, j peer.Join) (peer.Joined, error) {
	if err := l.awaitServing(ctx); err != nil {
		return peer.Joined{}, err
	}
	r := l.s.e.resource(j.Resource)
	if r == nil || !l.s.meant(l, r) {
		return peer.Joined{}, &peer.Refusal{Code: peer.UnknownResource, Resource: j.Resource}
	}
	theirs := peer.Identity{IDs: j.IDs, Empty: j.Empty}
	ours, err := r.negotiate(ctx, theirs, j.Unite)
	if err != nil {
		return peer.Joined{}, err
	}
	for _, d := range l.session.PeerHello().Resources {
		if len(d.IDs) > 0 && len(j.IDs) > 0 && d.IDs[0] == j.IDs[0] {
			l.share(r, d.Name)
			l.s.connect(l, r)
		}
	}
	return peer.Joined(ours), nil
}

// negotiate comes to one id with a peer's resource, and returns ours as it is
// after it adopted the peer's, if that was the outcome.
func (r *resource) negotiate(ctx context.Context, theirs peer.Identity, unite bool) (ours peer.Identity, err error) {
	err = r.do(ctx, func() error {
		ours = identity(r.describe())
		switch peer.Negotiate(ours, theirs, unite) {
		case peer.Refused:
			return &peer.Refusal{Code: peer.NotShared, Resource: r.name}
		case peer.AdoptPeers:
			ours.IDs = peer.Adopt(ours.IDs, theirs.IDs)
			return r.adoptIDs(ours.IDs)
		}
		return nil
	})
	return ours, err
}

// adoptIDs makes the first of ids the resource's id.
func (r *resource) adoptIDs(ids []string) error {
	m := r.store.Meta()
	m.ResourceIDs = ids
	if err := r.store.SetMeta(m); err != nil {
		return fmt.Errorf("adopt the peer's id: %w", err)
	}
	return r.markRoot()
}

// receiveRefusals says what a peer is told when its push fails.
var receiveRefusals = []struct {
	err  error
	code peer.Code
}{
	{object.ErrFork, peer.Fork},
	{errFuture, peer.Future},
	{store.ErrMissing, peer.Incomplete},
	{store.ErrLimit, peer.TooLarge},
	{unix.ENOSPC, peer.DiskFull},
	{unix.EDQUOT, peer.DiskFull},
	{store.ErrBadPack, peer.Damaged},
	{store.ErrCorrupt, peer.Damaged},
	{store.ErrWrongType, peer.Damaged},
	{object.ErrInvalid, peer.Damaged},
	{object.ErrSignature, peer.Damaged},
	{object.ErrUnsigned, peer.Damaged},
	{ErrUntrusted, peer.Damaged},
}

func refusal(name string, err error) error {
	for _, r := range receiveRefusals {
		if errors.Is(err, r.err) {
			return &peer.Refusal{Code: r.code, Resource: name, Message: err.Error()}
		}
	}
	return err
}
