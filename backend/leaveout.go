package backend

import (
	"context"
	"errors"
	"fmt"

	"github.com/silvermirror/smfs/backend/index"
	"github.com/silvermirror/smfs/backend/merge"
	"github.com/silvermirror/smfs/backend/object"
	"github.com/silvermirror/smfs/backend/store"
)

// A peer takes a history whole or not at all. Where something in the commits that it
// lacks is lost, and nobody has it, none of them could ever be sent, nor any later
// one. What this mirror has beyond the peer is recorded anew then, as after a fork: as
// one commit, with the tree of the head. The others stay in the store.

// leaveOut does that for each node, if all peers were asked for what is lost.
func (f *fsck) leaveOut(r *resource, faults []store.Fault) error {
	links, all := f.e.sessions.inReach()
	if !all || f.unasked {
		return nil
	}
	for _, l := range links {
		theirs, shared := l.state(r)
		if !shared || theirs.Head.IsZero() {
			continue
		}
		ours, _ := r.headNow()
		done := false
		if err := r.do(f.ctx, func() (err error) {
			done, err = r.recordWithout(f.ctx, theirs.Head)
			return err
		}); err != nil {
			return err
		}
		if done && f.awaitOther(r, ours) {
			f.mended(r, fmt.Sprintf("%s: nobody has it, and %s could not be sent it, nor anything since: what that lacks is recorded anew, as one commit; the commits that were there are in the store, outside of the history", faults[0].Text, l.name))
		}
	}
	return nil
}

// awaitOther waits for another head than the given one, not for ever.
func (f *fsck) awaitOther(r *resource, old object.CommitID) bool {
	ctx, cancel := context.WithTimeout(f.ctx, f.e.o.Config.Main.Timeout)
	defer cancel()
	events, stop := r.watch()
	defer stop()
	for {
		if head, _ := r.headNow(); head != old {
			return true
		}
		select {
		case <-events:
		case <-ctx.Done():
			return false
		}
	}
}

// inReach lists a link to each connected node; all: every configured peer is one.
func (s *sessions) inReach() (links []*link, all bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all = true
	for _, p := range s.peers {
		all = all && p.node != "" && len(s.links[p.node]) > 0
	}
	for _, list := range s.links {
		links = append(links, list[0])
	}
	return links, all
}

// recordWithout makes a head that holds all of theirs and can be sent, where ours holds
// it and cannot, and has it adopted. The worker's.
func (r *resource) recordWithout(ctx context.Context, theirs object.CommitID) (bool, error) {
	ours, c := r.headNow()
	t, err := r.commitHere(theirs)
	if c == nil || err != nil || !c.FullCover(ours).Contains(t.FullCover(theirs), object.NewLineage(r.commitHere)) {
		return false, nil // more of it is on its way
	}
	if _, err := r.store.Pack(ctx, ours, []object.CommitID{theirs}); !errors.Is(err, store.ErrMissing) {
		return false, nil
	}
	if err := r.renew(); err != nil {
		return false, err
	}
	batch, err := r.store.NewBatch()
	if err != nil {
		return false, err
	}
	defer batch.Discard()
	anew, err := merge.Anew(batchGraph{batch}, ours, theirs, r.writer)
	if err != nil {
		return false, err
	}
	id, err := r.putCommit(batch, anew)
	if err == nil {
		err = batch.Commit()
	}
	if err != nil {
		return false, err
	}
	if _, err := r.store.Pack(ctx, id, []object.CommitID{theirs}); err != nil {
		return false, nil // the head itself lacks something
	}
	if err := r.index.Update(func(tx *index.Tx) error { return tx.SetApplied(object.CommitID{}) }); err != nil { // as recordAnew
		return false, err
	}
	r.act(r.replica.Yielded(ours, theirs, id, anew.FullCover(id)))
	return true, nil
}
