package backend

import (
	"context"
	"fmt"

	"github.com/silvermirror/smfs/backend/index"
	"github.com/silvermirror/smfs/backend/merge"
	"github.com/silvermirror/smfs/backend/object"
	"github.com/silvermirror/smfs/backend/replica"
	"github.com/silvermirror/smfs/backend/store"
)

// act takes what the sync state machine asks for; drain does it.
func (r *resource) act(actions []replica.Action) { r.todo = append(r.todo, actions...) }

// drain does all that is to be done, and what follows from it.
func (r *resource) drain(ctx context.Context) {
	for len(r.todo) > 0 && ctx.Err() == nil {
		a := r.todo[0]
		r.todo = r.todo[1:]
		switch a := a.(type) {
		case replica.Adopt:
			r.adopt(ctx, a)
		case replica.Merge:
			r.merge(ctx, a)
		default:
			r.send(a)
		}
	}
	if len(r.todo) == 0 {
		r.todo = nil
	}
}

// adopt makes another node's head ours: first durably, then on disk.
func (r *resource) adopt(ctx context.Context, a replica.Adopt) {
	head, old := r.headNow()
	if head != a.From {
		return // a local commit came between; the state machine knows
	}
	var was object.TreeID
	if old != nil {
		was = old.Tree
	}
	c, err := r.store.Commit(a.Head)
	if err == nil {
		err = r.checkHead(was, c.Tree)
	}
	if err == nil {
		err = r.store.UpdateRefs(store.RefUpdate{Name: headRef, Old: head, New: a.Head})
	}
	if err != nil {
		r.failed(a.Head, fmt.Errorf("adopt head %s: %w", a.Head, err))
		return
	}
	r.headMoved(a.Head, c)
	if err := r.applyHead(ctx, was, c.Tree, a.Head); err != nil {
		// The head stands; what is not on disk is found by comparing again.
		r.report("", fmt.Errorf("apply head %s: %w", a.Head, err))
		r.stale = true
		r.retrySoon()
		return
	}
	r.log.Debug("applied", "resource", r.name, "head", a.Head)
	r.act(r.replica.Applied(a.Head))
	r.changed()
}

// failed gives up on a head. Sessions end, so that it is sent again when they
// are back, in case the cause has gone by then.
func (r *resource) failed(head object.CommitID, err error) {
	r.report("", err)
	r.act(r.replica.Failed(head))
	if r.hangUp != nil {
		r.hangUp(err)
	}
}

// checkHead refuses a tree in which one directory is at two places: no disk
// can show it, and no honest node makes it.
func (r *resource) checkHead(old, head object.TreeID) error {
	d, err := diffTrees(r.store, old, head)
	if err != nil {
		return err
	}
	left := map[index.Slot]bool{}
	for _, p := range d.Removed {
		left[index.Slot{Parent: p.Parent, Name: p.Entry.Name}] = true
	}
	seen := map[object.FileID]bool{}
	return r.index.View(func(tx *index.Tx) error {
		for _, p := range d.Added {
			if p.Entry.Kind != object.Dir {
				continue
			}
			twice := seen[p.Entry.ID] || p.Entry.ID.IsZero()
			seen[p.Entry.ID] = true
			for _, slot := range tx.Slots(p.Entry.ID) {
				path, err := tx.Path(slot)
				if err != nil || left[slot] {
					continue
				}
				e, err := findEntry(r.store, head, path)
				if err != nil {
					return err
				}
				twice = twice || e != nil && e.ID == p.Entry.ID && path != p.Path
			}
			if twice {
				return fmt.Errorf("%w: directory %q is at two places", ErrUntrusted, p.Path)
			}
		}
		return nil
	})
}

// merge makes the merge commit of two heads. Every node that merges the same
// two makes the same commit.
func (r *resource) merge(ctx context.Context, a replica.Merge) {
	made, err := r.mergeHeads(ctx, a.Ours, a.Theirs)
	if err != nil {
		r.failed(a.Theirs, fmt.Errorf("merge %s with %s: %w", a.Ours, a.Theirs, err))
		return
	}
	for _, c := range made.Conflicts {
		r.log.Warn("conflict: both versions are kept", "resource", r.name, "path", c.Path)
	}
	r.act(r.replica.Merged(a.Ours, a.Theirs, made.ID, made.Commit.FullCover(made.ID)))
}

func (r *resource) mergeHeads(ctx context.Context, ours, theirs object.CommitID) (merge.Made, error) {
	batch, err := r.store.NewBatch()
	if err != nil {
		return merge.Made{}, err
	}
	defer batch.Discard()
	made, err := merge.Commit(ctx, batchGraph{batch}, ours, theirs)
	if err != nil {
		return made, err
	}
	id, err := batch.PutCommit(made.Commit)
	if err != nil {
		return made, err
	}
	if id != made.ID {
		return made, fmt.Errorf("merge commit has id %s, not %s", id, made.ID)
	}
	return made, batch.Commit()
}

// batchGraph reads commits through a batch, whose own Commit ends it.
type batchGraph struct{ *store.Batch }

func (b batchGraph) Commit(id object.CommitID) (*object.Commit, error) { return b.ReadCommit(id) }

// applied is the head that the disk was last brought to.
func (r *resource) applied() (id object.CommitID, err error) {
	err = r.index.View(func(tx *index.Tx) error {
		id = tx.Applied()
		return nil
	})
	return id, err
}

// catchUp applies the head to a disk that stopped half-way, after a crash or an
// error of the index.
func (r *resource) catchUp(ctx context.Context) error {
	head, c := r.headNow()
	if c == nil {
		return nil
	}
	applied, err := r.applied()
	if err != nil || applied == head {
		r.stale = err != nil
		return err
	}
	var was object.TreeID
	if !applied.IsZero() {
		old, err := r.store.Commit(applied)
		if err != nil {
			return err
		}
		was = old.Tree
	}
	if err := r.applyHead(ctx, was, c.Tree, head); err != nil {
		return err
	}
	r.stale = false
	r.act(r.replica.Applied(head))
	return nil
}
