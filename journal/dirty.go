package journal

// dirtySet holds the marks of one resource: a trie of names, whose marked
// nodes are also in a list ordered by node.rec. The journal's mutex guards it.
type dirtySet struct {
	resource string

	root    node
	ends    node // the list's ends: ends.next has the lowest rec
	count   int  // marks
	moving  int  // renames in flight
	cleared uint64
	wake    chan struct{}
	failure error // Journal.Failure
}

func newDirtySet(resource string) *dirtySet {
	d := &dirtySet{resource: resource, wake: make(chan struct{}, 1)}
	d.ends.prev, d.ends.next = &d.ends, &d.ends
	return d
}

// signal wakes who waits for the resource.
func (d *dirtySet) signal() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// oldest returns the mark with the lowest rec, or nil.
func (d *dirtySet) oldest() *node {
	if d.ends.next == &d.ends {
		return nil
	}
	return d.ends.next
}

// mark is what a record says of one name.
type mark struct {
	kinds KindSet
	actor *Actor
	file  FileKey // that arrives at the name; zero: none does
	when  int64
	gen   uint64
	rec   uint64
}

// touch marks n, or adds to its mark.
func (d *dirtySet) touch(n *node, m mark) {
	if !n.marked {
		n.marked = true
		n.kinds, n.actor, n.first, n.last = 0, m.actor, m.when, m.when
		d.count++
		d.link(n, d.ends.next) // rec 0 belongs to the front
	}
	n.kinds |= m.kinds
	n.arrive(m.file)
	n.first = min(n.first, m.when)
	n.last = max(n.last, m.when)
	if m.actor != nil {
		n.actor = m.actor
	}
	n.gen = m.gen
	d.restate(n, m.rec)
}

// restate notes that record rec brings n's mark back.
func (d *dirtySet) restate(n *node, rec uint64) {
	if rec <= n.rec {
		return
	}
	before := &d.ends
	for before.prev != &d.ends && before.prev.rec > rec {
		before = before.prev
	}
	d.unlink(n)
	n.rec = rec
	d.link(n, before)
}

// link puts n before the mark (or end) next.
func (d *dirtySet) link(n, next *node) {
	n.prev, n.next = next.prev, next
	n.prev.next, n.next.prev = n, n
}

func (d *dirtySet) unlink(n *node) {
	n.prev.next, n.next.prev = n.next, n.prev
	n.prev, n.next = nil, nil
}

// clear takes n's mark away, and the nodes that only led to it.
func (d *dirtySet) clear(n *node) {
	d.unlink(n)
	d.count--
	n.marked, n.kinds, n.actor, n.arrived, n.rec = false, 0, nil, nil, 0
	for !n.marked && len(n.kids) == 0 && n.parent != nil {
		delete(n.parent.kids, n.name)
		n = n.parent
	}
}

func (d *dirtySet) clearAll(marks []*node) {
	for _, n := range marks {
		d.clear(n)
	}
}

// dropBelow takes away every mark that only records below seq bring back.
func (d *dirtySet) dropBelow(seq uint64) {
	for n := d.oldest(); n != nil && n.rec < seq; n = d.oldest() {
		d.clear(n)
	}
}
