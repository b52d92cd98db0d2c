package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/silvermirror/smfs/fstest"
	"golang.org/x/sys/unix"
)

// load is what all writers of a round share.
type load struct {
	dir    string      // the mount
	killed atomic.Bool // set just before the daemon is killed
	stop   atomic.Bool // ends the writers with the daemon alive
	ops    atomic.Int64
}

var errStopped = errors.New("stopped")

// writer changes a directory of its own and records what was acknowledged: at
// most one operation, the one that the kill interrupted, is in doubt. Besides
// it makes a mess, with the others, in a directory of which nobody keeps record.
type writer struct {
	*load
	name   string // its directory in the mount
	random *rand.Rand
	root   *inode
	doubt  *doubt // what the kill interrupted; nil: nothing
	err    error  // what failed although nothing was killed
	n      int    // makes contents differ
	states states
	begun  time.Time // of the change that is under way
	log    []string
}

// logged is how many operations a writer remembers, for people.
const logged = 400

func (w *writer) note(what string) {
	if len(w.log) == logged {
		w.log = append(w.log[:0], w.log[1:]...)
	}
	w.log = append(w.log, time.Now().UTC().Format("05.000 ")+what)
}

// history is what a writer did last to the names in a text.
func (w *writer) history(text string) string {
	var out []string
	for _, l := range w.log {
		for _, f := range strings.Fields(l)[1:] {
			name := strings.TrimPrefix(strings.Trim(f, `"`), w.path("")+"/")
			if strings.Contains(text, fmt.Sprintf("%q", w.name+"/"+name)) {
				out = append(out, l)
				break
			}
		}
	}
	return strings.Join(out[max(0, len(out)-25):], "\n")
}

// doubt is an operation that may or may not have acted. A write may have acted
// in part.
type doubt struct {
	what  string
	apply func()
	node  *inode // of a write: what is written at off
	off   int
	data  []byte
	pages bool // the write is by a mapping: any part of it may have acted
}

// run makes changes until the daemon is gone or the load is stopped.
func (w *writer) run() {
	for !w.stop.Load() {
		if err := w.change(); err != nil {
			return
		}
	}
}

// change makes one random change, of one or several steps.
func (w *writer) change() error {
	if w.random.IntN(4) == 0 {
		return w.mess()
	}
	w.begun = time.Now()
	err := pick(w, w.kinds())(w)
	if err == nil {
		w.states.complete(w.root)
	}
	return err
}

// step runs one operation and records it when it is acknowledged.
func (w *writer) step(what string, run func() error, apply func()) error {
	return w.try(&doubt{what: what, apply: apply}, run)
}

func (w *writer) try(d *doubt, run func() error) error {
	if w.doubt != nil || w.err != nil {
		return errStopped
	}
	err := run()
	w.note(d.what)
	if slow := time.Since(w.begun) > steadyEnough; err == nil && slow {
		w.states.complete(w.root)
		defer w.states.complete(w.root)
	}
	if err == nil {
		w.ops.Add(1)
		d.apply()
		return nil
	}
	if w.killed.Load() {
		w.doubt = d
	} else {
		w.err = fmt.Errorf("%s: %s: %w", w.name, d.what, err)
	}
	return err
}

// write writes b at off of an open file. It is one write(2).
func (w *writer) write(f *os.File, n *inode, off int, b []byte) error {
	d := &doubt{
		what: fmt.Sprintf("write %d bytes at %d of %s", len(b), off, f.Name()),
		node: n, off: off, data: b,
		apply: func() { n.data = written(n.data, off, b) },
	}
	return w.try(d, func() error {
		done, err := unix.Pwrite(int(f.Fd()), b, int64(off))
		if err == nil && done < len(b) {
			err = fmt.Errorf("short write: %d", done)
		}
		return err
	})
}

// finish closes a file. What close says matters, but changes no record.
func (w *writer) finish(f *os.File, err error) error {
	e := w.step("close "+f.Name(), f.Close, func() {})
	if err == nil {
		return e
	}
	f.Close() // step did not run it
	return err
}

func (w *writer) path(p string) string { return filepath.Join(w.dir, w.name, p) }

// check compares the writer's directory with its record, and takes what it
// finds, where that was in doubt, into the record.
func (w *writer) check() error {
	err := w.compare()
	w.states.complete(w.root)
	return err
}

func (w *writer) compare() error {
	got, err := fstest.Shown(w.path(""), false, nil)
	if err != nil {
		return err
	}
	before := fstest.Differences(recorded(w.root), got)
	if before == "" {
		w.doubt = nil // the interrupted operation has not acted
		return nil
	}
	d := w.doubt
	if d == nil {
		return fmt.Errorf("%s: recorded (-) and on disk (+):\n%s", w.name, before)
	}
	w.doubt = nil
	if d.node != nil {
		d.cut(w)
	}
	d.apply()
	if after := fstest.Differences(recorded(w.root), got); after != "" {
		return fmt.Errorf("%s: interrupted in %q; recorded (-) and on disk (+) without it:\n%s\nwith it:\n%s", w.name, d.what, before, after)
	}
	return nil
}

// cut shortens an interrupted write to the part of it that is on disk.
func (d *doubt) cut(w *writer) {
	at := places(w.root, "", func(p place) bool { return p.node == d.node })
	if len(at) == 0 {
		return
	}
	got, err := os.ReadFile(w.path(at[0].path))
	if err != nil {
		return // the comparison tells
	}
	n := 0
	for n < len(d.data) && d.off+n < len(got) && got[d.off+n] == d.data[n] {
		n++
	}
	node, off, part := d.node, d.off, d.data[:n]
	if d.pages {
		part = bytes.Clone(node.data[off : off+len(d.data)])
		for i := range part {
			if off+i < len(got) && got[off+i] == d.data[i] {
				part[i] = d.data[i]
			}
		}
	}
	d.apply = func() {
		if len(part) > 0 {
			node.data = written(node.data, off, part)
		}
	}
}
