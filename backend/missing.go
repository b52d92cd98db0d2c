package backend

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/silvermirror/smfs/backend/index"
	"github.com/silvermirror/smfs/fs/tree"
)

// A scan that would delete over half of at least this many files asks first.
const askAbove = 1000

// holdBack decides whether what a scan found missing is not to count as deleted:
// it did not see all, or so much is missing that somebody has to say whether
// that is meant. What is held back stays so until it is there again, brought back
// by bringBack, or said to be meant; fewer of them are not meant the more.
func (r *resource) holdBack(s *scanResult) (bool, error) {
	if s.err != nil {
		question := ""
		switch {
		case errors.Is(s.err, errMoved):
			question = s.err.Error()
		case len(s.missing) > 0:
			question = fmt.Sprintf("%d names are missing, but the scan was not complete: %v", len(s.missing), s.err)
		}
		r.ask(question)
		return true, nil
	}
	var total int
	var was bool
	if err := r.index.View(func(tx *index.Tx) error {
		total, was = tx.Count(), tx.Held()
		return nil
	}); err != nil {
		return false, err
	}
	many := total >= askAbove && 2*s.files > total
	hold := (many || was && len(s.missing) > 0) && !r.acceptDeletes
	if hold != was {
		if err := r.index.Update(func(tx *index.Tx) error { return tx.SetHeld(hold) }); err != nil {
			return false, err
		}
	}
	if !hold {
		r.ask("")
		return false, nil
	}
	r.ask(fmt.Sprintf("%d of %d files are missing on disk; if that is meant, run in the mirror: smfs sync --accept-deletes; to have them back: smfs restore %s",
		s.files, total, orHere(r.mirrorPath(""))))
	return true, nil
}

// asks tells whether something is held back that is missing.
func (r *resource) asks() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.question != ""
}

// ask shows in status what is held back and why, until a later scan answers it.
func (r *resource) ask(question string) {
	r.mu.Lock()
	again := r.question == question
	r.question = question
	r.mu.Unlock()
	if !again && question != "" {
		r.log.Warn("held back", "resource", r.name, "question", question)
	}
}

func orHere(path string) string {
	if path == "" {
		return "."
	}
	return path
}

// checkRoot tells whether the root is the one that the resource was recorded
// for: an empty mount point or another disk in its place deletes nothing.
func (r *resource) checkRoot() error {
	if err := r.checkPlace(); err != nil {
		return err
	}
	var err error
	for _, id := range r.store.Meta().ResourceIDs {
		if err = r.tree.Healthy(id, ""); err == nil {
			return nil
		}
	}
	return fmt.Errorf("another directory may be in its place, so nothing is deleted; if it is meant to be there, run in the mirror: smfs restore %s: %w",
		orHere(r.mirrorPath("")), err)
}

// errMoved means that the root of a resource elsewhere is not where it was.
var errMoved = errors.New("its directory was moved or removed")

// checkPlace tells whether the root, if it is elsewhere, still is where it was
// opened. The kernel says where it is: to look there might lead into the mount.
func (r *resource) checkPlace() error {
	if r.rootPath == "" {
		return nil
	}
	if at, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", r.tree.RootFD())); err == nil && at != r.rootPath {
		return fmt.Errorf("%w: put it back, or unmount and mount the mirror (%s is %s now)", errMoved, r.rootPath, at)
	}
	return nil
}

// adoptRoot makes the directory that is there the resource's, should it belong to
// none.
func (r *resource) adoptRoot() error {
	if err := r.checkRoot(); !errors.Is(err, tree.ErrUnhealthy) {
		return nil
	}
	id, err := r.tree.RootID()
	if err != nil {
		return err
	}
	if id != "" {
		return WithHint(fmt.Errorf("%w: %s is the directory of another resource, %s", ErrInvalid, r.conf.Directory, id),
			"put the right directory in its place; or have this one adopted, with: setfattr -x "+tree.RootXattr+" "+r.conf.Directory)
	}
	return r.markRoot()
}

// bringBack has what is missing at or below a path, and held back, on disk again
// as the head has it. With a directory that is missing as a whole all of it comes
// back. It returns how many files came.
func (r *resource) bringBack(ctx context.Context, path string) (files int, err error) {
	if path == "" {
		if err := r.adoptRoot(); err != nil {
			return 0, err
		}
		r.needScan("to see the directory anew", nil)
	}
	var left, inTheWay []string
	err = r.index.Update(func(tx *index.Tx) error {
		left, inTheWay = nil, nil
		before := tx.Count()
		for _, p := range r.missing {
			n, known := tx.Lookup(p)
			if !known {
				continue
			}
			if info, err := r.tree.Stat(p); !isAbsent(err) {
				if kind, _ := kindOf(info); err != nil || !isNode(&n, kind, info) {
					left = append(left, p)
					inTheWay = append(inTheWay, p)
				}
				continue
			}
			if !within(p, path) && !within(path, p) {
				left = append(left, p)
				continue
			}
			if _, err := tx.DeleteTree(n.Parent, n.Name); err != nil {
				return err
			}
			if err := tx.SetApart(); err != nil {
				return err
			}
			r.behind = true
		}
		files = before - tx.Count()
		return nil
	})
	if err != nil {
		return 0, err
	}
	r.missing = left
	err = r.applyIfBehind(ctx)
	for _, p := range inTheWay {
		if within(p, path) || within(path, p) {
			err = errors.Join(err, WithHint(fmt.Errorf("%w: something else is at %s now", ErrRefused, r.mirrorPath(p)), "move it away, and restore again"))
		}
	}
	if err != nil || len(left) > 0 {
		return files, err
	}
	r.ask("")
	return files, r.index.Update(func(tx *index.Tx) error { return tx.SetHeld(false) })
}

// errHeldBack means that a name holds something else than the directory of which
// nobody has said whether it is meant to be gone.
var errHeldBack = errors.New("what was there is missing, which is held back")

// holdsBack tells whether what the index has at a path is missing and held back.
func (r *resource) holdsBack(path string) bool { return slices.Contains(r.missing, path) }

// isMissing tells whether a path, or a directory above it, is missing and held
// back.
func (r *resource) isMissing(path string) bool {
	for _, p := range r.missing {
		if within(path, p) {
			return true
		}
	}
	return false
}
