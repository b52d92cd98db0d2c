package backend

import (
	"errors"
	"fmt"
	"time"

	"github.com/silvermirror/smfs/backend/object"
	"github.com/silvermirror/smfs/fs/tree"
	"github.com/silvermirror/smfs/journal"
)

// stays keeps a name dirty: by its marks or, where a walk has found it, by the
// mark of the directory that was walked, which is walked again then.
func (c *committer) stays(s *seen) {
	c.keep[s.path] = true
	if s.mark != "" {
		c.keep[s.mark] = true
	}
	if s.walked == "" {
		return
	}
	c.stayed++
	c.keep[s.walked] = true
	for dir := s.path; dir != s.walked; {
		dir, _ = splitPath(dir)
		c.rewalk[dir] = true // each: it may move away from the others
	}
}

// postpone leaves a name dirty when it cannot be read for now.
func (c *committer) postpone(s *seen, err error) error {
	c.unclear = c.unclear || errors.Is(err, errUnplaced)
	switch {
	case errors.Is(err, errOpen), errors.Is(err, errChanging), errors.Is(err, errUnplaced), errors.Is(err, tree.ErrNotRegular), errors.Is(err, tree.ErrNotDirectory), isAbsent(err):
		c.r.retrySoon()
	case errors.Is(err, errUnsettled), errors.Is(err, errHeldBack):
		c.r.retryLater()
	case isLocal(err), errors.Is(err, errNoRoom):
		c.r.report(s.path, err)
		c.r.retryLater()
	default:
		return err
	}
	c.stays(s)
	c.postponed[s.info.Key] = true
	if isDir(s.info) {
		c.unsettled[s.path] = true
		c.moving = true
	}
	return nil
}

// markRewalks notes in the index which directories are to be walked again.
func (c *committer) markRewalks() error {
	for path := range c.rewalk {
		n, ok := c.tx.Lookup(path)
		if !ok || n.Kind != object.Dir {
			continue // not settled itself: it is still new
		}
		n.Uncertain = true
		if err := c.tx.Put(n); err != nil {
			return err
		}
	}
	return nil
}

const (
	// strayAfter is how long a mark may wait for others to say what else has moved.
	strayAfter = 5 * time.Second
	// strayPause is the shortest time between two scans for that reason: what a
	// scan does not settle, another will not soon.
	strayPause = 10 * time.Minute
)

// scanForStrays scans where a mark has stayed for long although it is of no use to
// wait: the journal was not told of something, as through a mount never happens.
func (r *resource) scanForStrays(marks []journal.Mark, keep map[string]bool) {
	now := r.now()
	if now.Sub(r.strayScan) < strayPause {
		return
	}
	for _, m := range marks {
		if keep[m.Path] && now.Sub(m.First) > strayAfter {
			r.strayScan = now
			r.needScan(fmt.Sprintf("%q cannot be settled", m.Path), nil)
			return
		}
	}
}
