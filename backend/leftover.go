package backend

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/silvermirror/smfs/backend/index"
	"github.com/silvermirror/smfs/backend/object"
	"github.com/silvermirror/smfs/fs/tree"
)

// recoverLeftovers settles what an apply that was cut short left under hidden
// names. It runs before all else looks at the directory: a file that was moved
// out of the way would be taken for deleted.
func (r *resource) recoverLeftovers(ctx context.Context) error {
	if (r.clean || !r.wantScan) && !r.behind {
		return nil // no apply was under way
	}
	paths, err := r.tree.RemoveTemps(ctx)
	return errors.Join(err, r.recoverAll(paths), r.recoverAsides())
}

// recoverAsides settles what an apply moved aside and could not find as it had
// left it: no scan looks there.
func (r *resource) recoverAsides() error {
	var paths []string
	err := r.index.Update(func(tx *index.Tx) error {
		var nodes []index.Node
		if err := tx.Children(object.FileID{}, func(n index.Node) error {
			if tree.IsTemp(n.Name) {
				nodes = append(nodes, n)
			}
			return nil
		}); err != nil {
			return err
		}
		for _, n := range nodes {
			if _, err := r.tree.Stat(n.Name); !isAbsent(err) {
				paths = append(paths, n.Name)
				continue
			}
			// Nobody could delete it there: the head's version comes back.
			if _, err := tx.DeleteTree(n.Parent, n.Name); err != nil {
				return err
			}
			r.behind = true
			if err := tx.SetApart(); err != nil {
				return err
			}
		}
		return nil
	})
	return errors.Join(err, r.recoverAll(paths))
}

func (r *resource) recoverAll(paths []string) (err error) {
	for _, path := range paths {
		if e := r.recoverLeftover(path); e != nil && !isAbsent(e) {
			err = errors.Join(err, fmt.Errorf("bring back %s: %w", path, e))
		}
	}
	return err
}

// recoverLeftover settles one: it returns to the name that it was taken from,
// goes if it was replaced or is spare, and else gets a name that shows.
func (r *resource) recoverLeftover(path string) error {
	info, err := r.tree.Stat(path)
	if err != nil {
		return err
	}
	l := leftover{r: r, path: path, info: info}
	if err := r.index.View(l.find); err != nil {
		return err
	}
	if l.aside != nil {
		if same, err := l.asLeft(); same || err != nil {
			return err
		}
	}
	switch {
	case l.spare:
		return r.tree.Remove(tree.At(path), tree.Exactly(info))
	case l.home != "":
		if err := l.moveTo(l.home); err == nil || !errors.Is(err, tree.ErrChanged) && !isAbsent(err) {
			return err
		}
	}
	dir, name := splitPath(path)
	name = strings.TrimSuffix(strings.TrimPrefix(name, tree.TempPrefix), ".swap")
	for i := 1; ; i++ {
		to := join(dir, "recovered-"+name)
		if i > 1 {
			to += fmt.Sprintf("-%d", i)
		}
		if _, err := r.tree.Stat(to); isAbsent(err) {
			r.log.Warn("brought back what an update cut short had put aside", "resource", r.name, "path", to)
			return l.moveTo(to)
		} else if err != nil {
			return err
		}
	}
}

// leftover is what a hidden name holds.
type leftover struct {
	r     *resource
	path  string
	info  tree.Info
	home  string      // the name that it was taken from, which is free
	spare bool        // nothing is lost with it
	aside *index.Node // what the index knows by this hidden name
}

// find looks for the names that the index has for it.
func (l *leftover) find(tx *index.Tx) error {
	replaced := true
	for _, slot := range tx.ByKey(l.info.Key) {
		at, err := tx.Path(slot)
		if err != nil {
			continue
		}
		if at == l.path {
			if n, ok := tx.Get(slot.Parent, slot.Name); ok {
				l.aside = &n
			}
			return nil
		}
		there, err := l.r.tree.Stat(at)
		switch {
		case isAbsent(err):
			l.home = at
		case err != nil:
			return err
		case there.Key == l.info.Key:
			l.spare = true
			return nil
		default:
			ok, err := l.r.asHead(at, there)
			if err != nil {
				return err
			}
			replaced = replaced && ok
		}
	}
	if l.home != "" || !replaced || isDir(l.info) {
		return nil
	}
	kind, ok := kindOf(l.info)
	if !ok || kind == object.Dir {
		return nil
	}
	content, err := l.r.hashPath(l.path, l.info)
	l.spare = err == nil && l.r.store.Has(content.Blob)
	return err
}

// asHead tells whether what is at a path has the content that the head has
// there: then an apply put it there.
func (r *resource) asHead(path string, info tree.Info) (bool, error) {
	root, err := r.headTree()
	if err != nil {
		return false, err
	}
	e, err := findEntry(r.store, root, path)
	if err != nil || e == nil {
		return false, err
	}
	if kind, ok := kindOf(info); !ok || kind != e.Kind || kind == object.Dir {
		return ok && kind == e.Kind, nil
	}
	content, err := r.hashPath(path, info)
	return content.Blob == e.Blob, err
}

// asLeft tells whether what was moved aside is as it was, but perhaps for other
// names that it has got or lost. An apply goes on with it then; else it shall
// show, so that it is committed.
func (l *leftover) asLeft() (bool, error) {
	was := diskInfo(*l.aside)
	if was.Mode != l.info.Mode {
		return false, nil
	}
	if isDir(l.info) || sameStat(was, l.info) {
		return true, nil
	}
	content, err := l.r.hashPath(l.path, l.info)
	if err != nil || content.Blob != l.aside.Blob || was.Mtime != l.info.Mtime {
		return false, err
	}
	xattrs, _, err := l.r.xattrs(l.path)
	if err != nil || !sameXattrs(xattrs, l.aside.Xattrs) {
		return false, err
	}
	n := *l.aside
	n.Ctime = l.info.Ctime
	return true, l.r.index.Update(func(tx *index.Tx) error { return tx.Put(n) })
}

func (l *leftover) moveTo(path string) error {
	if _, err := l.r.tree.Rename(tree.At(l.path), tree.At(path), tree.Exactly(l.info)); err != nil {
		return err
	}
	return l.r.journal.Found(l.r.name, path)
}
