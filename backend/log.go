package backend

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/silvermirror/smfs/backend/object"
)

// Log calls fn for each version, newest first.
func (e *Engine) Log(ctx context.Context, o LogOptions, fn func(Version) error) error {
	list, path, err := e.resourcesAt(o.Path)
	if err != nil {
		return err
	}
	var histories []iter.Seq2[Version, error]
	for _, r := range list {
		histories = append(histories, r.history(ctx, path, o.Path != ""))
	}
	n := 0
	for v, err := range newestFirst(histories) {
		if err == nil {
			err = fn(v)
		}
		if err != nil {
			return err
		}
		if n++; n == o.Limit {
			break
		}
	}
	if o.Path == "" && len(e.broken) > 0 && n != o.Limit {
		return e.broken[0].err // all but its history is told
	}
	if path != "" && n == 0 {
		return fmt.Errorf("%w: %q has no history; it was never committed", ErrNotFound, o.Path)
	}
	return nil
}

// history yields the versions of a path; with places it says where in the
// mirror that was.
func (r *resource) history(ctx context.Context, path string, places bool) iter.Seq2[Version, error] {
	return func(yield func(Version, error) bool) {
		err := r.versions(ctx, path, func(v Version, _ *object.Entry) error {
			if places {
				v.Path = r.mirrorPath(v.Path)
			}
			if !yield(v, nil) {
				return errStop
			}
			return nil
		})
		if err != nil && !errors.Is(err, errStop) {
			yield(Version{}, err)
		}
	}
}

// newestFirst merges histories by time; each keeps its own order, in which a
// commit is before its parents whatever the clocks say.
func newestFirst(histories []iter.Seq2[Version, error]) iter.Seq2[Version, error] {
	return func(yield func(Version, error) bool) {
		type history struct {
			next func() (Version, error, bool)
			v    Version
			err  error
			more bool
		}
		var all []*history
		for _, seq := range histories {
			next, stop := iter.Pull2(seq)
			defer stop()
			h := &history{next: next}
			h.v, h.err, h.more = next()
			all = append(all, h)
		}
		for {
			var newest *history
			for _, h := range all {
				if h.more && (newest == nil || newest.err == nil && (h.err != nil || h.v.Time.After(newest.v.Time))) {
					newest = h
				}
			}
			if newest == nil || !yield(newest.v, newest.err) {
				return
			}
			newest.v, newest.err, newest.more = newest.next()
		}
	}
}
