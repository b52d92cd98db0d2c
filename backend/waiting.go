package backend

import (
	"context"
	"slices"
)

// A remote change that could not be applied waits: the name on disk keeps what
// it had, and the index keeps saying so. The tree that the index makes up
// (index.Tx.Disk) then is not the head's. What waits is the difference, and so
// nothing about it has to be kept: an apply takes up the difference, and a
// local edit is merged with the head against the disk's tree (rebase).

// applyIfBehind tries again what waits.
func (r *resource) applyIfBehind(ctx context.Context) error {
	if !r.behind {
		return nil
	}
	return r.apply(ctx)
}

// setWaiting publishes what waits, for status.
func (r *resource) setWaiting(paths []string) {
	slices.Sort(paths)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting = slices.Compact(paths)
}
