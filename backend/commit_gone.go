package backend

import (
	"fmt"

	"github.com/silvermirror/smfs/backend/index"
	"github.com/silvermirror/smfs/journal"
)

// displace takes a node from its name until it is clear where it is.
func (c *committer) displace(n index.Node) error {
	c.touched[n.Slot()] = true
	c.displaced++
	return c.tx.Move(n.Slot(), index.Slot{Parent: limbo, Name: fmt.Sprint(c.displaced)})
}

// unsure tells whether it is not known yet where an inode is, or what it is there.
func (c *committer) unsure(key journal.FileKey) bool {
	return c.moving && !c.here[key] || c.postponed[key] || c.elsewhere[key]
}

// unsureError says that a node was displaced whose inode is at a name that could
// not be settled: the commit has to be made anew without that.
type unsureError struct{ key journal.FileKey }

func (e *unsureError) Error() string { return "the file that was displaced is not settled" }

// vacate takes what the index has at a name from it that holds nothing which is
// mirrored.
func (c *committer) vacate(s *seen) error {
	dir, name := splitPath(s.path)
	parent, ok := c.dirID(dir)
	if !ok {
		return nil
	}
	n, ok := c.tx.Get(parent, name)
	if !ok {
		return nil
	}
	if c.unsure(n.Key) {
		return c.postpone(s, errUnsettled)
	}
	if c.r.holdsBack(s.path) {
		return c.postpone(s, errHeldBack)
	}
	c.what.deleted(s.path, s.actor)
	return c.displace(n)
}

// absent settles one name that is missing.
func (c *committer) absent(s *seen) error {
	c.r.local.remove(s.path)
	c.r.looks.closed(s.path)
	dir, name := splitPath(s.path)
	if underAny(dir, c.unsettled) {
		c.stays(s)
		return nil
	}
	parent, ok := c.dirID(dir)
	if !ok {
		return nil // its directory is gone as well, and takes it along
	}
	n, ok := c.tx.Get(parent, name)
	if !ok {
		return nil // it was never committed, or has moved
	}
	if c.moving || c.postponed[n.Key] {
		c.stays(s) // it may have moved to where it is not settled yet
		c.r.retryLater()
		return nil
	}
	if c.r.holdsBack(s.path) {
		c.stays(s) // what was taken away was something else in its place
		return nil
	}
	if !s.deed() {
		c.lost = true
		return nil
	}
	c.touched[n.Slot()] = true
	c.what.deleted(s.path, s.actor)
	return c.r.dropTree(c.tx, n)
}

// checkLimbo makes sure, once all that is present is settled, that nothing was
// displaced that may have to be given another name yet.
func (c *committer) checkLimbo() error {
	return c.tx.Children(limbo, func(n index.Node) error {
		if c.postponed[n.Key] {
			return &unsureError{n.Key}
		}
		return nil
	})
}

// emptyLimbo deletes the nodes that were displaced and turned up nowhere.
func (c *committer) emptyLimbo() error {
	return c.tx.Children(limbo, func(n index.Node) error { return c.r.dropTree(c.tx, n) })
}
