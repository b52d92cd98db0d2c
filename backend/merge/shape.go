package merge

import (
	"slices"

	"github.com/silvermirror/smfs/backend/object"
)

// shape makes the result a tree: directories that hold something live, and
// none lies in itself.
func (m *merger) shape() {
	for cyclic := true; cyclic; cyclic = m.breakCycles() {
		var work []*node
		for _, k := range m.keys() {
			n := m.nodes[k]
			if n.revived { // maybe for what no longer lies in it
				n.refs, n.revived = nil, false
			}
			work = append(work, n)
		}
		for len(work) > 0 {
			n := work[0]
			work = append(work[1:], m.revive(n)...)
		}
	}
	m.children = make(map[object.FileID][]*ref)
	for _, k := range m.keys() {
		for _, r := range m.nodes[k].refs {
			m.children[r.dir] = append(m.children[r.dir], r)
		}
	}
}

// revive brings back the directories that n lies in. Each is on the side that
// n comes from, and takes its place there.
func (m *merger) revive(n *node) (revived []*node) {
	for _, r := range n.refs {
		if r.dir == root {
			continue
		}
		p := m.dir(r.dir)
		switch {
		case p != nil && len(p.refs) > 0:
			continue
		case p != nil && (p.in(left) || p.in(right)):
			side := left
			if !p.in(left) {
				side = right
			}
			p.entry = strip(p.first(side))
			s := p.spots[side][0]
			p.add(s.slot, s.entry.Conflict)
			p.revived = true
			revived = append(revived, p)
		default: // only trees that use a FileID twice get here
			r.dir = root
		}
	}
	return revived
}

// breakCycles finds directories that the moves of both sides together put into
// themselves, and takes back one of right's moves in each such cycle. That
// comes to an end: left's tree has no cycle.
func (m *merger) breakCycles() (found bool) {
	const walking, done = 1, 2
	state := make(map[*node]int)
	for _, k := range m.keys() {
		var way []*node
		n := m.nodes[k]
		for n != nil && n.dir && len(n.refs) > 0 && state[n] == 0 {
			state[n] = walking
			way = append(way, n)
			n = m.dir(n.refs[0].dir)
		}
		if n != nil && n.dir && state[n] == walking {
			m.breakCycle(way[slices.Index(way, n):])
			found = true
		}
		for _, w := range way {
			state[w] = done
		}
	}
	return found
}

func (m *merger) breakCycle(cycle []*node) {
	slices.SortFunc(cycle, func(a, b *node) int { return compareKeys(a.key, b.key) })
	for _, n := range cycle {
		if n.in(left) && n.refs[0].slot != n.spots[left][0].slot && !n.stuck {
			n.refs[0].slot = n.spots[left][0].slot
			n.refs[0].conflict, n.refs[0].fresh = n.id, true
			return
		}
	}
	n := cycle[0] // only trees that use a FileID twice get here
	n.refs[0].dir, n.stuck, n.revived = root, true, false
}
