package backend

import (
	"bytes"
	"cmp"
	"fmt"

	"github.com/silvermirror/smfs/backend/index"
	"github.com/silvermirror/smfs/backend/object"
	"github.com/silvermirror/smfs/backend/store"
)

// findHead finds the head of a store whose ref is lost: the commit that holds
// the most of what this node wrote, and all that the index knows to have been
// committed or applied. Every commit in the packs was made here or verified when
// it came. A store in which something was, and is found no more, is damaged: to
// go on would be to begin a second history beside the first.
func (r *resource) findHead() error {
	if !r.head.IsZero() {
		return nil
	}
	next, applied, err := r.committed()
	if err != nil || r.store.PackCount() == 0 && next.IsZero() && applied.IsZero() {
		return err
	}
	// After a fork what was committed last may have given way to what is applied.
	head, err := r.bestHolding(next, applied)
	if err == nil && head.IsZero() && !applied.IsZero() {
		head, err = r.bestHolding(applied)
	}
	if err != nil {
		return err
	}
	if head.IsZero() {
		return fmt.Errorf("%w: %s is missing, and what it named is not in the packs", store.ErrDamaged, headRef)
	}
	again := "again, which was found in the packs"
	if next.IsZero() && applied.IsZero() {
		// Nothing tells whether there was more after it.
		again = "now, the newest that was found in the packs: what the files have more is committed again"
		if err := r.goOnFromLess(); err != nil {
			return err
		}
	}
	if err := r.store.UpdateRefs(store.RefUpdate{Name: headRef, New: head}); err != nil {
		return err
	}
	r.log.Warn("the head was missing; found it again", "resource", r.name, "ref", headRef, "head", head)
	r.hasMended("store", "%s was missing: it is commit %s %s", headRef, head, again)
	return r.openHead()
}

// committed is what the index knows to be in the history.
func (r *resource) committed() (next, applied object.CommitID, err error) {
	err = r.index.View(func(tx *index.Tx) error {
		next, applied = tx.Next(), tx.Applied()
		return nil
	})
	return next, applied, err
}

// bestHolding returns the commit of the packs that holds the given ones and,
// among those, the most; zero if there is none.
func (r *resource) bestHolding(ids ...object.CommitID) (best object.CommitID, err error) {
	lineage := object.NewLineage(r.commitHere)
	var held []object.Cover
	for _, id := range ids {
		if id.IsZero() {
			continue
		}
		c, err := r.commitHere(id)
		if err != nil {
			return best, fmt.Errorf("%s is missing: %w", headRef, err)
		}
		held = append(held, c.FullCover(id))
	}
	var most *object.Commit
	r.store.Commits(func(id object.CommitID, c *object.Commit) {
		cover := c.FullCover(id)
		for _, h := range held {
			if !cover.Contains(h, lineage) {
				return
			}
		}
		if most == nil || r.compareHeads(id, c, best, most) > 0 {
			best, most = id, c
		}
	})
	return best, nil
}

// compareHeads puts commits in order: those with more of this node's commits
// last, then the newer.
func (r *resource) compareHeads(a object.CommitID, ac *object.Commit, b object.CommitID, bc *object.Commit) int {
	own := func(id object.CommitID, c *object.Commit) uint64 {
		tip, _ := c.FullCover(id).Get(r.writer)
		return tip.Seq
	}
	return cmp.Or(cmp.Compare(own(a, ac), own(b, bc)), cmp.Compare(ac.Gen, bc.Gen), bytes.Compare(b[:], a[:]))
}
