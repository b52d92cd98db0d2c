package store

import (
	"fmt"

	"github.com/silvermirror/smfs/backend/object"
)

// maxDirDepth is how deep directories nest. Linux cannot name deeper ones by
// one path; trees in .smfs add a little.
const maxDirDepth = 2100

// treeDiff finds the objects of trees that are not in the trees before them,
// at a cost of what differs. What merely moved within one step is recognised.
type treeDiff struct {
	view *view
	seen map[[20]byte]struct{} // told already
	emit func(id [20]byte, kind object.Type)

	added []object.TreeEntry    // of this step: entries that no base has in their place
	gone  map[[20]byte]struct{} // of this step: what bases had where it is not any more
	lists []object.TreeID       // of gone: lists of chunks, and nodes of such
}

// place is where in a directory's tree a tree is.
type place uint8

const (
	ordinary place = iota
	reserved       // the directory's .smfs
	chunks         // .smfs/chunks and all below it
)

func (p place) below(name string) place {
	switch {
	case p == ordinary && name == object.ReservedName:
		return reserved
	case p == reserved && name == object.ChunksName, p == chunks:
		return chunks
	}
	return ordinary
}

// step tells the objects in tree that are in none of bases. The bases must be
// complete for whoever gets the objects.
func (d *treeDiff) step(tree object.TreeID, bases []object.TreeID) error {
	for _, b := range bases {
		if b == tree {
			return nil
		}
	}
	d.added, d.gone, d.lists = d.added[:0], map[[20]byte]struct{}{}, d.lists[:0]
	if err := d.pair(tree, bases, ordinary, 0); err != nil {
		return err
	}
	if err := d.openLists(); err != nil {
		return err
	}
	for _, e := range d.added {
		if err := d.whole(e, 0); err != nil {
			return err
		}
	}
	return nil
}

func (d *treeDiff) tell(id [20]byte, kind object.Type) bool {
	if _, ok := d.seen[id]; ok {
		return false
	}
	d.seen[id] = struct{}{}
	d.emit(id, kind)
	return true
}

func (d *treeDiff) entries(id [20]byte) ([]object.TreeEntry, error) {
	data, err := d.view.ReadTree(id, object.MaxTree)
	if err != nil {
		return nil, err
	}
	entries, err := object.ParseTree(data)
	if err != nil {
		return nil, fmt.Errorf("tree %x: %w", id, err)
	}
	return entries, nil
}

// pair walks one tree beside those at its place in the bases.
func (d *treeDiff) pair(tree object.TreeID, bases []object.TreeID, at place, depth int) error {
	if depth > maxDirDepth {
		return fmt.Errorf("tree %s: %w: nested too deep", tree, object.ErrInvalid)
	}
	if !d.tell(tree, object.TypeTree) {
		return nil
	}
	entries, err := d.entries(tree)
	if err != nil {
		return err
	}
	cursors := make([]cursor, len(bases))
	for i, b := range bases {
		if cursors[i].left, err = d.entries(b); err != nil {
			return err
		}
	}
	for _, e := range entries {
		same, subs := d.match(e, cursors, at)
		switch {
		case same:
		case e.IsTree() && len(subs) > 0:
			if err := d.pair(e.ID, subs, at.below(e.Name), depth+1); err != nil {
				return err
			}
		default:
			d.added = append(d.added, e)
		}
	}
	for i := range cursors {
		d.lose(cursors[i].left, at)
	}
	return nil
}

// cursor walks the entries of a base.
type cursor struct{ left []object.TreeEntry }

// match looks e up in the bases: whether one has just that, else the trees
// that are in its place.
func (d *treeDiff) match(e object.TreeEntry, cursors []cursor, at place) (same bool, subs []object.TreeID) {
	for i := range cursors {
		left := cursors[i].left
		n := 0
		for n < len(left) && object.CompareTreeEntries(left[n], e) < 0 {
			n++
		}
		d.lose(left[:n], at)
		left = left[n:]
		if len(left) > 0 && object.CompareTreeEntries(left[0], e) == 0 {
			switch {
			case left[0].ID == e.ID:
				same = true
			case e.IsTree():
				subs = append(subs, left[0].ID)
			default:
				d.lose(left[:1], at)
			}
			left = left[1:]
		}
		cursors[i].left = left
	}
	return same, subs
}

func (d *treeDiff) lose(entries []object.TreeEntry, at place) {
	for _, e := range entries {
		d.gone[e.ID] = struct{}{}
		if at == chunks && e.IsTree() {
			d.lists = append(d.lists, e.ID)
		}
	}
}

// openLists finds the chunks of the lists that are gone: where something is
// inserted into a file, the names of all that follows change, and a list of the
// same chunks may lie elsewhere now.
func (d *treeDiff) openLists() error {
	kept := map[[20]byte]bool{} // as a whole, or opened before
	for _, e := range d.added {
		kept[e.ID] = true
	}
	for len(d.lists) > 0 && len(d.added) > 0 {
		last := len(d.lists) - 1
		list := d.lists[last]
		d.lists = d.lists[:last]
		if kept[list] {
			continue
		}
		kept[list] = true
		entries, err := d.entries(list)
		if err != nil {
			return err
		}
		d.lose(entries, chunks)
	}
	return nil
}

// whole tells an entry with all below it, save for what only moved.
func (d *treeDiff) whole(e object.TreeEntry, depth int) error {
	if depth > maxDirDepth {
		return fmt.Errorf("tree %x: %w: nested too deep", e.ID, object.ErrInvalid)
	}
	if _, moved := d.gone[e.ID]; moved {
		return nil
	}
	if !e.IsTree() {
		d.tell(e.ID, object.TypeBlob)
		return nil
	}
	if !d.tell(e.ID, object.TypeTree) {
		return nil
	}
	entries, err := d.entries(e.ID)
	if err != nil {
		return err
	}
	for _, sub := range entries {
		if err := d.whole(sub, depth+1); err != nil {
			return err
		}
	}
	return nil
}
