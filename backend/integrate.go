package backend

import (
	"context"
	"fmt"
	"strings"

	"github.com/silvermirror/smfs/backend/index"
	"github.com/silvermirror/smfs/backend/merge"
	"github.com/silvermirror/smfs/backend/object"
	"github.com/silvermirror/smfs/backend/replica"
	"github.com/silvermirror/smfs/backend/store"
	"github.com/silvermirror/smfs/fs/tree"
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
		case replica.Yield:
			r.yield(ctx, a)
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
	if err := r.publishNext(); err != nil {
		r.report("", err)
		return
	}
	head, _ := r.headNow()
	if head != a.From {
		return // a local commit came between; the state machine knows
	}
	c, err := r.store.Commit(a.Head)
	if err == nil {
		err = r.checkHead(c.Tree)
	}
	if err == nil {
		err = r.store.UpdateRefs(store.RefUpdate{Name: headRef, Old: head, New: a.Head})
	}
	if err != nil {
		r.failed(a.Head, fmt.Errorf("adopt head %s: %w", a.Head, err))
		return
	}
	r.headMoved(a.Head, c)
	if err := r.apply(ctx); err != nil { // the head stands; the rest is applied later
		r.report("", err)
		r.retrySoon()
	}
	if r.drainMount != nil {
		r.drainMount() // what is announced as applied can be seen
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

// checkHead refuses a tree that no disk can show and no honest node makes: one
// directory at two places, one file of two kinds. It also refuses what would
// write where this resource does not go.
func (r *resource) checkHead(head object.TreeID) error {
	return r.index.View(func(tx *index.Tx) error {
		d, err := diffTrees(r.store, tx.Disk(), head)
		if err != nil {
			return err
		}
		left := map[index.Slot]bool{}
		for _, p := range d.Removed {
			left[index.Slot{Parent: p.Parent, Name: p.Entry.Name}] = true
		}
		kinds := map[object.FileID]object.Kind{}
		for _, p := range d.Added {
			if r.foreign(p.Path) {
				return WithHint(fmt.Errorf("%w: it holds %q, which is not this resource's here", ErrRefused, p.Path), "give both sides the same sections, and the same `vcs`")
			}
			kind, again := kinds[p.Entry.ID]
			kinds[p.Entry.ID] = p.Entry.Kind
			if again && kind != p.Entry.Kind {
				return fmt.Errorf("%w: %q has another kind elsewhere", ErrUntrusted, p.Path)
			}
			for _, slot := range tx.Slots(p.Entry.ID) {
				if n, ok := tx.Get(slot.Parent, slot.Name); ok && n.Kind != p.Entry.Kind {
					return fmt.Errorf("%w: %q changes its kind", ErrUntrusted, p.Path)
				}
			}
			if p.Entry.Kind != object.Dir {
				continue
			}
			twice := again
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

// foreign tells whether a path belongs to another resource on this node, or to
// a version control system whose data is not mirrored here: a peer must not
// write there.
func (r *resource) foreign(path string) bool {
	for _, s := range r.skipped {
		if within(path, s) {
			return true
		}
	}
	for name := range strings.SplitSeq(path, "/") {
		switch name {
		case ".git", ".hg", ".svn", ".bzr":
			if !r.conf.VCS {
				return true
			}
		}
		if tree.IsTemp(name) {
			return true
		}
	}
	return false
}

// merge makes the merge commit of two heads. Every node that merges the same
// two makes the same commit.
func (r *resource) merge(ctx context.Context, a replica.Merge) {
	made, err := r.mergeHeads(ctx, a.Ours, a.Theirs)
	if err != nil {
		r.failed(a.Theirs, fmt.Errorf("merge %s with %s: %w", a.Ours, a.Theirs, err))
		return
	}
	r.warn(made.Conflicts)
	r.act(r.replica.Merged(a.Ours, a.Theirs, made.ID, made.Commit.FullCover(made.ID)))
}

func (r *resource) mergeHeads(ctx context.Context, ours, theirs object.CommitID) (merge.Made, error) {
	batch, err := r.store.NewBatch()
	if err != nil {
		return merge.Made{}, err
	}
	defer batch.Discard()
	return mergeIn(ctx, batch, ours, theirs)
}

// mergeIn makes the merge of two heads durable, with all else in the batch.
func mergeIn(ctx context.Context, batch *store.Batch, ours, theirs object.CommitID) (merge.Made, error) {
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

// warn tells of what a merge put aside.
func (r *resource) warn(conflicts []merge.Conflict) {
	for _, c := range conflicts {
		r.log.Warn("conflict: both versions are kept", "resource", r.name, "path", c.Path)
	}
}
