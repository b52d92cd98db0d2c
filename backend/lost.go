package backend

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

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
	r.mendPacks()
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

// noticeOlderStore is for a store that was put back from a copy: its head is whole,
// but the commits that the index goes by came after it.
func (r *resource) noticeOlderStore() error {
	next, applied, err := r.committed()
	there := func(id object.CommitID) bool { return id.IsZero() || r.store.Has(id) }
	if err != nil || there(next) && there(applied) {
		return err
	}
	if err := r.goOnFromLess(); err != nil {
		return err
	}
	r.hasMended("store", "newer commits were there: the history goes on from %s, and what the files have more is committed again", r.head)
	return fmt.Errorf("%w: it is of a newer history", index.ErrDamaged)
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
// among those, the most; zero if there is none. Where none is given there may be no
// index to make up directories that are lost: for a repair they have to be there.
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
	var found []foundHead
	r.store.Commits(func(id object.CommitID, c *object.Commit) {
		cover := c.FullCover(id)
		for _, h := range held {
			if !cover.Contains(h, lineage) {
				return
			}
		}
		own, _ := cover.Get(r.writer)
		found = append(found, foundHead{own.Seq, c.Gen, id, c.Tree})
	})
	slices.SortFunc(found, foundHead.compare)
	whole := wholeTrees{r.store, map[object.TreeID]bool{}}
	for _, f := range found {
		if r.aside == "" || len(held) > 0 || whole.has(f.tree) {
			return f.id, nil
		}
	}
	return best, nil
}

// foundHead is a commit that may become the head.
type foundHead struct {
	own  uint64 // of this node's commits it holds as many
	gen  uint64
	id   object.CommitID
	tree object.TreeID
}

// compare puts those with more of this node's commits first, then the newer.
func (f foundHead) compare(o foundHead) int {
	return cmp.Or(cmp.Compare(o.own, f.own), cmp.Compare(o.gen, f.gen), bytes.Compare(f.id[:], o.id[:]))
}

// wholeTrees tells of which trees all directories can be read. One is looked at once.
type wholeTrees struct {
	src  directories
	seen map[object.TreeID]bool
}

func (w wholeTrees) has(t object.TreeID) bool {
	is, seen := w.seen[t]
	if t.IsZero() || seen {
		return t.IsZero() || is
	}
	d, err := w.src.Directory(t)
	is = err == nil
	for i := 0; is && i < len(d.Entries); i++ {
		is = d.Entries[i].Kind != object.Dir || w.has(d.Entries[i].Tree)
	}
	w.seen[t] = is
	return is
}
