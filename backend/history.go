package backend

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
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
			Subject: firstLine(v.c.Message),
		}
		if path != "" {
			ver.Path, ver.Deleted = v.path, now == nil
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
	if v.path == "" {
		return "", nil
	}
	now, err := findEntry(r.store, v.c.Tree, v.path)
	if err != nil || now == nil {
		return v.path, err
	}
	was, err := findEntry(r.store, parent.Tree, v.path)
	if err != nil || was != nil && was.ID == now.ID {
		return v.path, err
	}
	d, err := diffTrees(r.store, parent.Tree, v.c.Tree)
	if err != nil {
		return "", err
	}
	dir := v.path
	for { // the file itself, or a directory above it, may have moved
		e, err := findEntry(r.store, v.c.Tree, dir)
		if err != nil {
			return "", err
		}
		for _, p := range d.Removed {
			if e != nil && p.Entry.ID == e.ID {
				return p.Path + strings.TrimPrefix(v.path, dir), nil
			}
		}
		if dir, _ = splitPath(dir); dir == "" {
			return v.path, nil
		}
	}
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// Latest stands for the newest commit where a time or commit can be given.
const Latest = "latest"

// IsCommit tells whether s may be a commit id or the start of one.
func IsCommit(s string) bool {
	return len(s) >= 4 && len(s) <= 40 && strings.Trim(s, "0123456789abcdef") == ""
}

// commitAt resolves what people write after --at and below @history: a commit id or
// the start of one, or a time, which stands for the newest commit that is not younger.
func (r *resource) commitAt(ctx context.Context, at string) (object.CommitID, *object.Commit, error) {
	if at == Latest {
		return r.commitBefore(ctx, time.Unix(math.MaxInt64, 0))
	}
	if when, err := ParseTime(at, r.now()); err == nil {
		return r.commitBefore(ctx, when)
	}
	id, err := r.commitOf(ctx, at)
	if err != nil {
		return id, nil, err
	}
	c, err := r.past.Commit(id)
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

// TimeForms says, after "write", what ParseTime takes.
const TimeForms = `a time: 2026-05-01, "2026-05-01 14:00", yesterday, or how long ago: 90m, 36h, 3d; a day means its end`

// ParseTime reads a time as people write it: RFC 3339, a date with or without
// a time of day in the zone of now, yesterday, or an age such as 2h or 3d. A day
// stands for its end: what there was on that day is what there was when it ended.
func ParseTime(s string, now time.Time) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	for _, layout := range []string{time.DateTime, "2006-01-02 15:04", "2006-01-02T15:04:05", "2006-01-02T15:04"} {
		if t, err := time.ParseInLocation(layout, s, now.Location()); err == nil {
			return t, nil
		}
	}
	if t, err := time.ParseInLocation(time.DateOnly, s, now.Location()); err == nil {
		return endOfDay(t), nil
	}
	if s == "yesterday" {
		return endOfDay(now.AddDate(0, 0, -1)), nil
	}
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n > 0 {
			return now.AddDate(0, 0, -n), nil
		}
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	return time.Time{}, WithHint(fmt.Errorf("%w: %q is not a time", ErrInvalid, s), "write "+TimeForms)
}

// endOfDay is the last moment of the day that t is in.
func endOfDay(t time.Time) time.Time {
	y, m, d := t.Date()
	return time.Date(y, m, d+1, 0, 0, 0, -1, t.Location())
}
