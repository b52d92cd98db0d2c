package merge

import (
	"cmp"
	"slices"
	"strings"

	"github.com/silvermirror/smfs/backend/object"
	"github.com/silvermirror/smfs/tags"
)

// pick is the three-way rule for one value: the side that changed it wins. ok
// is false where both changed it to different values.
func pick[T any](same func(a, b T) bool, o, a, b T) (v T, ok bool) {
	switch {
	case same(a, b), same(o, b):
		return a, true
	case same(o, a):
		return b, true
	}
	return v, false
}

func equal[T comparable](a, b T) bool { return a == b }

// body is what a node holds: bytes, or a link's target. Empty for directories.
type body struct {
	kind object.Kind
	blob object.BlobID
}

func bodyOf(e *object.Entry) body { return body{e.Kind, e.Blob} }

// sameNode compares what hard links must share.
func sameNode(a, b *object.Entry) bool {
	return !edited(a, b) && sameTags(a.Tags, b.Tags)
}

// edited compares what a delete must not undo: all but tags and place.
func edited(a, b *object.Entry) bool {
	return bodyOf(a) != bodyOf(b) || a.Mode != b.Mode || a.Mtime != b.Mtime || !slices.Equal(a.Xattrs, b.Xattrs)
}

func sameEntry(a, b *object.Entry) bool {
	return a.Tree == b.Tree && a.Conflict == b.Conflict && sameNode(a, b)
}

func sameTags(a, b tags.Set) bool {
	return slices.EqualFunc(a, b, func(a, b tags.Tag) bool { return a.Name == b.Name && slices.Equal(a.Dots, b.Dots) })
}

// compareAge orders entries with different content: the one that keeps its
// name is first. It is a total order that no node, commit or earlier merge has
// a part in: however many versions meet, and in whatever order, one wins.
func compareAge(a, b *object.Entry) int {
	return cmp.Or(cmp.Compare(b.Mtime, a.Mtime), slices.Compare(a.Blob[:], b.Blob[:]), cmp.Compare(a.Kind, b.Kind))
}

// fields merges what belongs to a node wherever it lies. o is nil if the base
// does not have it. lost is the version that has to be set aside, or nil.
func (m *merger) fields(o, a, b *object.Entry) (out object.Entry, lost *object.Entry) {
	from, other := a, b // from: whose content the result has
	switch {
	case bodyOf(a) == bodyOf(b), o != nil && bodyOf(o) == bodyOf(b):
	case o != nil && bodyOf(o) == bodyOf(a):
		from, other = b, a
	default:
		if compareAge(a, b) > 0 {
			from, other = b, a
		}
		lost = other
	}
	out = object.Entry{ID: a.ID, Kind: from.Kind, Blob: from.Blob, Chunks: from.Chunks, Mode: from.Mode, Mtime: from.Mtime, Xattrs: from.Xattrs}
	if a.Kind == b.Kind && (o == nil || o.Kind == a.Kind) {
		out.Mode = mergeMode(o, from, other)
		out.Xattrs = mergeXattrs(o, from, other)
	}
	if bodyOf(a) == bodyOf(b) {
		out.Mtime = mergeMtime(o, a, b)
	}
	out.Tags = m.tags(o, a, b)
	return out, lost
}

// mergeMode merges bit by bit: each bit that one side changed is changed.
func mergeMode(o, a, b *object.Entry) uint32 {
	if o == nil {
		return min(a.Mode, b.Mode)
	}
	return o.Mode ^ ((o.Mode ^ a.Mode) | (o.Mode ^ b.Mode))
}

func mergeMtime(o, a, b *object.Entry) int64 {
	if o != nil {
		if t, ok := pick(equal[int64], o.Mtime, a.Mtime, b.Mtime); ok {
			return t
		}
	}
	return max(a.Mtime, b.Mtime)
}

// mergeXattrs merges name by name. Where both sides changed one, a value wins
// over none, and the lower one over the higher.
func mergeXattrs(o, a, b *object.Entry) []object.Xattr {
	var old []object.Xattr
	if o != nil {
		old = o.Xattrs
	}
	if v, ok := pick(slices.Equal[[]object.Xattr], old, a.Xattrs, b.Xattrs); ok {
		return v
	}
	var out []object.Xattr
	for _, name := range xattrNames(a.Xattrs, b.Xattrs) {
		va, vb := xattr(a.Xattrs, name), xattr(b.Xattrs, name)
		v, ok := pick(samePointee, xattr(old, name), va, vb)
		if !ok {
			v = lowerXattr(va, vb)
		}
		if v != nil && len(out) < object.MaxXattrs {
			out = append(out, *v)
		}
	}
	return out
}

func xattrNames(sets ...[]object.Xattr) []string {
	var names []string
	for _, set := range sets {
		for _, x := range set {
			names = append(names, x.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func xattr(set []object.Xattr, name string) *object.Xattr {
	i, ok := slices.BinarySearchFunc(set, name, func(x object.Xattr, name string) int { return strings.Compare(x.Name, name) })
	if !ok {
		return nil
	}
	return &set[i]
}

func lowerXattr(a, b *object.Xattr) *object.Xattr {
	if a == nil || b != nil && b.Value < a.Value {
		return b
	}
	return a
}

func samePointee(a, b *object.Xattr) bool { return a == b || a != nil && b != nil && *a == *b }

// tags merges the tags of one node as an OR-set.
func (m *merger) tags(o, a, b *object.Entry) tags.Set {
	var old tags.Set
	if o != nil {
		old = o.Tags
	}
	if v, ok := pick(sameTags, old, a.Tags, b.Tags); ok {
		return v
	}
	has := func(c object.Cover) func(tags.Dot) bool {
		return func(d tags.Dot) bool { return c.Has(d.Writer, d.Seq) }
	}
	return capTags(tags.Merge(a.Tags, b.Tags, has(m.sides[left].Cover), has(m.sides[right].Cover)))
}

// capTags keeps a union within what an entry may hold: no merge blocks.
func capTags(s tags.Set) tags.Set {
	if len(s) > object.MaxTags {
		s = s[:object.MaxTags:object.MaxTags]
	}
	for i, t := range s {
		if len(t.Dots) > object.MaxDots {
			s = slices.Clone(s)
			s[i].Dots = t.Dots[:object.MaxDots:object.MaxDots]
		}
	}
	return s
}

// mergeConflict merges the mark of one slot. A mark that was cleared by one
// side is gone; of two, the lower stays.
func mergeConflict(n *node, s slot) object.FileID {
	var v [3]object.FileID
	var in [3]bool
	for state := range v {
		p, ok := n.spot(state, s)
		if in[state] = ok; ok {
			v[state] = p.entry.Conflict
		}
	}
	switch {
	case !in[left]:
		return v[right]
	case !in[right]:
		return v[left]
	}
	if in[base] {
		if c, ok := pick(equal[object.FileID], v[base], v[left], v[right]); ok {
			return c
		}
	}
	if v[left].IsZero() || !v[right].IsZero() && compareIDs(v[right], v[left]) < 0 {
		return v[right]
	}
	return v[left]
}
