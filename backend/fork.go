package backend

import (
	"context"
	"fmt"

	"github.com/silvermirror/smfs/backend/index"
	"github.com/silvermirror/smfs/backend/merge"
	"github.com/silvermirror/smfs/backend/object"
	"github.com/silvermirror/smfs/backend/replica"
)

// A mirror whose state is an old copy does not know what it wrote since, and
// writes other commits with the same numbers: a fork. Whoever sees both sides
// of one knows which stands (package replica); here is what it does then.

// received weighs a head that has come in, with all it needs.
func (r *resource) received(ctx context.Context, from replica.Peer, head object.CommitID, cover object.Cover) {
	if err := r.refresh(ctx); err != nil {
		r.report("", err)
	}
	if err := r.renewIfRestored(cover); err != nil {
		r.report("", err)
	}
	r.act(r.replica.Received(from, head, cover))
}

// renewIfRestored takes a new incarnation if the cover has commits of this writer that
// the head lacks: the state is an old copy, and there may be more of them.
func (r *resource) renewIfRestored(cover object.Cover) error {
	tip, ok := cover.Get(r.writer)
	if !ok || r.cover().Has(tip.Writer, tip.Seq) {
		return nil
	}
	r.log.Warn("this mirror was restored to an old state: a peer has later commits of it", "resource", r.name, "commit", tip.Commit)
	return r.renew()
}

// cover is what the head covers.
func (r *resource) cover() object.Cover {
	head, c := r.headNow()
	if c == nil {
		return nil
	}
	return c.FullCover(head)
}

// renew takes a new incarnation, durably: what is committed from now on comes
// from a writer that nobody knows yet.
func (r *resource) renew() error {
	m := r.store.Meta()
	var err error
	if m.Incarnation, err = newID(); err == nil {
		err = r.store.SetMeta(m)
	}
	if err != nil {
		return fmt.Errorf("take a new incarnation: %w", err)
	}
	r.setWriter()
	return nil
}

func (r *resource) setWriter() {
	r.writer = object.Fingerprint(r.key.PublicKey()) + "." + r.store.Meta().Incarnation
}

// yield gives way to a head that a fork keeps from being merged: what this
// mirror alone has is recorded anew, and merged with it.
func (r *resource) yield(ctx context.Context, a replica.Yield) {
	made, err := r.recordAnew(ctx, a)
	if err != nil {
		r.failed(a.Theirs, fmt.Errorf("give way to %s after a fork (%w): %w", a.Theirs, a.Fork, err))
		return
	}
	r.log.Warn("gave way after a fork: what only this mirror had is recorded anew", "resource", r.name, "fork", a.Fork, "writer", r.writer)
	r.warn(made.Conflicts)
	r.act(r.replica.Yielded(a.Ours, a.Theirs, made.ID, made.Commit.FullCover(made.ID)))
}

func (r *resource) recordAnew(ctx context.Context, a replica.Yield) (made merge.Made, err error) {
	if err := r.renew(); err != nil {
		return made, err
	}
	batch, err := r.store.NewBatch()
	if err != nil {
		return made, err
	}
	defer batch.Discard()
	c, err := merge.Anew(batchGraph{batch}, a.Ours, a.Theirs, r.writer)
	if err != nil {
		return made, err
	}
	id, err := r.putCommit(batch, c)
	if err != nil {
		return made, err
	}
	if made, err = mergeIn(ctx, batch, id, a.Theirs); err != nil {
		return made, err
	}
	// The commit that was applied may be one that gives way: its numbers mean
	// other commits in the new head. That nothing was seen loses nothing.
	return made, r.index.Update(func(tx *index.Tx) error { return tx.SetApplied(object.CommitID{}) })
}
