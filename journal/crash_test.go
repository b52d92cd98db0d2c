package journal

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// paths that histories are about: few, nested, so that they meet.
var somePaths = []string{"", "a", "b", "a/x", "a/y", "b/x", "a/x/1", "a/x/2", "b/x/1", "c", "c/d", "c/d/e", "c/d/e/f"}

// someRenames keep the depth of what they move: renames that nest their own
// marks ever deeper would make histories long, not better.
var someRenames = [][2]string{{"a", "b"}, {"c", "b"}, {"a/x", "b/x"}, {"a/x", "a/y"}, {"c/d", "a/x"},
	{"a/x/1", "b/x/1"}, {"a/x/1", "c/d/e"}, {"a", "a"}, {"a", "a/x"}, {"c/d/e", "c"}, {"", "a"}}

func pick[T any](rnd *rand.Rand, from []T) T { return from[rnd.IntN(len(from))] }

// history drives a journal by random calls and knows which marks must survive
// what.
type history struct {
	rnd     *rand.Rand
	files   *simFiles
	j       *Journal
	flight  []*Op
	shot    map[string][]Mark  // last snapshots
	acked   map[[2]string]bool // marks that a kill must leave
	synced  map[[2]string]bool // marks that a power loss must leave
	damaged bool               // a power loss has torn a hole
	trace   []string
}

var resources = []string{"r", "s"}

// checkOrder reports a dirty set whose list is not what its trie holds, in
// order.
func (h *history) checkOrder() error {
	for name, d := range h.j.sets {
		count, last := 0, uint64(0)
		for n := d.ends.next; n != &d.ends; n = n.next {
			if n.rec < last || !n.marked {
				return fmt.Errorf("resource %s: %q has record %d after %d", name, n.path(), n.rec, last)
			}
			count, last = count+1, n.rec
		}
		if count != d.count || count != len(h.j.Snapshot(name)) {
			return fmt.Errorf("resource %s: %d of %d marks are in order", name, count, d.count)
		}
	}
	return nil
}

// meanwhile begins an operation while a sync is under way. It leaves out the
// checkpoint that Begin may make, which would wait for that sync.
func (h *history) meanwhile() {
	h.synced = intersect(h.synced, h.marks()) // what a Clear under way has dropped
	if len(h.flight) < 5 {
		r := Record{Resource: pick(h.rnd, resources), Kind: KindWrite, Path: pick(h.rnd, somePaths)}
		op := &Op{j: h.j}
		h.j.mu.Lock()
		err := h.j.begin(op, &r)
		h.j.mu.Unlock()
		h.log("meanwhile: %v", err)
		if err == nil {
			h.flight = append(h.flight, op)
		}
	}
}

// marks returns what is marked now.
func (h *history) marks() map[[2]string]bool {
	all := map[[2]string]bool{}
	for _, res := range resources {
		for _, m := range h.j.Snapshot(res) {
			all[[2]string{res, m.Path}] = true
		}
	}
	return all
}

func intersect(a, b map[[2]string]bool) map[[2]string]bool {
	both := map[[2]string]bool{}
	for k := range a {
		if b[k] {
			both[k] = true
		}
	}
	return both
}

func (h *history) log(format string, args ...any) {
	h.trace = append(h.trace, fmt.Sprintf(format, args...))
}

// step makes one random call.
func (h *history) step() {
	res := pick(h.rnd, resources)
	durable, before := false, h.marks()
	var err error
	switch n := h.rnd.IntN(100); {
	case n < 45 && len(h.flight) < 5:
		r := Record{Resource: res, Kind: Kind(1 + h.rnd.IntN(int(KindWrite))), Path: pick(h.rnd, somePaths)}
		if r.Kind == KindLink {
			r.To = pick(h.rnd, somePaths)
		} else if r.Kind == KindRename {
			pair := pick(h.rnd, someRenames)
			way := h.rnd.IntN(2)
			r.Path, r.To = pair[way], pair[1-way]
		}
		var op *Op
		op, err = h.j.Begin(r)
		h.log("begin %s %s %q %q: %v", res, r.Kind, r.Path, r.To, err)
		if err == nil {
			h.flight = append(h.flight, op)
		}
	case n < 65:
		if len(h.flight) > 0 {
			i := h.rnd.IntN(len(h.flight))
			if h.rnd.IntN(2) == 0 {
				h.flight[i].EndMoved()
			} else {
				h.flight[i].End(nil)
			}
			h.flight = slices.Delete(h.flight, i, i+1)
			h.log("end %d", i)
		}
	case n < 70:
		h.shot[res] = h.j.Snapshot(res)
	case n < 85:
		marks := h.shot[res]
		if h.rnd.IntN(2) == 0 {
			marks = h.j.Snapshot(res)
		}
		h.rnd.Shuffle(len(marks), func(i, k int) { marks[i], marks[k] = marks[k], marks[i] })
		h.j.Clear(res, marks[:h.rnd.IntN(len(marks)+1)])
		h.log("clear %s: %d left", res, h.j.Pending(res))
	case n < 90:
		if !h.files.failing { // what Found cannot write is marked in memory alone
			err = h.j.Found(res, pick(h.rnd, somePaths), pick(h.rnd, somePaths))
			h.log("found %s: %v", res, err)
		}
	case n < 94:
		err = h.j.Sync()
		durable = err == nil
		h.log("sync: %v", err)
	case n < 96:
		err = h.j.Checkpoint()
		durable = err == nil
		h.log("checkpoint: %v", err)
	case n < 98:
		h.files.failing = !h.files.failing && h.rnd.IntN(2) == 0
	default:
		h.files.badSync = !h.files.badSync && h.rnd.IntN(3) == 0
	}
	now := h.marks()
	if h.files.dead { // what the call would have added is not promised
		h.acked, h.synced = intersect(h.acked, now), intersect(h.synced, now)
		return
	}
	h.acked, h.synced = now, intersect(h.synced, now)
	if durable {
		h.synced = intersect(before, now)
	}
}

// restart ends the process and checks what the next one knows.
func (h *history) restart(power bool) error {
	must := h.acked
	if power {
		must = h.synced
	}
	h.log("restart, power loss: %v", power)
	h.files = h.files.restart(power)
	before := h.damaged
	if err := h.open(); err != nil {
		return err
	}
	now := h.marks()
	for m := range must {
		if !now[m] {
			return fmt.Errorf("mark %q is lost (power loss: %v)", m, power)
		}
	}
	if rec := h.j.Recovery(); rec.Damaged && !power && !before {
		return fmt.Errorf("a kill left damage: %s", rec.Problem)
	} else if before && !rec.Damaged {
		return errors.New("damage is forgotten before it was repaired")
	} else if rec.Damaged {
		h.damaged = true
		if h.rnd.IntN(2) == 0 {
			h.damaged = false
			if err := h.j.Repaired(); err != nil {
				return err
			}
		}
	}
	h.acked, h.synced = h.marks(), map[[2]string]bool{}
	return nil
}

func (h *history) open() (err error) {
	h.j, err = open(h.files, Options{SegmentSize: 2000})
	h.flight, h.shot = nil, map[string][]Mark{}
	return err
}

// crashHistory runs several lives of one journal, each cut at a random write,
// sync, creation or removal.
func crashHistory(seed uint64) error {
	rnd := rand.New(rand.NewPCG(seed, 1))
	h := &history{rnd: rnd, files: newSimFiles(rnd), acked: map[[2]string]bool{}, synced: map[[2]string]bool{}}
	if err := h.open(); err != nil {
		return err
	}
	for range 6 {
		h.files.left, h.files.meanwhile = rnd.IntN(150), h.meanwhile
		for steps := 0; !h.files.dead && steps < 500; steps++ {
			h.step()
			if err := h.checkOrder(); err != nil {
				return fmt.Errorf("seed %d: %w", seed, err)
			}
		}
		if err := h.restart(rnd.IntN(2) == 0); err != nil {
			return fmt.Errorf("seed %d: %w\n%q", seed, err, h.trace[max(0, len(h.trace)-40):])
		}
	}
	return nil
}

// TestCrash cuts random histories at every kind of file operation, by a kill
// or by a power loss, with full disks and failed syncs in between.
func TestCrash(t *testing.T) {
	for _, seed := range seeds(t) {
		if err := crashHistory(seed); err != nil {
			t.Fatal(err)
		}
	}
}
