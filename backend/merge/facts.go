package merge

import (
	"maps"
	"slices"
)

// complete adds to each side the slots that only the other's diff recorded:
// they are as in the base.
func (m *merger) complete() {
	for _, n := range m.nodes {
		for _, s := range n.spots[base] {
			mask := m.contents[s.dir].facts[s.name]
			for _, side := range []int{left, right} {
				if mask&(1<<side) == 0 {
					n.spots[side] = append(n.spots[side], s)
				}
			}
		}
		for state := range n.spots {
			slices.SortFunc(n.spots[state], func(a, b spot) int { return compareSlots(a.slot, b.slot) })
		}
	}
	for id, c := range m.contents {
		for _, side := range []int{left, right} {
			if c.dirs[side] == nil && id != root && m.dir(id).in(side) {
				c.dirs[side], c.tree[side] = c.dirs[base], c.tree[base]
			}
		}
	}
}

// split gives slots that share a FileID but not their content or attributes
// identities of their own: they are no hard links, whatever they claim.
func (m *merger) split() {
	for _, k := range m.keys() {
		n := m.nodes[k]
		for state := range n.spots {
			keep := n.spots[state][:0:0]
			for i, s := range n.spots[state] {
				switch {
				case i > 0 && s.slot == n.spots[state][i-1].slot:
				case k.dir && i > 0, i > 0 && !sameNode(s.entry, n.first(state)):
					other := m.node(key{derive("split", k.id, string(s.dir[:]), s.name), k.dir})
					other.spots[state] = append(other.spots[state], s)
				default:
					keep = append(keep, s)
				}
			}
			n.spots[state] = keep
		}
	}
}

// keys are those of all nodes, in an order that does not depend on the diffs.
func (m *merger) keys() []key { return slices.SortedFunc(maps.Keys(m.nodes), compareKeys) }
