package journal

import "time"

// Op is a mutation in flight: announced by Begin, not yet over. What it may
// change stays marked and cannot be cleared until End.
type Op struct {
	j     *Journal
	set   *dirtySet
	move  bool // what lies below its names moves
	ended bool
	seq   uint64 // of its record
	used  int    // of few
	few   [2]hold
	more  []*hold
}

// Begin journals the mutation that r announces and marks its paths, in flight
// until End. The caller sets r's Kind, Resource, Key, Path, To and Actor; a
// longer command name is cut at 255 bytes. On any error (the disk is full,
// say) nothing is marked and the mutation must be refused; the journal goes
// on. Begin makes at most one write and no sync. It is safe for concurrent use.
func (j *Journal) Begin(r Record) (*Op, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	r.Actor.Command = r.Actor.Command[:min(len(r.Actor.Command), maxCommand)]
	r.Time, r.Seq, r.aux = time.Now(), 0, 0
	op := &Op{j: j, move: r.moves()}

	j.mu.Lock()
	err := j.begin(op, &r)
	if err != nil {
		op.set.failure = err
	}
	grown := j.bytes > j.hardLimit
	j.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if grown {
		j.shrink()
	}
	return op, nil
}

// begin appends r and puts it into effect. The mutex is held.
func (j *Journal) begin(op *Op, r *Record) error {
	op.set = j.set(r.Resource)
	j.recs = op.set.expand(j.recs[:0], r)
	if r.Kind != KindClose || !op.set.recorded(j.recs) {
		if err := j.write(j.recs); err != nil {
			return err
		}
	}
	for i := range j.recs {
		path, to := j.apply(op.set, &j.recs[i])
		op.hold(path)
		if to != nil {
			op.hold(to)
		}
	}
	op.seq = j.recs[0].Seq
	if op.move {
		op.set.moving++
	}
	return nil
}

// recorded tells whether the names of recs have marks that records bring back
// already. The end of writing a file says nothing that its beginning has not
// said: after a restart, when it is known to be over.
func (d *dirtySet) recorded(recs []Record) bool {
	for i := range recs {
		if n := d.root.walk(recs[i].Path, false); n == nil || !n.marked || n.rec == 0 {
			return false
		}
	}
	return true
}

// End says that the mutation has acted, or has failed with err: a failed one
// may have changed something all the same, so its marks stay either way. They
// get a new generation, and who waits for the resource is woken. End may be
// called more than once; only the first call counts.
func (op *Op) End(err error) {
	op.j.mu.Lock()
	defer op.j.mu.Unlock()
	if !op.ended && (err == nil || onDisk(err)) {
		op.set.failure = err
	}
	op.end()
}

// EndMoved is End for a rename that has succeeded and was no exchange: nothing
// is left at Path, so the marks below it, which To has as well, go. It must be
// called before other operations can use the names, as a handler does before
// it replies. End in its place loses nothing, but where directories move back
// and forth faster than they are committed, marks multiply.
func (op *Op) EndMoved() {
	op.j.mu.Lock()
	defer op.j.mu.Unlock()
	if op.ended {
		return
	}
	op.set.failure = nil
	if op.move && op.set.moving == 1 {
		op.vacate()
	}
	op.end()
}

// vacate drops the marks below the rename's first name, unless something is in
// flight there.
func (op *Op) vacate() {
	from := op.few[0].node
	marks, free := from.older(op.seq, nil)
	if !free || len(marks) == 0 {
		return
	}
	r := Record{Kind: kindVacate, Time: time.Now(), Resource: op.set.resource, Path: from.path(), aux: op.seq}
	_ = op.j.write([]Record{r}) // without it the marks come back after a restart
	op.set.clearAll(marks)
}

// end is End under the mutex.
func (op *Op) end() {
	if !op.ended {
		op.settle()
		op.set.signal()
	}
}

// settle lets go of what the operation held.
func (op *Op) settle() {
	op.ended = true
	op.j.gen++
	for i := range op.used {
		op.release(&op.few[i])
	}
	for _, h := range op.more {
		op.release(h)
	}
	if op.move {
		op.set.moving--
	}
}

func (op *Op) release(h *hold) {
	h.drop()
	h.node.gen = op.j.gen
	if op.move {
		h.node.moved = op.j.gen
	}
}

// hold makes n one of the names that the operation may change.
func (op *Op) hold(n *node) {
	for h := n.holds; h != nil; h = h.next {
		if h.op == op {
			return
		}
	}
	var h *hold
	if op.used < len(op.few) {
		h = &op.few[op.used]
		op.used++
	} else {
		h = new(hold)
		op.more = append(op.more, h)
	}
	*h = hold{op: op, node: n, next: n.holds}
	n.holds = h
}

// all returns the operation's holds.
func (op *Op) all() []*hold {
	holds := make([]*hold, 0, op.used+len(op.more))
	for i := range op.used {
		holds = append(holds, &op.few[i])
	}
	return append(holds, op.more...)
}

// Carry gives the marks of a name, and of all below it, to another name as well,
// to which they have moved without being changed. It wakes nobody.
func (j *Journal) Carry(resource, from, to string) error {
	r := Record{Kind: KindRename, Resource: resource, Path: from, To: to}
	if err := r.check(); err != nil {
		return err
	}
	r.Time = time.Now()
	op := &Op{j: j, move: r.moves()}
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.begin(op, &r); err != nil {
		return err
	}
	op.settle()
	return nil
}

// foundBatch is how many paths Found writes at once.
const foundBatch = 512

// Found marks paths that a scan found changed, new or gone. They are marked
// even where an error says that not all of them are on disk: then they last as
// long as this process, or until a checkpoint. Safe for concurrent use.
func (j *Journal) Found(resource string, paths ...string) error {
	r := Record{Kind: KindFound, Resource: resource, Time: time.Now()}
	var first error
	for len(paths) > 0 {
		n := min(len(paths), foundBatch)
		if err := j.found(r, paths[:n]); err != nil && first == nil {
			first = err
		}
		paths = paths[n:]
	}
	return first
}

func (j *Journal) found(r Record, paths []string) error {
	for _, r.Path = range paths {
		if err := r.check(); err != nil {
			return err
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	set := j.set(r.Resource)
	j.recs = j.recs[:0]
	for _, r.Path = range paths {
		j.recs = set.expand(j.recs, &r)
	}
	err := j.write(j.recs)
	for i := range j.recs {
		j.apply(set, &j.recs[i])
	}
	set.signal()
	return err
}
