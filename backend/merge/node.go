package merge

import (
	"cmp"
	"crypto/sha256"
	"slices"
	"strings"

	"github.com/silvermirror/smfs/backend/object"
)

// The three states a merge looks at.
const (
	base = iota
	left
	right
)

// root is the FileID of a resource's root directory.
var root object.FileID

// key names a node. Directories and the rest are apart, so that a tree which
// gives both one FileID cannot confuse a merge.
type key struct {
	id  object.FileID
	dir bool
}

func keyOf(e *object.Entry) key { return key{e.ID, e.Kind == object.Dir} }

func compareIDs(a, b object.FileID) int { return slices.Compare(a[:], b[:]) }

func compareKeys(a, b key) int {
	if c := compareIDs(a.id, b.id); c != 0 {
		return c
	}
	switch {
	case a.dir == b.dir:
		return 0
	case a.dir:
		return -1
	}
	return 1
}

// slot is one name in one directory.
type slot struct {
	dir  object.FileID
	name string
}

func compareSlots(a, b slot) int {
	return cmp.Or(compareIDs(a.dir, b.dir), strings.Compare(a.name, b.name))
}

// spot is an entry where it was found.
type spot struct {
	slot
	entry *object.Entry
}

// ref is a slot a node has in the result.
type ref struct {
	slot
	of       *node
	conflict object.FileID // Entry.Conflict
	fresh    bool          // the conflict is of this merge
	instead  *slot         // the other side moved it there; a conflict unless both turn out one
}

// node is a file, link or directory that at least one side changed, or that
// holds something changed.
type node struct {
	key
	spots [3][]spot // by state, sorted by slot

	entry   object.Entry // result: all fields but Name, Tree and Conflict
	refs    []*ref       // result: none if it is deleted
	into    *node        // it was united with that one
	fixed   bool         // entry must stay: it may have slots that were not read
	revived bool         // it was deleted, but something lies in it
	stuck   bool         // it was moved to the root to break a cycle
}

func (n *node) in(state int) bool { return len(n.spots[state]) > 0 }

// first is the entry of the state's first slot; nil if there is none.
func (n *node) first(state int) *object.Entry {
	if !n.in(state) {
		return nil
	}
	return n.spots[state][0].entry
}

func (n *node) has(state int, s slot) bool { _, ok := n.spot(state, s); return ok }

func (n *node) spot(state int, s slot) (spot, bool) {
	i, ok := slices.BinarySearchFunc(n.spots[state], s, func(p spot, s slot) int { return compareSlots(p.slot, s) })
	if !ok {
		return spot{}, false
	}
	return n.spots[state][i], true
}

// add gives the node a slot in the result.
func (n *node) add(s slot, conflict object.FileID) *ref {
	r := &ref{slot: s, of: n, conflict: conflict}
	n.refs = append(n.refs, r)
	return r
}

// end follows the unions of directories.
func (n *node) end() *node {
	for n.into != nil {
		n = n.into
	}
	return n
}

// isNew reports whether the base did not know the node.
func (n *node) isNew() bool { return !n.in(base) && !n.fixed }

// derive mints a FileID from another and what sets the new node apart, the
// same on every node.
func derive(what string, id object.FileID, parts ...string) object.FileID {
	h := sha256.New()
	h.Write([]byte(what + "\x00"))
	h.Write(id[:])
	for _, p := range parts {
		h.Write([]byte(p + "\x00"))
	}
	var out object.FileID
	copy(out[:], h.Sum(nil))
	return out
}
