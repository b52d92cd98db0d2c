package backend

import (
	"bytes"
	"cmp"
	"container/heap"
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/silvermirror/smfs/backend/object"
)

// timeline is the history that leads to a head, in the order in which backwards
// visits it, as far back as somebody has asked: a commit is read once, however often
// its time is looked for. It reads the store and nothing that belongs to the worker.
type timeline struct {
	mu     sync.Mutex // guards the rest
	head   object.CommitID
	points []point // newest last
	rest   visits  // the commits before those: each leads to more
}

// point is a commit in a timeline.
type point struct {
	id   object.CommitID
	gen  uint64
	time int64 // s since 1970
}

func pointOf(v visit) point { return point{v.id, v.c.Gen, v.c.Time} }

// compare orders points as backwards does, but the other way round: newest last.
func (p point) compare(q point) int {
	return cmp.Or(cmp.Compare(p.gen, q.gen), cmp.Compare(p.time, q.time), bytes.Compare(q.id[:], p.id[:]))
}

// extendBy is how many commits are read at least where more are needed.
const extendBy = 16

// walkBack calls fn for the commits that lead to the head, children before
// parents, until it says that it has seen enough.
func (r *resource) walkBack(ctx context.Context, fn func(point) (enough bool)) error {
	t := &r.timeline
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.moveTo(ctx, r); err != nil {
		return err
	}
	for seen := 0; ; {
		for ; seen < len(t.points); seen++ {
			if fn(t.points[len(t.points)-1-seen]) {
				return nil
			}
		}
		if len(t.rest) == 0 {
			return nil
		}
		if err := t.extend(ctx, r); err != nil {
			return err
		}
	}
}

// moveTo brings the timeline to the head. Only what is new is read, unless the head
// has given way to another line.
func (t *timeline) moveTo(ctx context.Context, r *resource) error {
	head, c := r.headNow()
	if head == t.head {
		return nil
	}
	queue, rest := visits{{id: head, c: c}}, slices.Clone(t.rest)
	var fresh []point
	reached := t.head.IsZero()
	for queue.Len() > 0 {
		v := heap.Pop(&queue).(visit)
		switch p := pointOf(v); {
		case v.id == t.head:
			reached = true
		case t.has(p):
		case len(rest) > 0 && p.compare(t.points[0]) < 0:
			rest.add(v) // it comes after what is known
		default:
			fresh = append(fresh, p)
			if err := r.addParents(ctx, &queue, v); err != nil {
				return err
			}
		}
		if t.head.IsZero() { // nothing is known: as far as is asked for
			break
		}
	}
	if !reached {
		t.head, t.points, t.rest = object.CommitID{}, nil, nil
		return t.moveTo(ctx, r)
	}
	if t.head.IsZero() {
		rest = queue
	}
	slices.Reverse(fresh)
	t.points = append(t.points, fresh...)
	if !slices.IsSortedFunc(t.points[max(0, len(t.points)-len(fresh)-1):], point.compare) { // a merge has brought old ones
		slices.SortFunc(t.points, point.compare)
	}
	t.head, t.rest = head, rest
	return nil
}

// has tells whether a commit is among the points.
func (t *timeline) has(p point) bool {
	_, ok := slices.BinarySearchFunc(t.points, p, point.compare)
	return ok
}

// extend reads on into the past: as much again as is known, so that keeping it in
// order costs little.
func (t *timeline) extend(ctx context.Context, r *resource) (err error) {
	var older []point
	for n := max(extendBy, len(t.points)); n > 0 && t.rest.Len() > 0; n-- {
		v := heap.Pop(&t.rest).(visit)
		if err = r.addParents(ctx, &t.rest, v); err != nil {
			heap.Push(&t.rest, v)
			break
		}
		older = append(older, pointOf(v))
	}
	slices.Reverse(older)
	t.points = append(older, t.points...)
	return err
}

// addParents puts the parents of a commit into a queue.
func (r *resource) addParents(ctx context.Context, queue *visits, v visit) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, p := range v.c.Parents {
		c, err := r.past.Commit(p)
		if err != nil {
			return fmt.Errorf("read history of %s: %w", r.name, err)
		}
		queue.add(visit{id: p, c: c})
	}
	return nil
}

// add queues a commit once: all its children are visited before it.
func (q *visits) add(v visit) {
	if !slices.ContainsFunc(*q, func(w visit) bool { return w.id == v.id }) {
		heap.Push(q, v)
	}
}
