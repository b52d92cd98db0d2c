package merge

import (
	"bytes"
	"cmp"
	"context"
	"fmt"

	"github.com/silvermirror/smfs/backend/object"
)

// Side is one of the two states to merge.
type Side struct {
	Commit object.CommitID
	Tree   object.TreeID // zero: empty
	Cover  object.Cover  // all user commits in it, its own included
}

// Result is what a merge gives.
type Result struct {
	Tree object.TreeID
	// Conflicts are those that this merge found, by path. They are in the
	// tree too (Entry.Conflict), as are those of merges before.
	Conflicts []Conflict
}

// Conflict is one thing that a merge put aside.
type Conflict struct {
	Path string
	ID   object.FileID
	Of   object.FileID // what kept the name; ID itself where two places were asked for
}

// Merge joins a and b, which grew out of base (zero: empty). Exchanging a and b
// changes nothing. It reads the directories that differ and writes those of
// the result that neither side has. Trees whose directories do not all have
// FileIDs of their own give a valid tree too, of which no more is promised.
// Errors are those of t, or of ctx.
func Merge(ctx context.Context, t Trees, ancestor object.TreeID, a, b Side) (Result, error) {
	switch {
	case a.Tree == b.Tree, b.Tree == ancestor:
		return Result{Tree: a.Tree}, nil
	case a.Tree == ancestor:
		return Result{Tree: b.Tree}, nil
	}
	return merge(ctx, t, ancestor, a, b)
}

// merge is Merge without its short cuts.
func merge(ctx context.Context, t Trees, ancestor object.TreeID, a, b Side) (Result, error) {
	if cmp.Or(bytes.Compare(a.Commit[:], b.Commit[:]), bytes.Compare(a.Tree[:], b.Tree[:])) > 0 {
		a, b = b, a
	}
	m := &merger{
		ctx: ctx, trees: t, sides: [3]Side{{Tree: ancestor}, a, b},
		nodes:    make(map[key]*node),
		contents: make(map[object.FileID]*content),
	}
	if err := m.run(); err != nil {
		return Result{}, fmt.Errorf("merge %s and %s: %w", a.Commit, b.Commit, err)
	}
	return m.result, nil
}

// merger is one merge under way.
type merger struct {
	ctx      context.Context
	trees    Trees
	sides    [3]Side
	policy   Policy
	options  []byte
	nodes    map[key]*node
	contents map[object.FileID]*content
	children map[object.FileID][]*ref // the result: by directory
	result   Result
}

func (m *merger) run() error {
	for _, side := range []int{left, right} {
		if err := m.diff(side, m.sides[base].Tree, m.sides[side].Tree); err != nil {
			return err
		}
	}
	m.complete()
	m.split()
	if err := m.mergeOptions(); err != nil {
		return err
	}
	m.decide()
	m.shape()
	if err := m.settle(); err != nil {
		return err
	}
	return m.build()
}

func (m *merger) node(k key) *node {
	n := m.nodes[k]
	if n == nil {
		n = &node{key: k}
		m.nodes[k] = n
	}
	return n
}

func (m *merger) dir(id object.FileID) *node { return m.nodes[key{id, true}] }

func (m *merger) content(dir object.FileID) *content {
	c := m.contents[dir]
	if c == nil {
		c = &content{facts: make(map[string]uint8)}
		m.contents[dir] = c
	}
	return c
}

// read reads a directory of one state into its content.
func (m *merger) read(state int, dir object.FileID, tree object.TreeID) (*object.Directory, error) {
	c := m.content(dir)
	if c.dirs[state] != nil && c.tree[state] == tree {
		return c.dirs[state], nil
	}
	if err := m.ctx.Err(); err != nil {
		return nil, err
	}
	d, err := readDirectory(m.trees, tree)
	if err != nil {
		return nil, err
	}
	c.dirs[state], c.tree[state] = d, tree
	return d, nil
}

// mergeOptions settles resource.ini before all else: the policy is in it.
func (m *merger) mergeOptions() error {
	var o [3][]byte
	for state := range o {
		d, err := m.read(state, root, m.sides[state].Tree)
		if err != nil {
			return err
		}
		o[state] = d.Options
	}
	m.options = mergeOptions(o[base], o[left], o[right])
	m.policy = policyOf(m.options)
	return nil
}
