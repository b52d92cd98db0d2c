package backend

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/silvermirror/smfs/backend/index"
	"github.com/silvermirror/smfs/journal"
)

const (
	// burstTime is the longest that settling names put a commit off.
	burstTime = time.Second
	// burstMarks is how many marks make a burst.
	burstMarks = 64
	// maxPacks is how many packs a store may have before they are merged.
	maxPacks = 14
	// share is the part of the worker's time that it spends on looking whether
	// something is due: the more is marked, the longer a look takes.
	share = 8
	// firstRetry and lastRetry bound the pauses between looks at what could
	// not be done: a file that is open for writing, a full disk.
	firstRetry = 50 * time.Millisecond
	lastRetry  = 5 * time.Second
)

// run is the worker: it commits what the journal marks, when it is due, and
// does what the sync state machine says, until ctx ends.
func (r *resource) run(ctx context.Context) error {
	w := &schedule{timer: time.NewTimer(0), pause: firstRetry}
	defer w.timer.Stop()
	wake := r.journal.Wait(r.name)
	r.begin(ctx, w)
	for {
		marked := wake
		if w.resting {
			marked = nil // the timer ends the rest
		}
		select {
		case <-ctx.Done():
			return nil
		case f := <-r.calls:
			f()
		case <-marked:
		case <-r.retry:
			w.failed(r.now())
		case <-w.timer.C:
		}
		r.turn(ctx, w)
	}
}

// begin brings the disk to the head, should a crash have come between, and
// commits what the journal knows. What else has changed the scan finds.
func (r *resource) begin(ctx context.Context, w *schedule) {
	err := errors.Join(r.recoverLeftovers(ctx), r.applyIfBehind(ctx))
	if !r.wantScan {
		r.scannedAtStart.Store(0)
		r.catchUp = true
	}
	if err != nil && ctx.Err() == nil {
		r.report("", err)
		w.failed(r.now())
	}
}

// schedule is when the worker looks again, and at what.
type schedule struct {
	timer   *time.Timer
	retryAt time.Time // zero: nothing is to be retried
	pause   time.Duration
	resting bool // marks are not looked at before the timer ends

	marks int       // at the last look
	next  time.Time // when the next of them are due; zero: none will be
	more  bool      // there is more to commit at once
}

// failed puts the next look at what could not be done off, ever longer.
func (w *schedule) failed(now time.Time) {
	if w.retryAt.IsZero() {
		w.retryAt = now.Add(w.pause)
		w.pause = min(2*w.pause, lastRetry)
	}
}

// turn does all that is due.
func (r *resource) turn(ctx context.Context, w *schedule) {
	start := r.now()
	if !w.retryAt.IsZero() && !start.Before(w.retryAt) {
		w.retryAt = time.Time{}
		r.lookAgain(ctx)
	}
	if !r.scanAgain.IsZero() && !start.Before(r.scanAgain) {
		r.scanAgain, r.wantScan = time.Time{}, true
	}
	if r.wantScan && !r.scanning {
		r.startScan(ctx)
	}
	err := r.commitDue(ctx, w, start)
	if err != nil && ctx.Err() == nil {
		r.report("", err)
		w.failed(start)
	}
	if r.stuck {
		r.stuck = false
		w.failed(start)
	}
	r.problems.looked(start, !w.next.IsZero())
	if err == nil && w.retryAt.IsZero() {
		w.pause = firstRetry
	}
	r.drain(ctx)
	r.publish()
	r.tidy(ctx)
	syncAt := r.keepSynced(ctx, start)
	if err := r.growth.note(start, r.store.Size()); err != nil {
		r.log.Debug("not noted", "resource", r.name, "error", err)
	}
	now := r.now()
	rest := time.Duration(0)
	if w.marks > burstMarks && !w.more {
		rest = min(share*now.Sub(start), burstTime)
	}
	wait := max(untilNext(now, earlier(w.next, r.scanAgain), earlier(w.retryAt, syncAt)), rest)
	if w.resting = rest > 0; w.resting {
		wait = rest
	}
	w.timer.Reset(wait)
}

func untilNext(now, a, b time.Time) time.Duration {
	next := earlier(now.Add(time.Hour), earlier(a, b))
	return max(next.Sub(now), 0)
}

// tidy merges small packs beside the worker once there are many.
func (r *resource) tidy(ctx context.Context) {
	if r.store.PackCount() <= maxPacks || r.tidying.Swap(true) {
		return
	}
	r.background.Go(func() {
		defer r.tidying.Store(false)
		if err := r.store.Consolidate(ctx); err != nil && ctx.Err() == nil {
			r.report("", err)
		}
	})
}

// lookAgain retries what waits for something outside the engine.
func (r *resource) lookAgain(ctx context.Context) {
	r.problems.lookBegins(r.now())
	r.looks.again()
	var err error
	if r.asides {
		r.asides = false
		err = r.recoverAsides()
	}
	if err = errors.Join(err, r.applyIfBehind(ctx)); err != nil && ctx.Err() == nil {
		r.report("", err)
		r.retrySoon()
	}
	r.changed()
}

// commitDue commits the marks that are due, as many as one commit takes.
func (r *resource) commitDue(ctx context.Context, w *schedule, now time.Time) (err error) {
	w.next, w.more = time.Time{}, false
	if r.catchUp {
		if err := r.handOver(); err != nil {
			err = r.explained(err)
			r.heldUp(err)
			return err
		}
	}
	all := r.journal.Snapshot(r.name)
	w.marks = len(all)
	due := all
	if !r.catchUp {
		due, w.next, err = r.due(all, now)
	}
	if err == nil && len(due) > 0 {
		w.more, err = r.commit(ctx, all, due)
	}
	if w.more {
		w.next = now
	} else if r.catchUp {
		r.caughtUp(ctx)
	}
	return err
}

// caughtUp says that the engine is ready: all has been tried that was to commit
// when it started.
func (r *resource) caughtUp(ctx context.Context) {
	r.catchUp = len(r.finds.paths) > 0
	if err := r.applyIfBehind(ctx); err != nil && ctx.Err() == nil { // the scan may have found the root to be the right one
		r.report("", err)
		r.retrySoon()
	}
	r.journal.Reserve()
	r.readyOnce.Do(func() { close(r.ready) })
}

// heldUp says why the engine is not ready, to who waits for that. It goes on trying.
func (r *resource) heldUp(err error) {
	r.holdUpOnce.Do(func() {
		r.holdUp = err
		close(r.held)
	})
}

// awaitReady returns once the engine is ready, or with what holds it up.
func (r *resource) awaitReady(ctx context.Context) error {
	select {
	case <-r.ready:
	case <-r.held:
		select {
		case <-r.ready: // by now
		default:
			return r.holdUp
		}
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// due picks the marks to commit now, and tells when to look again. A change of
// a file that has a history is committed at once when its writer closes it or
// another is renamed over it; new names, deletes and the rest settle first, so
// that what belongs together becomes one commit. Renames take both their names
// along, and while one has just emptied a name with a history all waits: it is
// going to be filled again. Many marks are a burst: it is committed as a whole
// when it pauses.
func (r *resource) due(all []journal.Mark, now time.Time) (due []journal.Mark, next time.Time, err error) {
	if len(all) > burstMarks {
		return r.dueOfBurst(all, now)
	}
	urgent, emptied := false, false
	settled := make([]bool, len(all))
	err = r.index.View(func(tx *index.Tx) error {
		for i, m := range all {
			if m.Busy || r.looks.waits(m.Path, m.Last) {
				continue // its end, or the next look at open files, takes it
			}
			at := earlier(m.Last.Add(r.conf.Settle), m.First.Add(burstTime))
			settled[i] = m.Kinds.Has(journal.KindFound) || !now.Before(at)
			if !settled[i] {
				var empty bool
				settled[i], empty = r.endsEdit(tx, m)
				emptied = emptied || empty
			}
			urgent = urgent || settled[i]
			if !settled[i] {
				next = earlier(next, at)
			}
		}
		return nil
	})
	if err != nil || !urgent || emptied {
		return nil, next, err
	}
	for i, m := range all {
		if settled[i] || !m.Busy && m.Kinds.Has(journal.KindRename) {
			due = append(due, m)
		}
	}
	return due, next, nil
}

// endsEdit tells whether the mark is of a file with a history whose new content
// is complete. A name that a rename emptied is not: an editor that saves by moving
// the old version aside fills it again in a moment, and that is an edit.
func (r *resource) endsEdit(tx *index.Tx, m journal.Mark) (ends, emptied bool) {
	if !m.Kinds.Has(journal.KindClose) && !m.Kinds.Has(journal.KindRename) {
		return false, false
	}
	if m.Inode != (journal.FileKey{}) {
		return true, false
	}
	if _, tracked := tx.Lookup(m.Path); !tracked {
		return false, false
	}
	_, err := r.tree.Stat(m.Path)
	return !isAbsent(err), isAbsent(err) && m.Kinds.Has(journal.KindRename)
}

func (r *resource) dueOfBurst(all []journal.Mark, now time.Time) (due []journal.Mark, next time.Time, err error) {
	var first, last time.Time
	for _, m := range all {
		if m.Busy || r.looks.waits(m.Path, m.Last) {
			continue
		}
		due = append(due, m)
		first = earlier(first, m.First)
		if m.Last.After(last) {
			last = m.Last
		}
	}
	if len(due) == 0 {
		return nil, time.Time{}, nil
	}
	if at := earlier(last.Add(r.conf.Settle), first.Add(burstTime)); now.Before(at) {
		return nil, at, nil
	}
	return due, time.Time{}, nil
}

// earlier returns the earlier of two times; the zero time is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// commitAll commits all there is to commit now, settled or not.
func (r *resource) commitAll(ctx context.Context) error {
	for {
		if more, err := r.commitSome(ctx); err != nil || !more {
			return err
		}
	}
}

// commitSome is commitAll for as much as one commit takes.
func (r *resource) commitSome(ctx context.Context) (more bool, err error) {
	if err := r.handOver(); err != nil {
		return false, err
	}
	all := r.journal.Snapshot(r.name)
	if len(all) == 0 {
		return false, nil
	}
	return r.commit(ctx, all, all)
}

// commit commits the marks in due, as many as one commit takes. Damage and a full
// disk come with what to do about them.
func (r *resource) commit(ctx context.Context, all, due []journal.Mark) (more bool, err error) {
	more, err = r.commitMarks(ctx, all, due)
	if isFull(err) {
		more = false
	}
	return more, r.explained(err)
}

// explained is err with what to do about it.
func (r *resource) explained(err error) error {
	if isFull(err) {
		return WithHint(fmt.Errorf("%s is not committed: %w", r.name, unix.ENOSPC),
			"free space on the filesystem that holds the mirror; what was changed is journaled, and committed as soon as there is room")
	}
	return r.damaged(err)
}
