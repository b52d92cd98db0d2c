package backend

import (
	"context"
	"errors"
	"fmt"
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
		case !isAbsent(s.err): // else it went away meanwhile
			question = fmt.Sprintf("not all could be looked at: %v", s.err)
		}
		r.ask(question)
		if errors.Is(s.err, tree.ErrUnhealthy) {
			// What is put there now is missing where the right directory is back.
			return true, r.setHeld(true)
		}
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
		if err := r.setHeld(hold); err != nil {
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
func (r *resource) asks() bool { return r.notes(&r.question) }

// ask shows in status what is held back and why, until a later scan answers it.
func (r *resource) ask(question string) { r.note(&r.question, question, "held back") }

func orHere(path string) string {
	if path == "" {
		return "."
	}
	return path
}

// bringBack has what is missing at or below a path, and held back, on disk again
// as the head has it. With a directory that is missing as a whole all of it comes
// back. It returns how many files came.
func (r *resource) bringBack(ctx context.Context, path string) (files int, err error) {
	if path == "" {
		adopted, err := r.adoptRoot()
		if err != nil {
			return 0, err
		}
		if adopted {
			r.needScan("to see the directory anew", nil)
		}
	}
	var left map[string]bool
	var inTheWay []string
	err = r.index.Update(func(tx *index.Tx) error {
		left, inTheWay = map[string]bool{}, nil
		before := tx.Count()
		for p := range r.missing {
			n, known := tx.Lookup(p)
			if !known {
				continue
			}
			if info, err := r.tree.Stat(p); !isAbsent(err) {
				if kind, _ := kindOf(info); err != nil || !isNode(&n, kind, info) {
					left[p] = true
					inTheWay = append(inTheWay, p)
				}
				continue
			}
			if !within(p, path) && !within(path, p) {
				left[p] = true
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
	slices.Sort(inTheWay)
	for _, p := range inTheWay {
		if within(p, path) || within(path, p) {
			err = errors.Join(err, WithHint(fmt.Errorf("%w: something else is at %s now", ErrRefused, r.mirrorPath(p)), "move it away, and restore again"))
		}
	}
	if err != nil || len(left) > 0 {
		return files, err
	}
	r.ask("")
	return files, r.setHeld(false)
}

// setHeld notes over restarts that what is missing is held back, however little.
func (r *resource) setHeld(held bool) error {
	return r.index.Update(func(tx *index.Tx) error { return tx.SetHeld(held) })
}

// errHeldBack means that a name holds something else than the directory of which
// nobody has said whether it is meant to be gone.
var errHeldBack = errors.New("what was there is missing, which is held back")

// holdsBack tells whether what the index has at a path is missing and held back.
func (r *resource) holdsBack(path string) bool { return r.missing[path] }

// isMissing tells whether a path, or a directory above it, is missing and held
// back.
func (r *resource) isMissing(path string) bool {
	return len(r.missing) > 0 && underAny(path, r.missing)
}
