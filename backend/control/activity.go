package control

import (
	"context"
	"sync"
	"time"
)

// activity counts what runs, to know when nothing did for a while.
type activity struct {
	mu     sync.Mutex // guards all below
	active int
	last   time.Time // when active fell to 0
	closed bool
}

func newActivity() *activity { return &activity{last: time.Now()} }

// begin reports whether something may start.
func (a *activity) begin() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return false
	}
	a.active++
	return true
}

func (a *activity) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.active--
	a.last = time.Now()
}

// close lets nothing new begin.
func (a *activity) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
}

// waitIdle closes a and returns true once nothing was active for d and busy
// says no; false when ctx ends first.
func (a *activity) waitIdle(ctx context.Context, d time.Duration, busy func() bool) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
		}
		left := a.tryClose(d, busy)
		if left <= 0 {
			return true
		}
		timer.Reset(left)
	}
}

// tryClose closes a if it was idle for d, else returns when to look again.
func (a *activity) tryClose(d time.Duration, busy func() bool) time.Duration {
	isBusy := busy != nil && busy() // outside the lock: it may take its own
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.active > 0 || isBusy {
		return d
	}
	if left := d - time.Since(a.last); left > 0 {
		return left
	}
	a.closed = true
	return 0
}
