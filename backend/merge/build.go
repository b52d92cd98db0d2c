package merge

import (
	"bytes"
	"slices"
	"strings"

	"github.com/silvermirror/smfs/backend/object"
)

// build writes the directories that changed, deepest first.
func (m *merger) build() error {
	tree, err := m.buildDir(root, "")
	if err != nil {
		return err
	}
	m.result.Tree = tree
	slices.SortFunc(m.result.Conflicts, func(a, b Conflict) int { return strings.Compare(a.Path, b.Path) })
	return nil
}

func (m *merger) buildDir(id object.FileID, path string) (object.TreeID, error) {
	c := m.contents[id]
	d := &object.Directory{Entries: c.unchanged()}
	for _, r := range m.children[id] {
		e, err := m.buildEntry(r, path)
		if err != nil {
			return object.TreeID{}, err
		}
		d.Entries = append(d.Entries, e)
	}
	slices.SortFunc(d.Entries, func(a, b object.Entry) int { return strings.Compare(a.Name, b.Name) })
	if id == root {
		d.Options = m.options
	}
	for _, side := range []int{left, right} {
		if sameDirectory(d, c.dirs[side]) && !c.tree[side].IsZero() {
			return c.tree[side], nil
		}
	}
	return m.trees.PutDirectory(d)
}

// unchanged copies the entries that no diff recorded.
func (c *content) unchanged() []object.Entry {
	if c.dirs[base] == nil {
		return nil
	}
	var out []object.Entry
	for _, e := range c.dirs[base].Entries {
		if c.facts[e.Name] == 0 {
			out = append(out, e)
		}
	}
	return out
}

func (m *merger) buildEntry(r *ref, path string) (e object.Entry, err error) {
	n := r.of.end()
	e = n.entry
	if r.instead != nil && m.torn(n, *r.instead) {
		r.conflict, r.fresh = n.id, true
	}
	e.ID, e.Name, e.Conflict = n.id, r.name, r.conflict
	if r.fresh {
		if of := m.nodes[key{e.Conflict, false}]; of != nil {
			e.Conflict = of.end().id
		}
		m.result.Conflicts = append(m.result.Conflicts, Conflict{Path: path + e.Name, ID: e.ID, Of: e.Conflict})
	}
	if !n.dir {
		return e, nil
	}
	if m.contents[n.id] == nil { // no diff had to read it and nothing came into it
		e.Tree = n.tree()
		return e, nil
	}
	e.Tree, err = m.buildDir(n.id, path+e.Name+"/")
	return e, err
}

// torn reports whether n was to have a slot that it did not get, not even
// because directories were united, and no other mark tells of it.
func (m *merger) torn(n *node, wanted slot) bool {
	if d := m.dir(wanted.dir); d != nil {
		wanted.dir = d.end().id
	}
	return !slices.ContainsFunc(n.refs, func(r *ref) bool { return r.slot == wanted || !r.conflict.IsZero() })
}

func sameDirectory(a, b *object.Directory) bool {
	return b != nil && bytes.Equal(a.Options, b.Options) && (a.Options == nil) == (b.Options == nil) &&
		slices.EqualFunc(a.Entries, b.Entries, func(a, b object.Entry) bool {
			return a.Name == b.Name && a.ID == b.ID && a.Kind == b.Kind && sameEntry(&a, &b)
		})
}
