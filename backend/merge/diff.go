package merge

import (
	"maps"
	"slices"
	"strings"

	"github.com/silvermirror/smfs/backend/object"
)

// content is what is in one directory, in each state.
type content struct {
	dirs [3]*object.Directory // nil where the directory was not read or is not there
	tree [3]object.TreeID
	// facts are the base's names that a diff recorded, by the sides whose
	// diff did. All other names of the base are unchanged on both sides.
	facts map[string]uint8
}

// plain finds an entry that is unchanged on both sides.
func (c *content) plain(name string) (*object.Entry, bool) {
	if c == nil || c.dirs[base] == nil || c.facts[name] != 0 {
		return nil, false
	}
	return c.dirs[base].Lookup(name)
}

// diff compares one side with the base and records in m's nodes every slot
// that differs. Moves are found by FileID: a directory that only moved is not
// read.
type diff struct {
	m    *merger
	side int

	seen  [2]map[object.FileID]object.TreeID // directories recorded: base, side
	open  [2]map[object.FileID]object.TreeID // of these, those whose content is recorded too
	fresh []object.FileID                    // recorded since the last round
}

// half maps a state to its place in diff's pairs.
func half(state int) int { return min(state, 1) }

func (m *merger) diff(side int, from, to object.TreeID) error {
	d := &diff{m: m, side: side}
	for i := range 2 {
		d.seen[i] = make(map[object.FileID]object.TreeID)
		d.open[i] = make(map[object.FileID]object.TreeID)
	}
	d.seen[0][root], d.seen[1][root] = from, to
	d.fresh = append(d.fresh, root)
	for len(d.fresh) > 0 {
		if err := d.round(); err != nil {
			return err
		}
	}
	return nil
}

// round first opens the directories that both states have, until no more of
// these turn up, and then, one level deep, those that only one has.
func (d *diff) round() error {
	single := make(map[object.FileID]bool)
	for len(d.fresh) > 0 {
		ids := d.fresh
		d.fresh = nil
		for _, id := range ids {
			_, was := d.seen[0][id]
			_, is := d.seen[1][id]
			if was != is {
				single[id] = true
				continue
			}
			delete(single, id)
			if err := d.pair(id); err != nil {
				return err
			}
		}
	}
	for _, id := range slices.SortedFunc(maps.Keys(single), compareIDs) {
		_, was := d.seen[0][id]
		_, is := d.seen[1][id]
		if was && is { // found on the other side meanwhile: the next round pairs it
			continue
		}
		state := d.side
		if was {
			state = base
		}
		if err := d.expand(state, id); err != nil {
			return err
		}
	}
	return nil
}

// pair compares a directory that is in both states.
func (d *diff) pair(id object.FileID) error {
	_, was := d.open[0][id]
	_, is := d.open[1][id]
	if was || is { // met in one state before: its content is recorded whole
		if err := d.expand(base, id); err != nil {
			return err
		}
		return d.expand(d.side, id)
	}
	from, to := d.seen[0][id], d.seen[1][id]
	if from == to {
		return nil
	}
	d.open[0][id], d.open[1][id] = from, to
	old, err := d.m.read(base, id, from)
	if err != nil {
		return err
	}
	now, err := d.m.read(d.side, id, to)
	if err != nil {
		return err
	}
	d.compare(id, old.Entries, now.Entries)
	return nil
}

// compare walks the entries of both states by name.
func (d *diff) compare(id object.FileID, old, now []object.Entry) {
	for len(old) > 0 || len(now) > 0 {
		c := 0
		switch {
		case len(now) == 0:
			c = -1
		case len(old) == 0:
			c = 1
		default:
			c = strings.Compare(old[0].Name, now[0].Name)
		}
		if c == 0 && keyOf(&old[0]) == keyOf(&now[0]) && sameEntry(&old[0], &now[0]) {
			old, now = old[1:], now[1:]
			continue
		}
		if c <= 0 {
			d.record(base, id, &old[0])
			old = old[1:]
		}
		if c >= 0 {
			d.record(d.side, id, &now[0])
			now = now[1:]
		}
	}
}

// expand records the whole content of a directory in one state.
func (d *diff) expand(state int, id object.FileID) error {
	tree := d.seen[half(state)][id]
	if _, done := d.open[half(state)][id]; done {
		return nil
	}
	d.open[half(state)][id] = tree
	dir, err := d.m.read(state, id, tree)
	if err != nil {
		return err
	}
	for i := range dir.Entries {
		d.record(state, id, &dir.Entries[i])
	}
	return nil
}

// record notes one entry of one state.
func (d *diff) record(state int, dir object.FileID, e *object.Entry) {
	seen := d.seen[half(state)]
	if _, twice := seen[e.ID]; twice && e.Kind == object.Dir {
		// No smfs node writes a directory twice. The second one gets an
		// identity of its own, or its entries would be mixed with the first's.
		own := *e
		own.ID = derive("split", e.ID, string(dir[:]), e.Name)
		if _, again := seen[own.ID]; again {
			return
		}
		e = &own
	}
	n := d.m.node(keyOf(e))
	known := false
	if state == base {
		c := d.m.content(dir)
		known = c.facts[e.Name] != 0
		c.facts[e.Name] |= 1 << d.side
	}
	if !known {
		n.spots[state] = append(n.spots[state], spot{slot{dir, e.Name}, e})
	}
	if e.Kind == object.Dir {
		seen[e.ID] = e.Tree
		d.fresh = append(d.fresh, e.ID)
	}
}
