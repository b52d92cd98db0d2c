package backend

import (
	"errors"

	"github.com/silvermirror/smfs/backend/index"
	"github.com/silvermirror/smfs/backend/object"
	"github.com/silvermirror/smfs/fs/tree"
	"github.com/silvermirror/smfs/journal"
)

// A directory that is deleted elsewhere, and holds here what is not mirrored,
// stays on this disk. The index notes it (SetKept), or a scan would take it for
// new and make it again elsewhere.

// holdsNothingMirrored tells that a directory holds nothing but what is not
// mirrored, and directories that it keeps likewise: it stays on this disk, and is
// no part of the mirror any more.
func (r *resource) holdsNothingMirrored(tx *index.Tx, path string) bool {
	names, err := r.tree.ReadDir(path)
	if err != nil {
		return false
	}
	for _, name := range names {
		at := join(path, name.Name)
		kind, mirrored := kindOf(tree.Info{Mode: name.Mode})
		if !mirrored || r.skip(at, kind == object.Dir) {
			continue
		}
		info, err := r.tree.Stat(at)
		if _, known := tx.Lookup(at); known || err != nil || !r.keeps(tx, at, info) {
			return false
		}
	}
	return true
}

// keeps tells that a directory is one that stayed when it was deleted elsewhere,
// for what it holds, and still holds nothing else.
func (r *resource) keeps(tx *index.Tx, path string, info tree.Info) bool {
	return isDir(info) && tx.Kept(path) == info.Key && r.holdsNothingMirrored(tx, path)
}

// clearKept makes room where a directory stayed for what it holds: that moves to
// a name beside, or goes if nothing is left in it.
func (a *applier) clearKept(path string) error {
	if a.tx.Kept(path) == (journal.FileKey{}) {
		return nil
	}
	info, err := a.r.tree.Stat(path)
	if err != nil || !a.r.keeps(a.tx, path, info) {
		return nil // what is in the way, if anything, is something else
	}
	if err := a.r.tree.Rmdir(a.at(path), tree.Exactly(info)); !errors.Is(err, tree.ErrNotEmpty) {
		return err
	}
	dir, name := splitPath(path)
	to, err := a.freePath(dir, name, ".kept")
	if err != nil {
		return err
	}
	if _, err := a.r.tree.Rename(a.at(path), a.at(to), tree.Exactly(info)); err != nil {
		return err
	}
	a.r.log.Warn("what is not mirrored was in the way of a peer's change", "resource", a.r.name, "path", path, "is now", to)
	return indexed(a.tx.SetKept(to, info.Key))
}
