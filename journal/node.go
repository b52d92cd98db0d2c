package journal

import (
	"slices"
	"strings"
)

// node is one name in a dirty set: marked itself, or on the way to a mark.
// Its place never changes; a rename copies marks, it does not move nodes.
type node struct {
	parent *node
	name   string
	kids   map[string]*node

	holds *hold // operations in flight on this name

	marked     bool
	kinds      KindSet
	actor      *Actor
	arrived    []FileKey // see Mark
	first      int64     // nanoseconds since the journal's epoch
	last       int64     //
	gen        uint64    // when the mark last changed
	moved      uint64    // when a rename last ended here: a generation for all below
	rec        uint64    // newest record that brings this mark back
	prev, next *node     // in the dirty set's order
}

// hold ties an operation in flight to one node.
type hold struct {
	op   *Op
	node *node
	next *hold // of the same node
}

// path returns the node's path from its resource's root.
func (n *node) path() string {
	if n.parent == nil {
		return ""
	}
	size := -1
	for p := n; p.parent != nil; p = p.parent {
		size += len(p.name) + 1
	}
	b := make([]byte, size)
	for p := n; p.parent != nil; p = p.parent {
		size -= len(p.name)
		copy(b[size:], p.name)
		if size > 0 {
			size--
			b[size] = '/'
		}
	}
	return string(b)
}

// kid returns the child called name, made if make is set, else nil.
func (n *node) kid(name string, create bool) *node {
	k := n.kids[name]
	if k == nil && create {
		if n.kids == nil {
			n.kids = make(map[string]*node)
		}
		k = &node{parent: n, name: name}
		n.kids[name] = k
	}
	return k
}

// walk returns the node at path below n, made if create is set, else nil.
func (n *node) walk(path string, create bool) *node {
	for path != "" && n != nil {
		var name string
		name, path = firstName(path)
		n = n.kid(name, create)
	}
	return n
}

// firstName splits a path that is not "" after its first name.
func firstName(path string) (name, rest string) {
	name, rest, _ = strings.Cut(path, "/")
	return name, rest
}

// below reports whether path is dir or lies under it.
func below(path, dir string) bool {
	return dir == "" || path == dir || len(path) > len(dir) && path[len(dir)] == '/' && path[:len(dir)] == dir
}

// busy reports whether an operation is in flight on n, or a rename on n or
// above it.
func (n *node) busy() bool {
	if n.holds != nil {
		return true
	}
	for p := n.parent; p != nil; p = p.parent {
		if p.moving() {
			return true
		}
	}
	return false
}

// moving reports whether a rename of this very name is in flight.
func (n *node) moving() bool {
	for h := n.holds; h != nil; h = h.next {
		if h.op.move {
			return true
		}
	}
	return false
}

// generation is the mark's generation: its own, or that of the last rename
// of it or above it.
func (n *node) generation() uint64 {
	gen := n.gen
	for p := n; p != nil; p = p.parent {
		gen = max(gen, p.moved)
	}
	return gen
}

// older appends the marks strictly below n that only records below seq bring
// back. It reports whether nothing there is in flight.
func (n *node) older(seq uint64, to []*node) (marks []*node, free bool) {
	free = true
	for _, k := range n.kids {
		if k.marked && k.rec < seq {
			to = append(to, k)
		}
		var kidFree bool
		to, kidFree = k.older(seq, to)
		free = free && kidFree && k.holds == nil
	}
	return to, free
}

// arrive notes that a file was renamed to the name. The first few are kept.
func (n *node) arrive(file FileKey) {
	if file != (FileKey{}) && len(n.arrived) < maxArrived && !slices.Contains(n.arrived, file) {
		n.arrived = append(n.arrived, file)
	}
}

// drop removes h from its node.
func (h *hold) drop() {
	for at := &h.node.holds; *at != nil; at = &(*at).next {
		if *at == h {
			*at = h.next
			return
		}
	}
}
