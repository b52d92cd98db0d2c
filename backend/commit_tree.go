package backend

import (
	"context"
	"fmt"

	"github.com/silvermirror/smfs/backend/merge"
	"github.com/silvermirror/smfs/backend/object"
)

// write commits what the index makes up now. It returns nil if the head has all
// of it already.
func (c *committer) write(ctx context.Context) (*object.Commit, object.CommitID, error) {
	e, err := editsOf(c.tx, c.touched, c.oldTree)
	if err != nil || len(e.sub) == 0 {
		return nil, object.CommitID{}, err
	}
	disk, err := e.build(c.batch, c.disk)
	if err != nil {
		return nil, object.CommitID{}, fmt.Errorf("build tree: %w", err)
	}
	if disk == c.disk {
		return nil, object.CommitID{}, nil
	}
	if err := c.tx.SetDisk(disk); err != nil {
		return nil, object.CommitID{}, err
	}
	next, err := c.rebase(ctx, disk)
	if err != nil {
		return nil, object.CommitID{}, err
	}
	c.behind = next != disk
	id, head := c.r.headNow()
	if head != nil && head.Tree == next {
		return nil, id, c.batch.Commit()
	}
	message := c.r.message
	if message == "" || c.more { // the last commit of several has it
		message = c.what.subject()
	}
	made, id, err := c.r.newCommit(c.batch, next, message)
	if err == nil {
		err = c.batch.Commit()
	}
	if err == nil {
		err = c.tx.SetNext(id)
	}
	if err == nil && !c.behind {
		err = c.tx.SetApplied(id)
	}
	return made, id, err
}

// rebase carries the local edits, which lead from the tree that the disk had to
// disk, over to the head, which is another where remote changes wait. What
// comes of both is what a merge makes of them: a version that the disk never
// had is not replaced unseen, and nothing is lost.
func (c *committer) rebase(ctx context.Context, disk object.TreeID) (object.TreeID, error) {
	id, head := c.r.headNow()
	if head == nil || head.Tree == c.disk {
		return disk, nil
	}
	var seen object.Cover // by the disk, at least
	if applied := c.tx.Applied(); !applied.IsZero() {
		commit, err := c.batch.ReadCommit(applied)
		if err != nil {
			return disk, err
		}
		seen = commit.FullCover(applied)
	}
	r, err := merge.Merge(ctx, c.batch, c.disk,
		merge.Side{Tree: disk, Cover: seen},
		merge.Side{Commit: id, Tree: head.Tree, Cover: head.FullCover(id)})
	if err != nil {
		return disk, fmt.Errorf("carry local edits over to the head: %w", err)
	}
	c.r.warn(r.Conflicts)
	return r.Tree, nil
}

// oldTree returns the tree that the disk's had for a directory, zero for a new
// one.
func (c *committer) oldTree(id object.FileID) (object.TreeID, error) {
	path, ok := c.oldPath[id]
	if !ok || c.disk.IsZero() {
		return object.TreeID{}, nil
	}
	entry, err := findEntry(c.batch, c.disk, path)
	if err != nil || entry == nil || entry.Kind != object.Dir {
		return object.TreeID{}, err
	}
	return entry.Tree, nil
}
