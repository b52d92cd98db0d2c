package merge

import (
	"cmp"
	"maps"
	"slices"

	"github.com/silvermirror/smfs/backend/object"
)

// promoted marks a fact that no diff recorded: the entry became a node when
// another wanted its name.
const promoted = 1 << 7

// settler makes names unique in one directory.
type settler struct {
	m       *merger
	dir     object.FileID
	content *content
	names   map[string][]*ref
}

// settle makes names unique in a directory and then in those below it: uniting
// two directories brings what they hold together.
func (m *merger) settle(dir object.FileID) error {
	if len(m.children[dir]) == 0 {
		return nil
	}
	c, err := m.open(dir)
	if err != nil {
		return err
	}
	s := &settler{m: m, dir: dir, content: c, names: make(map[string][]*ref)}
	for _, r := range m.children[dir] {
		s.names[r.name] = append(s.names[r.name], r)
	}
	for _, name := range slices.Sorted(maps.Keys(s.names)) {
		s.settleName(name)
	}
	kept := m.children[dir][:0]
	for _, name := range slices.Sorted(maps.Keys(s.names)) {
		kept = append(kept, s.names[name]...)
	}
	m.children[dir] = kept
	for _, r := range kept {
		if n := r.of.end(); n.dir {
			if err := m.settle(n.id); err != nil {
				return err
			}
		}
	}
	return nil
}

// open gives the content of a directory, read now if no diff had to: then it
// is the same in all states.
func (m *merger) open(dir object.FileID) (*content, error) {
	if c := m.contents[dir]; c != nil {
		return c, nil
	}
	n := m.dir(dir)
	d, err := m.read(base, dir, n.tree())
	if err != nil {
		return nil, err
	}
	c := m.content(dir)
	for _, side := range []int{left, right} {
		if n.in(side) {
			c.dirs[side], c.tree[side] = d, c.tree[base]
		}
	}
	return c, nil
}

// tree is the tree of a directory that no diff read.
func (n *node) tree() object.TreeID {
	a, b := n.first(left), n.first(right)
	switch {
	case a == nil && b == nil:
		return object.TreeID{}
	case a == nil, b != nil && n.in(base) && a.Tree == n.first(base).Tree:
		return b.Tree
	}
	return a.Tree
}

// settleName leaves at most one ref at a name.
func (s *settler) settleName(name string) {
	if e, ok := s.content.plain(name); ok {
		s.promote(e)
	}
	var refs, dirs, files []*ref
	for _, r := range s.names[name] {
		if !slices.ContainsFunc(refs, func(o *ref) bool { return o.of.end() == r.of.end() }) {
			refs = append(refs, r)
		}
	}
	for _, r := range refs {
		if r.of.end().dir {
			dirs = append(dirs, r)
		} else {
			files = append(files, r)
		}
	}
	dirs, others := uniteAll(s.m, dirs)
	files, _ = uniteAll(s.m, files)
	slices.SortFunc(files, func(a, b *ref) int { return compareClaims(a.of.end(), b.of.end()) })
	winner, losers := cmp.Or(first(dirs), first(files)), append(others, files...)
	s.names[name] = []*ref{winner}
	for _, r := range losers {
		if r != winner {
			s.moveAside(r, winner.of.end())
		}
	}
}

func first(refs []*ref) *ref {
	if len(refs) == 0 {
		return nil
	}
	return refs[0]
}

// promote makes a node of an entry that is unchanged on both sides.
func (s *settler) promote(e *object.Entry) {
	k := keyOf(e)
	n := s.m.node(k)
	if len(n.refs) > 0 && !sameNode(&n.entry, ptr(strip(e))) {
		n = s.m.node(key{derive("split", k.id, string(s.dir[:]), e.Name), k.dir})
	}
	at := spot{slot{s.dir, e.Name}, e}
	if len(n.refs) == 0 {
		n.entry = strip(e)
		n.spots = [3][]spot{{at}, {at}, {at}}
	}
	n.fixed = true
	s.content.facts[e.Name] |= promoted
	s.names[e.Name] = append(s.names[e.Name], n.add(at.slot, e.Conflict))
}

func ptr[T any](v T) *T { return &v }

// uniteAll unites what may be, and returns what is left: first the one that
// the others were united with, then those that cannot be.
func uniteAll(m *merger, refs []*ref) (kept, rest []*ref) {
	slices.SortFunc(refs, func(a, b *ref) int { return compareRoots(a.of.end(), b.of.end()) })
	for _, r := range refs {
		n := r.of.end()
		i := slices.IndexFunc(kept, func(k *ref) bool { return mayUnite(k.of.end(), n) })
		switch {
		case i >= 0:
			m.unite(kept[i].of.end(), n)
		case n.dir && len(kept) > 0:
			rest = append(rest, r)
		default:
			kept = append(kept, r)
		}
	}
	return kept, rest
}

// compareRoots orders what others may be united with: what the base knew,
// then the lower id.
func compareRoots(a, b *node) int {
	if a.isNew() != b.isNew() {
		if b.isNew() {
			return -1
		}
		return 1
	}
	return compareKeys(a.key, b.key)
}

// compareClaims orders those that want one name: what is unchanged on both
// sides, then the later.
func compareClaims(a, b *node) int {
	if a.fixed != b.fixed {
		if a.fixed {
			return -1
		}
		return 1
	}
	return cmp.Or(compareAge(&a.entry, &b.entry), compareKeys(a.key, b.key))
}

// mayUnite reports whether n, which is new, is but another identity of into.
// A file the base knew may have links that were not read, so it must not
// change by this.
func mayUnite(into, n *node) bool {
	switch {
	case !n.isNew():
		return false
	case n.dir:
		return true
	case bodyOf(&into.entry) != bodyOf(&n.entry):
		return false
	}
	return into.isNew() || len(n.entry.Tags) == 0 && len(n.entry.Xattrs) == 0
}

// unite makes n part of into: tags and attributes are joined, what n holds
// lies in into.
func (m *merger) unite(into, n *node) {
	n.into = into
	if into.dir || into.isNew() {
		into.entry.Tags = uniteTags(into.entry.Tags, n.entry.Tags)
		into.entry.Xattrs = uniteXattrs(into.entry.Xattrs, n.entry.Xattrs)
	}
	if !n.dir {
		return
	}
	for _, r := range m.children[n.id] {
		r.dir = into.id
	}
	m.children[into.id] = append(m.children[into.id], m.children[n.id]...)
	delete(m.children, n.id)
}

func uniteXattrs(a, b []object.Xattr) []object.Xattr {
	var out []object.Xattr
	for _, name := range xattrNames(a, b) {
		if x := cmp.Or(xattr(a, name), xattr(b, name)); len(out) < object.MaxXattrs {
			out = append(out, *x)
		}
	}
	return out
}

// moveAside gives a ref that lost its name another, derived from what it is.
// Under Newest a new file goes: it lost to a later one.
func (s *settler) moveAside(r *ref, winner *node) {
	n := r.of.end()
	if s.m.policy == Newest && n.isNew() && !n.dir && !winner.dir {
		return
	}
	digits := n.entry.Blob[:]
	if n.dir {
		digits = n.id[:]
	}
	for i := 4; ; i *= 2 {
		if i > len(digits) { // another of the same content: its own id tells it apart
			id := derive("name", n.id, string(digits))
			digits, i = id[:], 4
		}
		name := conflictName(r.name, digits[:i])
		if s.holds(name, n) {
			return
		}
		if s.free(name) {
			r.name, r.conflict, r.fresh = name, winner.id, true
			s.names[name] = []*ref{r}
			return
		}
	}
}

func (s *settler) holds(name string, n *node) bool {
	return slices.ContainsFunc(s.names[name], func(r *ref) bool { return r.of.end() == n })
}

func (s *settler) free(name string) bool {
	_, plain := s.content.plain(name)
	return !plain && len(s.names[name]) == 0
}
