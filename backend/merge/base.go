package merge

import (
	"context"
	"fmt"
	"slices"

	"github.com/silvermirror/smfs/backend/object"
)

// ancestors computes merge bases.
type ancestors struct {
	ctx   context.Context
	graph Graph
	trees Trees // keeps what is computed
}

// history is a state with the commits it came out of: one, or, for a base that
// was computed, several.
type history struct {
	Side
	from []object.CommitID
}

// common is the merge base of two covers: the state that holds exactly the user
// commits both cover. That is the one newest common user commit; or else a
// merge commit that joined just these; or else the merge of the newest ones
// in the order of their ids. The zero TreeID means that nothing is common.
func (an *ancestors) common(a, b history) (object.TreeID, error) {
	shared := intersect(a.Cover, b.Cover)
	frontier, err := an.frontier(shared)
	if err != nil || len(frontier) == 0 {
		return object.TreeID{}, err
	}
	if len(frontier) > 1 {
		tree, err := an.joined(shared, slices.Concat(a.from, b.from))
		if err != nil || !tree.IsZero() {
			return tree, err
		}
	}
	acc := frontier[0]
	for _, next := range frontier[1:] {
		if acc, err = an.fold(acc, next); err != nil {
			return object.TreeID{}, err
		}
	}
	return acc.Tree, nil
}

// intersect is what both covers hold. They agree: who merges has made sure of
// that for the two heads, and each commit's history agrees with itself.
func intersect(a, b object.Cover) (out object.Cover) {
	for _, t := range a {
		o, ok := b.Get(t.Writer)
		if !ok {
			continue
		}
		if o.Seq < t.Seq {
			t = o
		}
		out = append(out, t)
	}
	return out
}

// frontier is the newest commits of a cover: those no other one covers, sorted
// by id.
func (an *ancestors) frontier(c object.Cover) ([]history, error) {
	tips := make([]history, len(c))
	for i, t := range c {
		commit, err := an.graph.Commit(t.Commit)
		if err != nil {
			return nil, fmt.Errorf("read commit %s: %w", t.Commit, err)
		}
		tips[i] = history{Side{t.Commit, commit.Tree, commit.FullCover(t.Commit)}, []object.CommitID{t.Commit}}
	}
	var out []history
	for i, t := range c {
		covered := false
		for j := range tips {
			covered = covered || j != i && tips[j].Cover.Has(t.Writer, t.Seq)
		}
		if !covered {
			out = append(out, tips[i])
		}
	}
	slices.SortFunc(out, func(a, b history) int { return slices.Compare(a.Commit[:], b.Commit[:]) })
	return out, nil
}

// joined finds a commit with exactly this cover among the ancestors of from.
// Without it, two nodes that always write at once would have each merge
// computed again by every later one.
func (an *ancestors) joined(cover object.Cover, from []object.CommitID) (object.TreeID, error) {
	var best object.CommitID
	var tree object.TreeID
	seen := make(map[object.CommitID]bool)
	for work := slices.Clone(from); len(work) > 0; {
		id := work[0]
		if work = work[1:]; seen[id] {
			continue
		}
		seen[id] = true
		if err := an.ctx.Err(); err != nil {
			return tree, err
		}
		c, err := an.graph.Commit(id)
		if err != nil {
			return tree, fmt.Errorf("read commit %s: %w", id, err)
		}
		full := c.FullCover(id)
		switch {
		case full.Equal(cover):
			if best.IsZero() || slices.Compare(id[:], best[:]) < 0 {
				best, tree = id, c.Tree
			}
		case full.HasAll(cover):
			work = append(work, c.Parents...)
		}
	}
	return tree, nil
}

// fold merges two states in memory, as if by a merge commit.
func (an *ancestors) fold(a, b history) (history, error) {
	tree, err := an.common(a, b)
	if err != nil {
		return history{}, err
	}
	r, err := Merge(an.ctx, an.trees, tree, a.Side, b.Side)
	if err != nil {
		return history{}, err
	}
	cover, err := a.Cover.Union(b.Cover)
	if err != nil {
		return history{}, err
	}
	// The order of the fold is that of the ids, so the last one stands for
	// all before it.
	return history{Side{b.Commit, r.Tree, cover}, slices.Concat(a.from, b.from)}, nil
}
