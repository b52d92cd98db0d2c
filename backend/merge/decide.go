package merge

import (
	"fmt"
	"slices"

	"github.com/silvermirror/smfs/backend/object"
)

// lost is a version that its node could not keep.
type lost struct {
	of    *node
	entry *object.Entry
}

// decide settles each node by itself, then places the versions set aside.
func (m *merger) decide() {
	var aside []lost
	for _, k := range m.keys() {
		n := m.nodes[k]
		if k.dir {
			m.decideDir(n)
		} else if e := m.decideFile(n); e != nil {
			aside = append(aside, lost{n, e})
		}
	}
	if m.policy == Newest {
		return
	}
	for _, l := range aside {
		m.setAside(l)
	}
}

// decideFile settles a file or link. It returns the version that lost.
func (m *merger) decideFile(n *node) (aside *object.Entry) {
	a, b := n.first(left), n.first(right)
	switch {
	case a != nil && b != nil:
		n.entry, aside = m.fields(n.first(base), a, b)
		n.mergeSlots()
	case a != nil:
		m.oneSided(n, left)
	case b != nil:
		m.oneSided(n, right)
	}
	return aside
}

// oneSided settles a file that only one side has: it is new there, or the
// other side deleted it.
func (m *merger) oneSided(n *node, side int) {
	n.entry = strip(n.first(side))
	o := n.first(base)
	all := o == nil || edited(o, &n.entry) || m.movedAlong(n, side)
	for _, s := range n.spots[side] {
		if all || !n.has(base, s.slot) {
			n.add(s.slot, s.entry.Conflict)
		}
	}
}

// mergeSlots merges the slots of a file as a set. A slot that both sides left,
// for different new ones, is a disagreement: of the new ones only left's stay.
func (n *node) mergeSlots() {
	var gone, common int
	var onlyLeft, onlyRight []slot
	for _, s := range n.spots[base] {
		if !n.has(left, s.slot) && !n.has(right, s.slot) {
			gone++
		}
	}
	for _, s := range n.spots[left] {
		inBase, inRight := n.has(base, s.slot), n.has(right, s.slot)
		switch {
		case inRight:
			n.add(s.slot, mergeConflict(n, s.slot))
			if !inBase {
				common++
			}
		case !inBase:
			onlyLeft = append(onlyLeft, s.slot)
		}
	}
	for _, s := range n.spots[right] {
		if !n.has(base, s.slot) && !n.has(left, s.slot) {
			onlyRight = append(onlyRight, s.slot)
		}
	}
	torn := gone > common && len(onlyLeft) > 0 && len(onlyRight) > 0
	for i, s := range onlyLeft {
		r := n.add(s, mergeConflict(n, s))
		if torn && i == 0 {
			r.instead = &onlyRight[0]
		}
	}
	if !torn {
		for _, s := range onlyRight {
			n.add(s, mergeConflict(n, s))
		}
	}
	if len(n.refs) == 0 { // each side removed what the other kept
		a, b := n.spots[left][0].slot, n.spots[right][0].slot
		if compareSlots(b, a) < 0 {
			a, b = b, a
		}
		n.add(a, mergeConflict(n, a)).instead = &b
	}
}

// decideDir settles a directory's fields and its one slot.
func (m *merger) decideDir(n *node) {
	a, b := n.first(left), n.first(right)
	switch {
	case a != nil && b != nil:
		n.entry, _ = m.fields(n.first(base), a, b)
		n.mergeSlot()
	case a != nil:
		m.oneSidedDir(n, left)
	case b != nil:
		m.oneSidedDir(n, right)
	}
}

// mergeSlot merges the one slot of a directory.
func (n *node) mergeSlot() {
	a, b := n.spots[left][0].slot, n.spots[right][0].slot
	s, ok := a, a == b
	if !ok && n.in(base) {
		s, ok = pick(equal[slot], n.spots[base][0].slot, a, b)
	}
	if ok {
		n.add(s, mergeConflict(n, s))
		return
	}
	n.add(a, mergeConflict(n, a)).instead = &b
}

// oneSidedDir settles a directory that is new, or that the other side deleted.
// A rename and a change of mode or attributes beat the delete. What is put
// inside does so too; shape sees to that.
func (m *merger) oneSidedDir(n *node, side int) {
	n.entry = strip(n.first(side))
	s := n.spots[side][0]
	o := n.first(base)
	if o == nil || edited(o, &n.entry) || !n.has(base, s.slot) || m.movedAlong(n, side) {
		n.add(s.slot, s.entry.Conflict)
	}
}

// movedAlong reports whether the side moved a directory that holds n while
// the other side deleted it with all in it. Then the move wins, for n too.
func (m *merger) movedAlong(n *node, side int) bool {
	other := left + right - side
	for n.in(base) && !n.in(other) {
		if n.dir && n.in(side) && !n.has(base, n.spots[side][0].slot) {
			return true
		}
		if n = m.dir(n.spots[base][0].dir); n == nil {
			return false
		}
	}
	return false
}

// strip takes from an entry what belongs to its node.
func strip(e *object.Entry) object.Entry {
	out := *e
	out.Name, out.Tree, out.Conflict = "", object.TreeID{}, object.FileID{}
	return out
}

// setAside gives a version that lost a name beside its node and an identity,
// both out of its content: every node does the same, and a copy that is there
// already is not made again.
func (m *merger) setAside(l lost) {
	if len(l.of.refs) == 0 {
		return
	}
	// The attributes are part of the identity: an earlier copy of the same bytes
	// may lie where no diff had to read, and would be taken for a hard link.
	version := fmt.Sprint(l.entry.Mtime, l.entry.Mode, l.entry.Xattrs)
	k := key{derive("copy", l.of.id, string(l.entry.Blob[:]), version), false}
	n := m.node(k)
	for len(n.refs) > 0 {
		if n.entry.Blob == l.entry.Blob {
			return
		}
		// It was edited since: this copy is another.
		k.id = derive("copy", k.id, string(l.entry.Blob[:]))
		n = m.node(k)
	}
	n.entry = strip(l.entry)
	n.entry.ID, n.entry.Tags = k.id, nil
	beside := slices.MinFunc(l.of.refs, func(a, b *ref) int { return compareSlots(a.slot, b.slot) })
	name := conflictName(beside.name, l.entry.Blob[:4])
	n.add(slot{beside.dir, name}, l.of.id).fresh = true
}
