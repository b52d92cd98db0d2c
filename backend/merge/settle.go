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

// settle makes names unique. It unites all that may be united first, in the
// whole tree: what has a second name may be found to be something else there.
func (m *merger) settle() error {
	if err := m.eachDir(root, (*settler).uniteNames); err != nil {
		return err
	}
	return m.eachDir(root, (*settler).clearNames)
}

// eachDir calls do for a directory and then for those below it: uniting two
// directories brings what they hold together.
func (m *merger) eachDir(dir object.FileID, do func(*settler)) error {
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
	do(s)
	kept := make([]*ref, 0, len(m.children[dir]))
	for _, name := range slices.Sorted(maps.Keys(s.names)) {
		kept = append(kept, s.names[name]...)
	}
	m.children[dir] = kept
	for _, r := range kept {
		if n := r.of.end(); n.dir {
			if err := m.eachDir(n.id, do); err != nil {
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

// uniteNames unites those that share a name, where that may be.
func (s *settler) uniteNames() {
	for _, name := range slices.Sorted(maps.Keys(s.names)) {
		if e, ok := s.content.plain(name); ok {
			s.promote(e)
		}
		dirs, files := split(s.names[name])
		s.names[name] = append(s.m.uniteDirs(dirs), s.m.uniteFiles(files)...)
	}
}

// clearNames leaves one to each name and moves the others aside.
func (s *settler) clearNames() {
	for _, name := range slices.Sorted(maps.Keys(s.names)) {
		dirs, files := split(s.names[name])
		slices.SortFunc(dirs, func(a, b *ref) int { return compareRoots(a.of.end(), b.of.end()) })
		slices.SortFunc(files, func(a, b *ref) int { return compareClaims(a.of.end(), b.of.end()) })
		refs := slices.Concat(dirs, files)
		s.names[name] = refs[:1:1]
		for _, r := range refs[1:] {
			s.moveAside(r, refs[0].of.end())
		}
	}
}

// split parts directories from the rest, leaving one ref of each node.
func split(refs []*ref) (dirs, files []*ref) {
	for i, r := range refs {
		n := r.of.end()
		switch {
		case slices.ContainsFunc(refs[:i], func(o *ref) bool { return o.of.end() == n }):
		case n.dir:
			dirs = append(dirs, r)
		default:
			files = append(files, r)
		}
	}
	return dirs, files
}

// promote makes a node of an entry that is unchanged on both sides.
func (s *settler) promote(e *object.Entry) {
	k := keyOf(e)
	n := s.m.node(k)
	for own := strip(e); len(n.refs) > 0 && (k.dir || !sameNode(&n.entry, &own)); n = s.m.node(k) {
		k.id = derive("split", k.id, string(s.dir[:]), e.Name)
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

// compareRoots orders those that could be united: first what the base knew,
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
