package backend

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/silvermirror/smfs/backend/chunk"
	"github.com/silvermirror/smfs/backend/object"
)

// errStop ends a walk early.
var errStop = errors.New("stop")

// visit is one commit on the way back through history, with the place where
// the file that is followed is in it.
type visit struct {
	id   object.CommitID
	c    *object.Commit
	path string
}

// visits is a queue of commits, newest first: children before parents.
type visits []visit

func (q visits) Len() int { return len(q) }
func (q visits) Less(i, j int) bool {
	if q[i].c.Gen != q[j].c.Gen {
		return q[i].c.Gen > q[j].c.Gen
	}
	if q[i].c.Time != q[j].c.Time {
		return q[i].c.Time > q[j].c.Time
	}
	return q[i].id.String() < q[j].id.String()
}
func (q visits) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *visits) Push(x any)   { *q = append(*q, x.(visit)) }
func (q *visits) Pop() any {
	old := *q
	v := old[len(old)-1]
	*q = old[:len(old)-1]
	return v
}

// backwards visits the commits that lead to the head, children before parents.
// follow returns the path to look for in a parent.
func (r *resource) backwards(ctx context.Context, path string, follow func(v visit, parent *object.Commit) (string, error), fn func(visit) error) error {
	id, c := r.headNow()
	if c == nil {
		return nil
	}
	queue := visits{{id, c, path}}
	queued := map[object.CommitID]bool{id: true}
	for queue.Len() > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		v := heap.Pop(&queue).(visit)
		if err := fn(v); err != nil {
			return err
		}
		for _, p := range v.c.Parents {
			if queued[p] {
				continue
			}
			queued[p] = true
			pc, err := r.store.Commit(p)
			if err != nil {
				return fmt.Errorf("read history of %s: %w", r.name, err)
			}
			at, err := follow(v, pc)
			if err != nil {
				return err
			}
			heap.Push(&queue, visit{p, pc, at})
		}
	}
	return nil
}

// versions calls fn for each commit that changed what is at path, newest
// first, following the file over its renames. path "" is the whole resource.
func (r *resource) versions(ctx context.Context, path string, fn func(Version, *object.Entry) error) error {
	return r.backwards(ctx, path, r.followRename, func(v visit) error {
		if v.c.Merge > 0 {
			return nil // what it unites is told by the commits it unites
		}
		now, err := findEntry(r.store, v.c.Tree, v.path)
		if err != nil {
			return err
		}
		if path != "" {
			changed, err := r.changedIn(v, now)
			if err != nil || !changed {
				return err
			}
		}
		ver := Version{
			Resource: r.name, Commit: v.id.String(), Time: time.Unix(v.c.Time, 0), Node: v.c.Author,
			Program: programOf(v.c.Message), Subject: firstLine(v.c.Message), Body: bodyOf(v.c.Message),
		}
		if path != "" {
			ver.Path, ver.Deleted = v.path, now == nil
			if now != nil {
				ver.Kind = kindName(now.Kind)
			}
			if now != nil && now.Kind == object.File {
				if ver.Size, err = r.store.FileSize(chunk.Of(now)); err != nil {
					return err
				}
			}
		}
		return fn(ver, now)
	})
}

// changedIn tells whether a commit changed what it has at v.path.
func (r *resource) changedIn(v visit, now *object.Entry) (bool, error) {
	if len(v.c.Parents) == 0 {
		return now != nil, nil
	}
	parent, err := r.store.Commit(v.c.Parents[0])
	if err != nil {
		return false, err
	}
	was, err := findEntry(r.store, parent.Tree, v.path)
	if err != nil {
		return false, err
	}
	if now == nil || was == nil {
		return now != was, nil
	}
	return !sameEntry(*now, *was) || now.Tree != was.Tree, nil
}

// followRename finds where the file at v.path was in the parent.
func (r *resource) followRename(v visit, parent *object.Commit) (string, error) {
	return r.placeIn(parent.Tree, v.c.Tree, v.path)
}

// placeIn finds where another tree has what a tree has at a path. It is the same
// path where neither tells of another one.
func (r *resource) placeIn(other, tree object.TreeID, path string) (string, error) {
	if path == "" {
		return "", nil
	}
	here, err := findEntry(r.store, tree, path)
	if err != nil || here == nil {
		return path, err
	}
	there, err := findEntry(r.store, other, path)
	if err != nil || there != nil && there.ID == here.ID {
		return path, err
	}
	d, err := diffTrees(r.store, other, tree)
	if err != nil {
		return "", err
	}
	left := make(map[object.FileID]string, len(d.Removed))
	for _, p := range d.Removed {
		left[p.Entry.ID] = p.Path
	}
	dir := path
	for { // the file itself, or a directory above it, may have moved
		e, err := findEntry(r.store, tree, dir)
		if err != nil {
			return "", err
		}
		if e != nil {
			if from, ok := left[e.ID]; ok {
				return from + strings.TrimPrefix(path, dir), nil
			}
		}
		if dir, _ = splitPath(dir); dir == "" {
			return path, nil
		}
	}
}

// Latest stands for the newest commit where a time or commit can be given.
const Latest = "latest"

// isCommit tells whether s may be a commit id or the start of one.
func isCommit(s string) bool {
	return len(s) >= 4 && len(s) <= 40 && strings.Trim(s, "0123456789abcdef") == ""
}

// commitAt resolves what people write after --at and below @history: a commit id or
// the start of one, with ^ after it the commit before that, or a time, which stands
// for the newest commit that is not younger.
func (r *resource) commitAt(ctx context.Context, at string) (object.CommitID, *object.Commit, error) {
	if at == Latest {
		return r.commitBefore(ctx, time.Unix(math.MaxInt64, 0))
	}
	if when, err := ParseTime(at, r.now()); err == nil {
		return r.commitBefore(ctx, when)
	}
	start, before := strings.CutSuffix(at, "^")
	id, err := r.commitOf(ctx, start)
	if err != nil {
		return id, nil, err
	}
	c, err := r.past.Commit(id)
	if err != nil || !before {
		return id, c, err
	}
	if len(c.Parents) == 0 {
		return id, nil, fmt.Errorf("%w: %s has nothing before %.10s: that began its history", ErrNotFound, r.name, id)
	}
	id = c.Parents[0]
	c, err = r.past.Commit(id)
	return id, c, err
}

// commitOf finds the commit whose id begins so.
func (r *resource) commitOf(ctx context.Context, start string) (id object.CommitID, err error) {
	found := 0
	err = r.walkBack(ctx, func(p point) bool {
		if strings.HasPrefix(p.id.String(), start) {
			id = p.id
			found++
		}
		return found > 1 || found == 1 && len(start) == len(id)*2
	})
	switch {
	case err != nil:
		return id, err
	case found > 1:
		return id, fmt.Errorf("%w: commit id %q is ambiguous; give more of it", ErrInvalid, start)
	case found == 0:
		return id, WithHint(fmt.Errorf("%w: %s has no commit %q", ErrNotFound, r.name, start), "`smfs log` lists them; or write "+TimeForms)
	}
	return id, nil
}

func (r *resource) commitBefore(ctx context.Context, when time.Time) (object.CommitID, *object.Commit, error) {
	var found, oldest point
	err := r.walkBack(ctx, func(p point) bool {
		oldest = p
		if p.time <= when.Unix() {
			found = p
		}
		return !found.id.IsZero()
	})
	switch {
	case err != nil:
		return found.id, nil, err
	case !found.id.IsZero():
		c, err := r.past.Commit(found.id)
		return found.id, c, err
	case oldest.id.IsZero():
		return found.id, nil, fmt.Errorf("%w: %s has no history yet", ErrNotFound, r.name)
	}
	return found.id, nil, fmt.Errorf("%w: nothing in %s is as old as %s: its history begins at %s", ErrNotFound, r.name,
		when.Local().Format(time.DateTime), time.Unix(oldest.time, 0).Format(time.DateTime))
}
