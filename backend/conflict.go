package backend

import (
	"context"
	"errors"
	"sort"
	"time"

	"github.com/silvermirror/smfs/backend/index"
	"github.com/silvermirror/smfs/backend/object"
)

// conflicts lists what merges have put aside, and the names that they chose of
// two, and nobody has cleared away.
func (r *resource) conflicts(ctx context.Context) ([]Conflict, error) {
	var out []Conflict
	names := map[string]object.FileID{} // that were chosen of two, by path
	err := r.index.View(func(tx *index.Tx) error {
		return tx.Conflicts(func(n index.Node) error {
			path, err := tx.Path(index.Slot{Parent: n.Parent, Name: n.Name})
			if err != nil {
				return nil
			}
			if n.Conflict == n.ID {
				names[path] = n.ID
				return nil
			}
			c := Conflict{Resource: r.name, Kind: ContentConflict, Path: r.mirrorPath(path), Time: time.Unix(0, n.Entry.Mtime)}
			for _, slot := range tx.Slots(n.Conflict) {
				if of, err := tx.Path(slot); err == nil {
					c.Of = r.mirrorPath(of)
					break
				}
			}
			out = append(out, c)
			return nil
		})
	})
	for path, id := range names {
		c := Conflict{Resource: r.name, Kind: NameConflict, Path: r.mirrorPath(path)}
		var nerr error
		c.Of, c.Time, nerr = r.otherName(ctx, path, id)
		err = errors.Join(err, nerr)
		out = append(out, c)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Path < out[j].Path })
	return out, err
}

// otherName finds the commit that chose the name of what is at path, and
// returns the name in the mirror that it did not choose, and the commit's time.
// The entry itself tells only that there was a choice.
func (r *resource) otherName(ctx context.Context, path string, id object.FileID) (other string, at time.Time, err error) {
	marked := func(tree object.TreeID, path string) (bool, error) {
		e, err := findEntry(r.store, tree, path)
		return e != nil && e.ID == id && e.Conflict == id, err
	}
	err = r.backwards(ctx, path, r.followRename, func(v visit) error {
		if now, err := marked(v.c.Tree, v.path); err != nil || !now {
			return err
		}
		var parents []object.TreeID
		for _, p := range v.c.Parents {
			c, err := r.store.Commit(p)
			if err != nil {
				return err
			}
			if was, err := marked(c.Tree, v.path); err != nil || was {
				return err
			}
			parents = append(parents, c.Tree)
		}
		at = time.Unix(v.c.Time, 0)
		for _, tree := range parents {
			d, err := diffTrees(r.store, tree, v.c.Tree)
			if err != nil {
				return err
			}
			for _, p := range d.Removed {
				if p.Entry.ID == id {
					other = r.mirrorPath(p.Path)
				}
			}
		}
		return errStop
	})
	if errors.Is(err, errStop) {
		err = nil
	}
	return other, at, err
}
