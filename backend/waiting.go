package backend

import (
	"context"
	"errors"

	"github.com/silvermirror/smfs/fs/tree"
)

// A remote change that could not be applied waits: the name on disk keeps what
// it had, and the index keeps saying so. The tree that the index makes up
// (index.Tx.Disk) then is not the head's. What waits is the difference, and so
// nothing about it has to be kept: an apply takes up the difference, and a
// local edit is merged with the head against the disk's tree (rebase).

// applyIfBehind tries again what waits. A commit may have settled it as well.
func (r *resource) applyIfBehind(ctx context.Context) error {
	if !r.behind {
		r.setWaiting(nil)
		return nil
	}
	return r.apply(ctx)
}

// setWaiting publishes what waits, for status, and tells the peers how much that
// is: what waits is not mirrored yet.
func (r *resource) setWaiting(reasons map[string]string) {
	r.mu.Lock()
	same := len(r.waiting) == len(reasons)
	r.waiting = reasons
	r.mu.Unlock()
	if same {
		return
	}
	d := r.describe()
	for _, l := range r.nodes {
		l.announce(r, d.Head, d.Cover)
	}
}

func (r *resource) waitingCount() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.waiting)
}

// whyWaits says in words why a change of what is at path cannot be applied.
func (a *applier) whyWaits(path string, err error) string {
	info, serr := a.r.tree.Stat(path)
	_, mirrored := kindOf(info)
	var at *tree.Error
	switch {
	case errors.Is(err, tree.ErrBusy):
		return "a program has it open"
	case errors.Is(err, errParentWaits):
		return "its directory has to be there first, or its other names"
	case errors.Is(err, tree.ErrNotEmpty):
		return "the directory holds files that are not committed yet"
	case isAbsent(serr) && a.r.isMissing(path), errors.As(err, &at) && a.r.isMissing(at.Path):
		return "it is missing here, which is held back"
	case serr == nil && !mirrored:
		return "what is there is not mirrored (a FIFO, a socket or a device); move it away"
	case serr == nil && a.r.skip(path, isDir(info)):
		return "what is there is ignored; move it away"
	case errors.Is(err, tree.ErrChanged), isAbsent(err):
		return "it changes here"
	}
	return err.Error()
}
