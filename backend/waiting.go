package backend

import (
	"fmt"

	"github.com/silvermirror/smfs/backend/index"
	"github.com/silvermirror/smfs/backend/merge"
	"github.com/silvermirror/smfs/backend/object"
	"github.com/silvermirror/smfs/journal"
)

// A remote change that could not be applied waits: the name on disk keeps what
// it had, and the index keeps saying so, while the head already has the remote
// version. The index lists such names, each with the path that the head has
// for what belongs there.

// waitingDiff is what is left to do for the names that wait.
func (a *applier) waitingDiff() (*treeDiff, error) {
	paths, err := a.tx.Pending()
	if err != nil {
		return nil, err
	}
	d := differ{src: a.r.store}
	for path := range paths {
		if err := a.tx.ClearPending(path); err != nil {
			return nil, err
		}
		if err := a.waitingAt(&d, path); err != nil {
			return nil, err
		}
	}
	if err := d.expand(); err != nil {
		return nil, err
	}
	return d.result(), nil
}

// waitingAt adds what one name needs.
func (a *applier) waitingAt(d *differ, path string) error {
	have, known := a.tx.Lookup(path)
	e, err := findEntry(a.r.store, a.head, path)
	if err != nil {
		return err
	}
	parent, ok := a.parentID(path)
	if !ok {
		return nil // the directory waits as well, and comes with its entries
	}
	if known && e != nil && have.ID == e.ID && have.Kind == e.Kind {
		if !sameEntry(have.Entry, *e) {
			d.changed = append(d.changed, pair{placed{parent, path, have.Entry}, placed{parent, path, *e}})
		}
		return nil
	}
	if known {
		d.removed = append(d.removed, placed{parent, path, withoutTree(have.Entry)})
	}
	if e != nil {
		d.added = append(d.added, placed{parent, path, *e})
	}
	return nil
}

func withoutTree(e object.Entry) object.Entry {
	e.Tree = object.TreeID{}
	return e
}

func (a *applier) parentID(path string) (object.FileID, bool) {
	dir, _ := splitPath(path)
	if dir == "" {
		return object.FileID{}, true
	}
	n, ok := a.tx.Lookup(dir)
	return n.ID, ok && n.Kind == object.Dir
}

// rebase turns a local change of a name whose remote version waits into edits
// of the head: the head has a version of it that the disk never had, so the
// local one must not simply replace it. Both are kept: the remote one at its
// name, the local one beside it under a name derived from its content, unless
// the change can be told apart from the remote one.
func (c *committer) rebase(e *edits, path string, entry object.Entry) error {
	want, theirs, err := c.remoteOf(path, entry.ID)
	if err != nil {
		return err
	}
	if theirs == nil || theirs.Kind == object.Dir && entry.Kind == object.Dir {
		if theirs != nil {
			return nil
		}
		if entry.Kind == object.Dir {
			entry.Tree = object.TreeID{}
		}
		e.put(path, entry) // an edit beats a delete
		return nil
	}
	if sameOnDisk(*theirs, entry) || theirs.Kind == entry.Kind && theirs.Blob == entry.Blob {
		return nil // both made the same change
	}
	if theirs.Kind == object.File && entry.Kind == object.File && theirs.ID == entry.ID && theirs.Blob == c.before[entry.ID] {
		out := *theirs // the remote side changed no content: it was moved or tagged
		out.Blob, out.Mode, out.Mtime, out.Xattrs = entry.Blob, entry.Mode, entry.Mtime, entry.Xattrs
		e.put(want, out)
		return nil
	}
	id, err := object.NewFileID(c.r.random)
	if err != nil {
		return err
	}
	copied := entry
	copied.ID, copied.Conflict, copied.Tree = id, theirs.ID, object.TreeID{}
	dir, name := splitPath(want)
	at := join(dir, merge.CopyName(name, entry.Blob))
	e.put(at, copied)
	c.what.note("keep both versions of", want, journal.Actor{})
	return c.tx.SetPending(at, c.headID)
}

// remoteOf finds what the head has for a name that waits: at the same path, or
// at another one where the file was moved to.
func (c *committer) remoteOf(path string, id object.FileID) (string, *object.Entry, error) {
	theirs, err := findEntry(c.batch, c.base, path)
	if err != nil || theirs != nil {
		return path, theirs, err
	}
	for other := range c.waiting {
		e, err := findEntry(c.batch, c.base, other)
		if err != nil {
			return "", nil, err
		}
		if e != nil && e.ID == id {
			return other, e, nil
		}
	}
	return path, nil, nil
}

// ensureParents brings back the directories above path that the head lacks and
// this commit does not make: directories that were removed elsewhere while
// something was made in them here.
func (c *committer) ensureParents(e *edits, path string) error {
	dir, _ := splitPath(path)
	if dir == "" || e.has(dir) {
		return nil
	}
	if err := c.ensureParents(e, dir); err != nil {
		return err
	}
	there, err := findEntry(c.batch, c.base, dir)
	if err != nil || there != nil {
		return err
	}
	n, ok := c.tx.Lookup(dir)
	if !ok || n.Kind != object.Dir {
		return fmt.Errorf("directory %q is not in the index", dir)
	}
	e.put(dir, treeEntry(n))
	return nil
}

// treeEntry is the entry that the tree has for a node.
func treeEntry(n index.Node) object.Entry {
	e := withoutTree(n.Entry)
	e.Mode = mirroredMode(n.Mode, n.Kind)
	return e
}
