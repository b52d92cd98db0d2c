package journal

import (
	"slices"
	"strings"
	"time"
)

// Mark says that a name, or a file with several names, may differ from what is
// committed.
type Mark struct {
	Path  string  // of a name
	Inode FileKey // of a file, at whatever names it is; Path is no path then
	Gen   uint64  // changes whenever the mark does
	Kinds KindSet // of all mutations since the mark was set
	Busy  bool    // an operation is in flight on the path, or a rename above it
	Actor Actor   // of the last mutation that names one
	First time.Time
	Last  time.Time // of the first and the last mutation

	// Arrived are files that were renamed to the name since the mark was set, the
	// first few of them. It helps to tell what became of a file that is gone by
	// the time of a look, and does not outlive a restart in all cases.
	Arrived []FileKey
}

// maxArrived is how many files Mark.Arrived has at most.
const maxArrived = 4

// Snapshot returns the marks of a resource, sorted by path.
func (j *Journal) Snapshot(resource string) []Mark {
	j.mu.Lock()
	var marks []Mark
	var nodes []*node
	if d := j.sets[resource]; d != nil {
		marks, nodes = make([]Mark, 0, d.count), make([]*node, 0, d.count)
		j.collect(&d.root, 0, false, func(n *node, m Mark) {
			marks, nodes = append(marks, m), append(nodes, n)
		})
	}
	j.mu.Unlock()
	for i, n := range nodes {
		marks[i].Path = n.path() // a node's place is immutable
		marks[i].Inode = inodeOf(marks[i].Path)
	}
	slices.SortFunc(marks, func(a, b Mark) int { return strings.Compare(a.Path, b.Path) })
	return marks
}

// collect calls fn for each mark at and below n. moved is the generation that
// renames above give, moving whether one is in flight.
func (j *Journal) collect(n *node, moved uint64, moving bool, fn func(*node, Mark)) {
	moved = max(moved, n.moved)
	if n.marked {
		m := Mark{
			Gen:   max(n.gen, moved),
			Kinds: n.kinds,
			Busy:  moving || n.holds != nil,
			First: j.timeOf(n.first),
			Last:  j.timeOf(n.last),

			Arrived: slices.Clone(n.arrived),
		}
		if n.actor != nil {
			m.Actor = *n.actor
		}
		fn(n, m)
	}
	moving = moving || n.moving()
	for _, k := range n.kids {
		j.collect(k, moved, moving, fn)
	}
}

// Clear drops each of the marks, as Snapshot returned them, unless it has
// changed since or is busy. The caller says by it that what the names held at
// some time since the Snapshot is durably committed, and that no file among
// them is still open for writing. It may make a checkpoint. What cannot be
// written about a Clear only means that its marks come back after a restart.
func (j *Journal) Clear(resource string, marks []Mark) {
	j.mu.Lock()
	full := false
	if d := j.sets[resource]; d != nil && d.clearUnchanged(marks) {
		j.recordClear(resource, d)
		full = j.bytes > j.limit && !j.damaged && !j.closed
	}
	j.mu.Unlock()
	if full {
		j.shrink()
	}
}

// clearUnchanged drops the marks that still are what they were and reports
// whether any was dropped.
func (d *dirtySet) clearUnchanged(marks []Mark) bool {
	before := d.count
	for i := range marks {
		n := d.root.walk(marks[i].Path, false)
		if n != nil && n.marked && n.generation() == marks[i].Gen && !n.busy() {
			d.clear(n)
		}
	}
	return d.count < before
}

// restateAtClear is how many live marks Clear writes again, so that all
// records before them can be declared done.
const restateAtClear = 16

// recordClear journals up to where the records of a resource are done: below
// the oldest record that a live mark needs. Few live marks, such as a log file
// that is never closed, are written anew to move that on. The mutex is held.
func (j *Journal) recordClear(resource string, d *dirtySet) {
	j.recs = j.recs[:0]
	var again []*node
	done := j.next
	if d.count > restateAtClear {
		done = d.oldest().rec
	} else {
		for n := d.ends.next; n != &d.ends; n = n.next {
			again = append(again, n)
			j.recs = append(j.recs, j.restatement(resource, n))
		}
	}
	if done <= d.cleared {
		return
	}
	j.recs = append(j.recs, Record{Kind: kindClear, Resource: resource, Time: time.Now(), aux: done})
	if j.write(j.recs) != nil {
		return
	}
	d.cleared = done
	for i, n := range again {
		d.restate(n, j.recs[i].Seq)
	}
}

// restatement is the record that brings n's mark back by itself.
func (j *Journal) restatement(resource string, n *node) Record {
	r := Record{
		Kind:     KindCheckpoint,
		Resource: resource,
		Time:     j.timeOf(n.last),
		Path:     n.path(),
		aux:      uint64(n.kinds),
	}
	if n.actor != nil {
		r.Actor = *n.actor
	}
	return r
}

// MarkedBelow tells whether a name of a resource or anything below it has a mark.
func (j *Journal) MarkedBelow(resource, path string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	d := j.sets[resource]
	return d != nil && d.count > 0 && d.root.walk(path, false) != nil
}

// MarkedAbove tells whether a name of a resource or a directory above it has a
// mark.
func (j *Journal) MarkedAbove(resource, path string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	d := j.sets[resource]
	if d == nil {
		return false
	}
	for n := &d.root; n != nil; {
		if n.marked {
			return true
		}
		if path == "" {
			return false
		}
		var name string
		name, path = firstName(path)
		n = n.kid(name, false)
	}
	return false
}

// Pending returns how many marks a resource has.
func (j *Journal) Pending(resource string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	if d := j.sets[resource]; d != nil {
		return d.count
	}
	return 0
}

// Wait returns the channel, of capacity 1 and the same for all callers, that
// every End and Found of the resource puts a value into; so does Open where
// marks are left from before. It is never closed.
func (j *Journal) Wait(resource string) <-chan struct{} {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.set(resource).wake
}
