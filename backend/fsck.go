package backend

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/silvermirror/smfs/backend/node"
	"github.com/silvermirror/smfs/backend/store"
)

// Fsck checks the journal, and the store, index, files and tags of each resource.
// It works beside all else: the worker of a resource is held for moments alone.
// What Open had to mend is told by the first Fsck after it. With Repair it mends
// what can be mended while the engine runs; the index and what keeps a resource
// from being opened take an Open with Options.Repair.
func (e *Engine) Fsck(ctx context.Context, o FsckOptions, fn func(FsckNews) error) error {
	f := &fsck{e: e, ctx: ctx, repair: o.Repair, fn: fn, aside: e.asideDir()}
	f.looking("the files, as at each start: it is waited for")
	for _, r := range e.resources {
		if err := r.awaitReady(ctx); err != nil {
			return fmt.Errorf("the start is held up: %w", err)
		}
	}
	if err := e.sessions.awaitReady(ctx); err != nil {
		return err
	}
	if err := e.repaired(ctx); err != nil {
		return err
	}
	f.start()
	if err := f.journal(); err != nil {
		return err
	}
	for _, r := range e.resources {
		if err := f.resource(r); err != nil {
			return fmt.Errorf("check %s: %w", r.name, err)
		}
	}
	return f.err
}

// fsck is one run of Fsck.
type fsck struct {
	e      *Engine
	ctx    context.Context
	repair bool
	fn     func(FsckNews) error
	aside  string
	err    error // of fn: nobody listens any more

	unasked bool // a peer could not help out with the resource at hand
}

func (f *fsck) tell(n FsckNews) {
	if f.err == nil {
		f.err = f.fn(n)
	}
}

func (f *fsck) looking(format string, args ...any) {
	f.tell(FsckNews{Looking: fmt.Sprintf(format, args...)})
}

// found tells a finding; the state directory gets its name in the mirror.
func (f *fsck) found(found Finding) {
	found.Text = strings.ReplaceAll(found.Text, f.e.o.State, filepath.Join(f.e.o.Config.Base, node.StateDir))
	f.tell(FsckNews{Finding: &found})
}

// unmounted is what to do about what only Open can mend.
const unmounted = "`smfs umount`, then `smfs fsck --repair`"

// start tells what Open found.
func (f *fsck) start() {
	for _, b := range f.e.broken {
		part, hint := "store", f.brokenHint()
		switch {
		case errors.Is(b.err, store.ErrNewerFormat):
			hint = "a newer smfs has written it and can read it: install that one here"
		case !errors.Is(b.err, ErrDamaged): // its directory is not there, say
			part, hint = "files", Hint(b.err)
		}
		f.found(Finding{Resource: b.name, Part: part, State: Damaged, Text: "cannot be used: " + b.err.Error(), Hint: hint})
	}
	if f.e.openTold.Swap(true) {
		return
	}
	if rec := f.e.o.Journal.Recovery(); rec.Damaged && len(f.e.broken) == 0 {
		f.found(Finding{Part: "journal", State: Mended, Text: strings.TrimPrefix(rec.Problem, "journal: ") + ": all files were compared instead"})
	}
	for _, r := range f.e.resources {
		for _, found := range r.opened {
			f.found(found)
		}
	}
}

func (f *fsck) brokenHint() string {
	if f.e.o.Repair {
		return "it cannot be mended by itself: put a copy of the store in its place, or begin a new history: move store and index away"
	}
	return unmounted + "; the files are whole at their paths"
}

// journal reads the segments. Memory has the marks: written anew they are whole.
func (f *fsck) journal() error {
	f.looking("the journal")
	var faults []string
	if err := f.e.o.Journal.Check(func(text string) { faults = append(faults, text) }); err != nil {
		return err
	}
	state, hint := Damaged, "`smfs fsck --repair` writes it anew; do that before the engine ends, and nothing is lost"
	if f.repair && len(faults) > 0 {
		if err := f.e.o.Journal.Checkpoint(); err != nil {
			return err
		}
		state, hint = Mended, ""
	}
	for _, text := range faults {
		f.found(Finding{Part: "journal", State: state, Text: text, Hint: hint})
	}
	return nil
}

func (f *fsck) resource(r *resource) error {
	for _, check := range []func(*resource) error{f.store, f.index, f.files, f.tags} {
		if err := check(r); err != nil {
			return err
		}
		if f.err != nil {
			return f.err
		}
	}
	return nil
}

func (f *fsck) index(r *resource) error {
	f.looking("%s: the index", r.name)
	faults, err := r.indexFaults(f.ctx)
	if err != nil {
		faults = append(faults, err.Error())
	}
	hint := unmounted
	if f.e.o.Repair {
		hint = "run `smfs fsck --repair` again: it is made anew then"
	}
	for _, text := range faults {
		f.found(Finding{Resource: r.name, Part: "index", State: Damaged, Text: text, Hint: hint})
	}
	return f.ctx.Err()
}

func (f *fsck) tags(r *resource) error {
	f.looking("%s: the tags", r.name)
	state, hint := Damaged, "`smfs fsck --repair` sets them right"
	if f.repair {
		state, hint = Mended, ""
	}
	var faults []string
	err := r.do(f.ctx, func() (err error) {
		faults, err = r.tagFaults(f.repair)
		return err
	})
	for _, text := range faults {
		f.found(Finding{Resource: r.name, Part: "tags", State: state, Text: text, Hint: hint})
	}
	return err
}
