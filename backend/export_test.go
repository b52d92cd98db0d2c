package backend

import (
	"bytes"
	"context"
	"time"

	"github.com/silvermirror/smfs/backend/object"
	"github.com/silvermirror/smfs/backend/replica"
	"github.com/silvermirror/smfs/tags"
)

// Give brings the head of every resource of e to other, as a session would,
// without a network.
func (e *Engine) Give(ctx context.Context, other *Engine) error {
	for i, r := range e.resources {
		if err := r.do(ctx, func() error { return r.refresh(ctx) }); err != nil {
			return err
		}
		head, c := r.headNow()
		if c == nil {
			continue
		}
		to := other.resources[i]
		var haves []object.CommitID
		if h, _ := to.headNow(); r.store.Has(h) {
			haves = append(haves, h)
		}
		out, err := r.store.Pack(ctx, head, haves)
		if err != nil {
			return err
		}
		var pack bytes.Buffer
		if _, err := out.WriteTo(&pack); err != nil {
			return err
		}
		cover, err := to.receive(ctx, head, &pack)
		if err != nil {
			return err
		}
		if err := to.do(ctx, func() error {
			to.received(ctx, replica.Peer(e.sessions.self), head, cover)
			to.drain(ctx)
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// LoseTags has the first resource forget in memory what is tagged.
func (e *Engine) LoseTags() {
	r := e.resources[0]
	for _, f := range r.tagged.Differences(tags.NewIndex()) {
		r.tagged.Remove(f)
	}
}

// CommitAtMost has a commit take n names.
func CommitAtMost(n int) func(*Options) { return func(o *Options) { o.commitNames = n } }

// Tidied waits until no packs are being merged.
func (e *Engine) Tidied() {
	for _, r := range e.resources {
		for r.tidying.Load() {
			time.Sleep(time.Millisecond)
		}
	}
}

// Head is the head of the first resource.
func (e *Engine) Head() string {
	id, _ := e.resources[0].headNow()
	return id.String()
}

// At has an engine take its time from a clock.
func At(now func() time.Time) func(*Options) { return func(o *Options) { o.now = now } }

// History visits the commits that lead to the head as backwards does.
func (e *Engine) History() (ids []string) {
	r := e.resources[0]
	err := r.backwards(context.Background(), "", func(visit, *object.Commit) (string, error) { return "", nil }, func(v visit) error {
		ids = append(ids, v.id.String())
		return nil
	})
	if err != nil {
		panic(err)
	}
	return ids
}

// Timeline visits n of them as lookers into the past do.
func (e *Engine) Timeline(n int) (ids []string) {
	err := e.resources[0].walkBack(context.Background(), func(p point) bool {
		ids = append(ids, p.id.String())
		return len(ids) == n
	})
	if err != nil {
		panic(err)
	}
	return ids
}
