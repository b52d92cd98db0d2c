package merge

import (
	"slices"

	"github.com/silvermirror/smfs/backend/object"
	"github.com/silvermirror/smfs/tags"
)

// uniteDirs unites directories that share a name: those new with the first, be
// it old or new. It returns what is left.
func (m *merger) uniteDirs(refs []*ref) (kept []*ref) {
	slices.SortFunc(refs, func(a, b *ref) int { return compareRoots(a.of.end(), b.of.end()) })
	for _, r := range refs {
		if len(kept) == 0 || !r.of.end().isNew() {
			kept = append(kept, r)
			continue
		}
		m.uniteDir(kept[0].of.end(), r.of.end())
	}
	return kept
}

// uniteDir makes n part of into: what n holds lies in into.
func (m *merger) uniteDir(into, n *node) {
	n.into = into
	into.entry.Tags = uniteTags(into.entry.Tags, n.entry.Tags)
	into.entry.Xattrs = uniteXattrs(into.entry.Xattrs, n.entry.Xattrs)
	for _, r := range m.children[n.id] {
		r.dir = into.id
	}
	m.children[into.id] = append(m.children[into.id], m.children[n.id]...)
	delete(m.children, n.id)
}

// uniteFiles leaves one of those that share a name and are the same. Only this
// slot is concerned: either may have others, and some that were not read.
func (m *merger) uniteFiles(refs []*ref) (kept []*ref) {
	slices.SortFunc(refs, func(a, b *ref) int { return compareRoots(a.of, b.of) })
	for _, r := range refs {
		united := false
		for i, k := range kept {
			if one := m.uniteFile(k, r); one != nil {
				kept[i], united = one, true
				break
			}
		}
		if !united {
			kept = append(kept, r)
		}
	}
	return kept
}

// uniteFile gives one ref for two with the same content, or nil if both must
// stay. It is that of the two which has all tags and attributes of the other;
// if neither has, one of a new identity, for neither's may change.
func (m *merger) uniteFile(a, b *ref) *ref {
	x, y := &a.of.entry, &b.of.entry
	switch {
	case bodyOf(x) != bodyOf(y):
		return nil
	case b.of.isNew() && hasAll(x, y):
		return a
	case a.of.isNew() && hasAll(y, x):
		return b
	case !a.of.isNew() || !b.of.isNew():
		return nil
	}
	k := key{id: derive("united", a.of.id, string(b.of.id[:]))}
	for m.nodes[k] != nil {
		k.id = derive("united", k.id)
	}
	n := m.node(k)
	n.entry = *x
	n.entry.Tags = uniteTags(x.Tags, y.Tags)
	n.entry.Xattrs = uniteXattrs(x.Xattrs, y.Xattrs)
	return n.add(a.slot, object.FileID{})
}

// hasAll reports whether a has all the tags and attributes that b has.
func hasAll(a, b *object.Entry) bool {
	return sameTags(uniteTags(a.Tags, b.Tags), a.Tags) && slices.Equal(uniteXattrs(a.Xattrs, b.Xattrs), a.Xattrs)
}

// uniteTags is the union: of nodes that were tagged apart.
func uniteTags(a, b tags.Set) tags.Set {
	never := func(tags.Dot) bool { return false }
	return capTags(tags.Merge(a, b, never, never))
}

// uniteXattrs is the union; of two values the lower one stays.
func uniteXattrs(a, b []object.Xattr) []object.Xattr {
	var out []object.Xattr
	for _, name := range xattrNames(a, b) {
		if len(out) < object.MaxXattrs {
			out = append(out, *lowerXattr(xattr(a, name), xattr(b, name)))
		}
	}
	return out
}
