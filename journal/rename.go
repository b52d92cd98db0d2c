package journal

import "slices"

// A rename makes every mark under one name a mark under the other as well.
// Which names a path had when an operation acts is not known while renames of
// directories above it are in flight; so until a rename has ended, both its
// names are taken for one: what is marked under either is marked under both.

// moves reports whether r may move what lies below its paths. A rename into
// or onto a directory above does not: no kernel lets it happen, and marks that
// breed marks below themselves would grow without bound.
func (r *Record) moves() bool {
	return r.Kind == KindRename && !below(r.Path, r.To) && !below(r.To, r.Path)
}

// unite gives a and b, and what lies under them, each other's marks.
func (d *dirtySet) unite(a, b string, gen uint64) {
	d.uniteNodes(d.root.walk(a, true), d.root.walk(b, true), gen)
}

func (d *dirtySet) uniteNodes(a, b *node, gen uint64) {
	d.copyMark(a, b, gen)
	d.copyMark(b, a, gen)
	for name, k := range a.kids {
		d.uniteNodes(k, b.kid(name, true), gen)
	}
	for name, k := range b.kids {
		if a.kids[name] == nil {
			d.uniteNodes(a.kid(name, true), k, gen)
		}
	}
}

// copyMark gives to the mark of from, and the operations in flight on it. The
// copy counts as old as the record that from comes back by: only together with
// that one does the rename's record bring the copy back.
func (d *dirtySet) copyMark(from, to *node, gen uint64) {
	if !from.marked {
		return
	}
	if !to.marked {
		to.marked = true
		to.kinds, to.actor, to.first, to.last = from.kinds, from.actor, from.first, from.last
		to.rec = from.rec
		d.count++
		d.link(to, from.next)
	}
	to.kinds |= from.kinds
	for _, file := range from.arrived {
		to.arrive(file)
	}
	to.first = min(to.first, from.first)
	if from.last > to.last {
		to.last = from.last
		to.actor = from.actor
	}
	to.gen = gen
	for h := from.holds; h != nil; h = h.next {
		h.op.hold(to)
	}
}

// aliases returns path and every other path that it may turn into, or may have
// come from, through the renames in flight.
func (d *dirtySet) aliases(path string) []string {
	paths := []string{path}
	if d.moving == 0 {
		return paths
	}
	used := [][]*Op{nil} // by which renames paths[i] was reached: each acts once
	for i := 0; i < len(paths); i++ {
		d.eachMove(paths[i], func(op *Op, at *node, rest string) {
			if slices.Contains(used[i], op) {
				return
			}
			for _, h := range op.all() {
				if alias := join(h.node.path(), rest); h.node != at && !slices.Contains(paths, alias) {
					paths = append(paths, alias)
					used = append(used, append(slices.Clone(used[i]), op))
				}
			}
		})
	}
	return paths
}

// eachMove calls fn for each rename in flight of path or of a directory above
// it, with the node that is renamed and the rest of path below that.
func (d *dirtySet) eachMove(path string, fn func(op *Op, at *node, rest string)) {
	for n := &d.root; n != nil; {
		for h := n.holds; h != nil; h = h.next {
			if h.op.move {
				fn(h.op, n, path)
			}
		}
		if path == "" {
			return
		}
		var name string
		name, path = firstName(path)
		n = n.kid(name, false)
	}
}

func join(dir, rest string) string {
	if dir == "" || rest == "" {
		return dir + rest
	}
	return dir + "/" + rest
}

// expand appends to recs all that r has to be journaled as: r itself, and
// what the renames in flight make of its paths.
func (d *dirtySet) expand(recs []Record, r *Record) []Record {
	recs = append(recs, *r)
	if r.Linked && r.Key != (FileKey{}) {
		recs = append(recs, r.alias(inodeName(r.Key)))
	}
	if d.moving == 0 {
		return recs
	}
	if r.moves() {
		return d.expandRename(recs, r)
	}
	names := d.aliases(r.Path)[1:]
	if r.Kind.hasTo() {
		names = append(names, d.aliases(r.To)[1:]...)
	}
	for _, name := range names {
		recs = append(recs, r.alias(name))
	}
	return recs
}

// alias is a record that marks another name as r marks its own.
func (r *Record) alias(name string) Record {
	a := *r
	a.Kind, a.aux = KindCheckpoint, uint64(KindSetOf(r.Kind))
	a.Path, a.To = name, ""
	return a
}

// expandRename journals a rename between every two names that either end has,
// in an order that leaves all of them with all marks.
func (d *dirtySet) expandRename(recs []Record, r *Record) []Record {
	ends := []string{r.Path, r.To}
	for _, name := range append(d.aliases(r.Path), d.aliases(r.To)...) {
		if !slices.Contains(ends, name) {
			ends = append(ends, name)
		}
	}
	for i, from := range ends {
		for k := i + 1; k < len(ends); k++ {
			if i == 0 && k == 1 {
				continue // r itself
			}
			alias := *r
			alias.Path, alias.To = from, ends[k]
			if !alias.moves() {
				alias = r.alias(ends[k])
			}
			recs = append(recs, alias)
		}
	}
	return recs
}
