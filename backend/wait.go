package backend

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Wait returns once what was written before the call is committed, and with
// Mirrored once every reachable peer has applied it.
func (e *Engine) Wait(ctx context.Context, o WaitOptions) error {
	if o.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.Timeout)
		defer cancel()
	}
	for _, r := range e.resources {
		if err := r.waitCommitted(ctx); err != nil {
			return waitError(ctx, err, r.name+" is not committed yet", "`smfs status` shows what is pending")
		}
	}
	if o.Mirrored {
		if err := e.sessions.waitMirrored(ctx); err != nil {
			return err
		}
	}
	return e.uncommitted()
}

// waitError says what was waited for where the time was up, unless err does.
func waitError(ctx context.Context, err error, what, hint string) error {
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil {
		return WithHint(fmt.Errorf("%w: %s", ErrTimeout, what), hint)
	}
	return err
}

// stuckTime is how long a file must be seen not to be readable before wait
// gives up: it may be on its way to other permissions.
const stuckTime = time.Second

// waitCommitted returns once all that is marked at the call is committed, or
// waiting is known not to help.
func (r *resource) waitCommitted(ctx context.Context) error {
	if err := r.awaitReady(ctx); err != nil {
		return err
	}
	// A mark that was there at the call counts until it is gone: its generation
	// may grow meanwhile, when the kernel tells of a close that came before.
	var start time.Time
	if err := r.do(ctx, func() error {
		if !r.journaled || !r.scanAgain.IsZero() { // or not all was seen by the last scan
			if err := r.rescan(ctx); err != nil {
				return err
			}
		}
		start = r.now()
		return nil
	}); err != nil {
		return err
	}
	events, stop := r.watch()
	defer stop()
	var rest []uncommitted
	var stuck time.Time // since when waiting does not help
	for {
		now, err := r.commitSince(ctx, start)
		if err != nil && ctx.Err() == nil {
			return err
		}
		if err == nil {
			if rest = now; len(rest) == 0 {
				return nil
			}
		}
		if !allStuck(rest) {
			stuck = time.Time{}
		} else if stuck.IsZero() {
			stuck = r.now()
		} else if r.now().Sub(stuck) >= stuckTime {
			return r.uncommittedError(rest)
		}
		select {
		case <-events:
		case <-time.After(firstRetry):
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) && len(rest) > 0 {
				return r.uncommittedError(rest)
			}
			return ctx.Err()
		}
	}
}

// Sync commits, then exchanges with the peers.
func (e *Engine) Sync(ctx context.Context, o SyncOptions) (*SyncReport, error) {
	list, err := e.resourcesOf(o.Resources)
	if err != nil {
		return nil, err
	}
	out := &SyncReport{}
	var errs []error
	for _, r := range list {
		before, _ := r.headNow()
		if err := r.do(ctx, func() error {
			r.problems.lookBegins(r.now())
			r.acceptDeletes = o.AcceptDeletes
			defer func() { r.acceptDeletes = false }()
			return r.rescan(ctx)
		}); err != nil {
			errs = append(errs, err) // the others go on
		}
		if after, _ := r.headNow(); after != before {
			out.Committed++
		}
	}
	err = errors.Join(append(errs, e.sessions.syncNow(ctx, list, o.Hosts))...)
	out.Peers = e.sessions.status()
	for _, r := range list {
		out.Resources = append(out.Resources, r.status())
	}
	if len(o.Resources) == 0 && len(e.broken) > 0 {
		err = errors.Join(err, e.broken[0].err)
	}
	return out, err
}
