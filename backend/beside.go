package backend

import (
	"context"
	"fmt"

	"github.com/silvermirror/smfs/backend/index"
	"github.com/silvermirror/smfs/backend/watch"
)

// watchBeside has the kernel tell what is changed from now on in a directory
// whose changes do not all come through a mount. A complete scan must follow: it
// finds what was changed before. Where nothing is told, scans are repeated.
func (r *resource) watchBeside(ctx context.Context) {
	if r.unwatch != nil {
		r.unwatch()
	}
	watching, stop := context.WithCancel(ctx)
	r.unwatch = stop
	w, err := watch.Open(watching, watch.Options{Tree: r.tree, Skip: r.skip, Settle: r.conf.Settle, Longest: burstTime})
	if ctx.Err() == nil {
		r.setUnwatched(err)
	}
	if err != nil {
		return
	}
	r.background.Go(func() {
		err := w.Run(watching, r.calls, func(c *watch.Changes) { r.lookBeside(ctx, c) })
		if err == nil {
			return
		}
		r.setUnwatched(err)
		select {
		case r.calls <- r.scanSoon:
		case <-watching.Done():
		}
	})
}

// lookBeside marks what differs from the index of that which the kernel told of.
// Most of it does not: it was journaled, or is an apply's. A name that was taken
// away is a delete; a name that is missing otherwise is one to a complete scan
// alone.
func (r *resource) lookBeside(ctx context.Context, c *watch.Changes) {
	s := &scanner{r: r, ctx: ctx}
	var deeds []string
	err := r.index.View(func(tx *index.Tx) error {
		s.tx = tx
		for path, taken := range c.Names {
			if _, _, err := s.name(path, known(tx, path)); err != nil {
				return err
			}
			if taken {
				deeds = append(deeds, s.missing...)
			}
			s.missing = nil // where nobody took it away yet, that is still to be told
		}
		for path := range c.Trees {
			if dir, _ := splitPath(path); underAny(dir, c.Trees) {
				continue
			}
			if err := s.entry(path, known(tx, path)); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil && len(deeds) > 0 {
		if err = r.checkRoot(); err == nil {
			s.found = append(s.found, deeds...)
		}
	}
	if err == nil {
		err = r.journal.Found(r.name, s.found...)
	}
	if err != nil && ctx.Err() == nil {
		r.report("", err)
	}
	if err != nil || s.err != nil || len(s.missing) > 0 || len(s.replaced) > 0 || len(deeds) > 0 && r.asks() {
		r.scanSoon()
	}
}

// known is what the index has at a path; nil: nothing.
func known(tx *index.Tx, path string) *index.Node {
	if n, ok := tx.Lookup(path); ok {
		return &n
	}
	return nil
}

// scanSoon wants a scan, but not one after the other.
func (r *resource) scanSoon() { r.scanAgain = earlier(r.scanAgain, r.now().Add(burstTime)) }

func (r *resource) isUnwatched() bool { return r.notes(&r.unwatched) }

// setUnwatched notes why nobody tells of changes beside the mount, for status;
// nil: somebody does.
func (r *resource) setUnwatched(err error) {
	text := ""
	if err != nil {
		text = fmt.Sprintf("changes beside the mount are only found by a scan every %s: %v", scanPause, err)
	}
	r.note(&r.unwatched, text, "not watched")
}
