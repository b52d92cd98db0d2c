package backend

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/silvermirror/smfs/backend/index"
	"github.com/silvermirror/smfs/journal"
)

// uncommitted is a file that a commit of all there is has left out.
type uncommitted struct {
	path  string // in the mirror
	cause string
	stuck bool // waiting does not help
}

// uncommittedNames is how many files a message names.
const uncommittedNames = 3

// commitSince commits all there is and returns what stays of what was marked
// no later than start.
func (r *resource) commitSince(ctx context.Context, start time.Time) ([]uncommitted, error) {
	var rest []uncommitted
	more := true
	commit := func() (err error) {
		if more, err = r.commitSome(ctx); more {
			return err
		}
		if err != nil && ctx.Err() == nil {
			r.report("", err)
			r.retrySoon() // which ends what status shows, too
		}
		for _, m := range r.journal.Snapshot(r.name) {
			if !m.First.After(start) && !r.looks.settled(m.Path, start) {
				rest = append(rest, r.uncommitted(m))
			}
		}
		return err
	}
	for more {
		if err := r.do(ctx, commit); err != nil {
			return nil, err
		}
	}
	return rest, nil
}

// uncommitted says what is known of a mark that stays.
func (r *resource) uncommitted(m journal.Mark) uncommitted {
	paths := r.pathsOf(m)
	for _, path := range paths {
		if cause := r.problems.about(path); cause != "" {
			return uncommitted{r.mirrorPath(path), cause, true}
		}
	}
	cause := "it changes"
	if r.holdsBack(m.Path) {
		return uncommitted{r.mirrorPath(m.Path), errHeldBack.Error(), true}
	}
	if r.looks[m.Path] != nil || m.Busy {
		cause = "it is open for writing"
	}
	if len(paths) == 0 {
		return uncommitted{"a file without a name", cause, false}
	}
	return uncommitted{r.mirrorPath(paths[0]), cause, false}
}

// pathsOf lists the names that a mark is of.
func (r *resource) pathsOf(m journal.Mark) []string {
	if m.Inode == (journal.FileKey{}) {
		return []string{m.Path}
	}
	var paths []string
	_ = r.index.View(func(tx *index.Tx) error { // damage shows in the commits
		for _, slot := range tx.ByKey(m.Inode) {
			if path, err := tx.Path(slot); err == nil {
				paths = append(paths, path)
			}
		}
		return nil
	})
	return paths
}

// allStuck tells that no waiting helps any of what is left.
func allStuck(rest []uncommitted) bool {
	return len(rest) > 0 && !slices.ContainsFunc(rest, func(u uncommitted) bool { return !u.stuck })
}

// uncommittedError names what is left, what waiting does not help first. It is
// an ErrTimeout where waiting longer may help.
func (r *resource) uncommittedError(rest []uncommitted) error {
	if len(rest) == 0 {
		return nil
	}
	rest = slices.Clone(rest)
	slices.SortStableFunc(rest, func(a, b uncommitted) int {
		switch {
		case a.stuck == b.stuck:
			return 0
		case a.stuck:
			return -1
		}
		return 1
	})
	var list []string
	for _, u := range rest[:min(len(rest), uncommittedNames)] {
		list = append(list, u.path+": "+u.cause)
	}
	if n := len(rest) - len(list); n > 0 {
		list = append(list, fmt.Sprintf("and %d more", n))
	}
	what := strings.Join(list, "; ")
	if allStuck(rest) {
		return WithHint(fmt.Errorf("%s cannot be committed: %s", r.name, what),
			"it stays journaled and is tried again; let the user that smfs runs as read it (chmod, chown), delete it, or name it in `ignore`")
	}
	return WithHint(fmt.Errorf("%w: %s is not committed yet: %s", ErrTimeout, r.name, what),
		"it stays journaled; a file that is open for writing is committed when it is closed")
}

// Settle commits what is journaled (until ctx ends), once nothing changes any
// more, and fails by name with what cannot be committed.
func (e *Engine) Settle(ctx context.Context) error {
	var failed error
	add := func(err error) {
		if failed != nil && err != nil {
			err = fmt.Errorf("%w; %w", failed, err)
		}
		if err != nil {
			failed = err
		}
	}
	for _, r := range e.resources {
		add(r.settle(ctx))
	}
	for _, b := range e.broken {
		if b.journal.Pending(b.name) > 0 {
			add(b.err)
		}
	}
	return failed
}

func (r *resource) settle(ctx context.Context) error {
	for before := math.MaxInt; ; {
		rest, err := r.commitSince(ctx, r.now())
		if err != nil {
			return waitError(ctx, err, r.name+" is not committed yet", "it stays journaled, for the next engine to commit")
		}
		if len(rest) == 0 || len(rest) >= before {
			return r.uncommittedError(rest)
		}
		before = len(rest) // a new directory may need another look, for what is in it
	}
}
