package backend

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/silvermirror/smfs/backend/object"
)

// deedPause is the longest pause between two commits of what one program
// removes or adds in one go.
const deedPause = 5 * time.Second

// deed is one commit of such a program. A large directory takes several to be
// removed, or copied; the states between them nobody has wanted.
type deed struct {
	change  change
	program string
	at      time.Time
}

// change is what a commit did to a path and what is below it.
type change int

const (
	mixed change = iota
	removed
	added
	edited // of whole commits alone, as the next
	moved
)

// goesOn tells whether newer is another step of the same deed.
func (d deed) goesOn(newer deed) bool {
	return d.change != mixed && d.change == newer.change &&
		d.program != "" && d.program == newer.program && newer.at.Sub(d.at) <= deedPause
}

// otherVersion finds the newest version of a path that differs from what is
// there now and that no deed passed through. What is gone is no version.
func (r *resource) otherVersion(ctx context.Context, path string) (id object.CommitID, found *object.Entry, err error) {
	head, err := r.headTree()
	if err != nil {
		return id, nil, err
	}
	now, err := findEntry(r.store, head, path)
	if err != nil {
		return id, nil, err
	}
	newer := map[string]deed{} // by node: their commits may alternate
	err = r.versions(ctx, path, func(v Version, e *object.Entry) error {
		d, err := r.deedOf(v, e)
		if err != nil {
			return err
		}
		passing := d.goesOn(newer[v.Node])
		newer[v.Node] = d
		if passing || e == nil || now != nil && now.Blob == e.Blob && now.Tree == e.Tree && now.Kind == e.Kind {
			return nil
		}
		found = e
		if id, err = object.ParseCommitID(v.Commit); err != nil {
			return err
		}
		return errStop
	})
	if err != nil && !errors.Is(err, errStop) {
		return id, nil, err
	}
	if found == nil {
		err = fmt.Errorf("%w: no other version of %q is in the history of %s", ErrNotFound, path, r.name)
		return id, nil, WithHint(err, "`smfs log` lists all there are, --at names one")
	}
	return id, found, nil
}

// deedOf tells what a version, whose entry is now, did to the one before.
func (r *resource) deedOf(v Version, now *object.Entry) (deed, error) {
	d := deed{program: v.Program, at: v.Time}
	id, err := object.ParseCommitID(v.Commit)
	if err != nil {
		return d, err
	}
	c, err := r.store.Commit(id)
	if err != nil {
		return d, err
	}
	var was *object.Entry
	if len(c.Parents) > 0 {
		parent, err := r.store.Commit(c.Parents[0])
		if err != nil {
			return d, err
		}
		if was, err = findEntry(r.store, parent.Tree, v.Path); err != nil {
			return d, err
		}
	}
	d.change, err = r.changeOf(was, now)
	return d, err
}

func (r *resource) changeOf(was, now *object.Entry) (change, error) {
	switch {
	case was == nil && now == nil:
		return mixed, nil
	case now == nil:
		return removed, nil
	case was == nil:
		return added, nil
	case was.Kind != object.Dir || now.Kind != object.Dir || !sameEntry(*was, *now):
		return mixed, nil
	}
	d, err := diffTrees(r.store, was.Tree, now.Tree)
	switch {
	case err != nil:
		return mixed, err
	case len(d.Changed) > 0 || (len(d.Added) > 0) == (len(d.Removed) > 0):
		return mixed, nil
	case len(d.Added) > 0:
		return added, nil
	}
	return removed, nil
}
