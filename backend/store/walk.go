package store

import (
	"container/heap"
	"errors"

	"github.com/silvermirror/smfs/backend/object"
)

// NewCommits returns the ancestors of want, want included, that are not
// ancestors of any of haves; parents come before their children. Haves that
// are not here are ignored. Generations prune the walk: it costs what differs,
// not what history there is.
func (v *view) NewCommits(want object.CommitID, haves []object.CommitID) ([]object.CommitID, error) {
	if want.IsZero() {
		return nil, nil
	}
	p := painter{view: v, colours: map[object.CommitID]colour{}}
	if err := p.add(want, wanted); err != nil {
		return nil, err
	}
	for _, id := range haves {
		if err := p.add(id, had); err != nil && !errors.Is(err, ErrMissing) {
			return nil, err
		}
	}
	if err := p.paint(); err != nil {
		return nil, err
	}
	return v.parentsFirst([]object.CommitID{want}, func(id object.CommitID) bool { return p.colours[id] == wanted })
}

type colour uint8

const (
	wanted colour = 1 << iota
	had
)

// painter colours commits from the newest generation down.
type painter struct {
	view    *view
	colours map[object.CommitID]colour
	queue   commitQueue
	open    int  // commits in the queue that are wanted and not had
	foreign bool // a commit without generation was met: order tells nothing
}

func (p *painter) add(id object.CommitID, c colour) error {
	old := p.colours[id]
	if old|c == old {
		return nil
	}
	commit, err := p.view.Commit(id)
	if err != nil {
		return err
	}
	p.foreign = p.foreign || commit.Foreign()
	p.colours[id] = old | c
	heap.Push(&p.queue, queued{id, commit, old | c})
	if old|c == wanted {
		p.open++
	}
	return nil
}

func (p *painter) paint() error {
	for p.queue.Len() > 0 && (p.open > 0 || p.foreign) {
		q := heap.Pop(&p.queue).(queued)
		if q.colour == wanted {
			p.open--
		}
		if q.colour != p.colours[q.id] {
			continue // queued again since, with more colours
		}
		for _, parent := range q.commit.Parents {
			if err := p.add(parent, q.colour); err != nil {
				return err
			}
		}
	}
	return nil
}

type queued struct {
	id     object.CommitID
	commit *object.Commit
	colour colour
}

// commitQueue is a heap, the largest generation first.
type commitQueue []queued

func (q commitQueue) Len() int           { return len(q) }
func (q commitQueue) Less(i, j int) bool { return q[i].commit.Gen > q[j].commit.Gen }
func (q commitQueue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *commitQueue) Push(x any)        { *q = append(*q, x.(queued)) }
func (q *commitQueue) Pop() any {
	last := len(*q) - 1
	x := (*q)[last]
	*q = (*q)[:last]
	return x
}

// parentsFirst returns the commits reachable from heads through commits that
// are in the set, each after its parents.
func (v *view) parentsFirst(heads []object.CommitID, in func(object.CommitID) bool) ([]object.CommitID, error) {
	var order []object.CommitID
	state := map[object.CommitID]bool{} // present: seen; true: in order
	stack := append([]object.CommitID(nil), heads...)
	for len(stack) > 0 {
		id := stack[len(stack)-1]
		finished, seen := state[id]
		if seen || !in(id) {
			stack = stack[:len(stack)-1]
			if seen && !finished {
				state[id] = true
				order = append(order, id)
			}
			continue
		}
		state[id] = false
		c, err := v.Commit(id)
		if err != nil {
			return nil, err
		}
		for _, p := range c.Parents {
			if _, seen := state[p]; !seen {
				stack = append(stack, p)
			}
		}
	}
	return order, nil
}
