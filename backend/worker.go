package backend

import (
	"context"
	"time"

	"github.com/silvermirror/smfs/backend/index"
	"github.com/silvermirror/smfs/journal"
)

const (
	// burst is the longest that settling names put a commit off.
	burst = time.Second
	// firstRetry and lastRetry bound the pauses between looks at what could
	// not be done: a file that is open for writing, a full disk.
	firstRetry = 50 * time.Millisecond
	lastRetry  = 5 * time.Second
)

// run is the worker: it commits what the journal marks, when it is due, and
// does what the sync state machine says, until ctx ends.
func (r *resource) run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	pause := firstRetry
	var retryAt time.Time
	wake := r.journal.Wait(r.name)
	for {
		select {
		case <-ctx.Done():
			return nil
		case f := <-r.calls:
			f()
		case <-wake:
		case <-r.retry:
			if retryAt.IsZero() {
				retryAt = r.now().Add(pause)
				pause = min(2*pause, lastRetry)
			}
		case <-timer.C:
		}
		now := r.now()
		if !retryAt.IsZero() && !now.Before(retryAt) {
			retryAt = time.Time{}
			r.lookAgain(ctx)
		}
		if r.wantScan && !r.scanning {
			r.startScan(ctx)
		}
		next, err := r.commitDue(ctx, now)
		if err != nil && ctx.Err() == nil {
			r.report("", err)
			r.retrySoon()
		}
		if err == nil && retryAt.IsZero() {
			pause = firstRetry
		}
		r.drain(ctx)
		r.publish()
		timer.Reset(untilNext(now, next, retryAt))
	}
}

func untilNext(now, a, b time.Time) time.Duration {
	next := now.Add(time.Hour)
	for _, t := range []time.Time{a, b} {
		if !t.IsZero() && t.Before(next) {
			next = t
		}
	}
	return max(next.Sub(now), 0)
}

// lookAgain retries what waits for something outside the engine.
func (r *resource) lookAgain(ctx context.Context) {
	r.clearProblems()
	r.looks.again()
	if r.stale {
		if err := r.catchUp(ctx); err != nil && ctx.Err() == nil {
			r.report("", err)
			r.retrySoon()
		}
	}
	if err := r.applyWaiting(ctx); err != nil && ctx.Err() == nil {
		r.report("", err)
		r.retrySoon()
	}
	r.changed()
}

// commitDue commits the marks that are due and returns when the next ones are.
func (r *resource) commitDue(ctx context.Context, now time.Time) (time.Time, error) {
	all := r.journal.Snapshot(r.name)
	if len(all) == 0 {
		return time.Time{}, nil
	}
	due, next, err := r.due(all, now)
	if err != nil || len(due) == 0 {
		return next, err
	}
	_, err = r.commitMarks(ctx, all, due)
	return next, err
}

// due picks the marks to commit now. A change of a file that has a history is
// committed at once when its writer closes it or another is renamed over it;
// new names, deletes and the rest settle first, so that what belongs together
// becomes one commit. Renames take both their names along.
func (r *resource) due(all []journal.Mark, now time.Time) (due []journal.Mark, next time.Time, err error) {
	settle := r.conf.Settle
	urgent := false
	settled := make([]bool, len(all))
	err = r.index.View(func(tx *index.Tx) error {
		for i, m := range all {
			at := m.Last.Add(settle)
			if limit := m.First.Add(burst); limit.Before(at) {
				at = limit
			}
			if r.looks.waits(m.Path) {
				continue // open for writing and looked at already: the retry takes it
			}
			switch {
			case m.Busy:
			case m.Kinds.Has(journal.KindFound) || !now.Before(at):
				settled[i] = true
				urgent = true
			case m.Kinds.Has(journal.KindClose) || m.Kinds.Has(journal.KindRename):
				if _, tracked := tx.Lookup(m.Path); tracked {
					settled[i] = true
					urgent = true
					continue
				}
				fallthrough
			default:
				if next.IsZero() || at.Before(next) {
					next = at
				}
			}
		}
		return nil
	})
	if err != nil || !urgent {
		return nil, next, err
	}
	for i, m := range all {
		if settled[i] || !m.Busy && m.Kinds.Has(journal.KindRename) {
			due = append(due, m)
		}
	}
	return due, next, nil
}

// commitAll commits all there is to commit now, settled or not.
func (r *resource) commitAll(ctx context.Context) error {
	all := r.journal.Snapshot(r.name)
	if len(all) == 0 {
		return nil
	}
	_, err := r.commitMarks(ctx, all, all)
	return err
}
