package peer

import (
	"context"
	"sync"
	"time"
)

const (
	pieceSize  = 32 << 10  // of a payload, in one frame
	askEvery   = 64 << 10  // bytes between two requests for an acknowledgement
	minUnacked = 128 << 10 // more than askEvery and a piece, or a payload could stall
	maxUnacked = 4 << 20   // the window of a stream
	startUnack = 256 << 10
)

// roundTrip is the shortest round trip seen in a session: what the link needs
// when nothing queues. It is shared by the session's transfers.
type roundTrip struct {
	mu  sync.Mutex
	min time.Duration
}

func (r *roundTrip) observe(d time.Duration) (shortest time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.min == 0 || d < r.min {
		r.min = d
	}
	return r.min
}

// pacer limits how much of a payload is sent and not yet taken by the receiver,
// so that what queues on the way delays other calls by a few milliseconds only:
// the limit grows while an acknowledgement takes hardly longer than the
// shortest round trip, and shrinks when it takes longer.
type pacer struct {
	base *roundTrip
	wake chan struct{} // capacity 1

	mu          sync.Mutex // guards what follows
	limit       int64      // bytes
	sent, acked int64
	asked       int64  // sent when an acknowledgement was last asked for
	marks       []mark // of those, in order
	cutAt       int64  // sent at the last shrinking: at most one a round trip
}

type mark struct {
	end int64
	at  time.Time
}

func newPacer(base *roundTrip) *pacer {
	return &pacer{base: base, wake: make(chan struct{}, 1), limit: startUnack}
}

// wait returns when more may be sent, or ctx ended.
func (p *pacer) wait(ctx context.Context) error {
	for {
		p.mu.Lock()
		open := p.sent-p.acked < p.limit
		p.mu.Unlock()
		if open {
			return ctx.Err()
		}
		select {
		case <-p.wake:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// sending notes that n bytes are about to be sent, and tells whether to ask for
// an acknowledgement with them.
func (p *pacer) sending(n int, now time.Time) (ask bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sent += int64(n)
	if p.sent-p.asked < askEvery {
		return false
	}
	p.asked = p.sent
	p.marks = append(p.marks, mark{p.sent, now})
	return true
}

// took notes that the receiver has taken so many bytes in all. One that claims
// more than was sent breaks the protocol.
func (p *pacer) took(taken int64, now time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if taken > p.sent {
		return invalid("%d bytes acknowledged, %d sent", taken, p.sent)
	}
	if taken <= p.acked {
		return nil
	}
	fresh := taken - p.acked
	used := p.sent - p.acked
	p.acked = taken
	var at time.Time
	for len(p.marks) > 0 && p.marks[0].end <= taken {
		at, p.marks = p.marks[0].at, p.marks[1:]
	}
	if !at.IsZero() {
		p.adjust(now.Sub(at), fresh, used)
	}
	select {
	case p.wake <- struct{}{}:
	default:
	}
	return nil
}

// adjust is called with mu held.
func (p *pacer) adjust(took time.Duration, fresh, used int64) {
	base := p.base.observe(took)
	queued, target := took-base, min(max(base/2, 5*time.Millisecond), 50*time.Millisecond)
	switch {
	case queued <= target:
		if used >= p.limit/2 {
			p.limit += int64(float64(fresh) * float64(target-queued) / float64(target))
		}
	case p.acked > p.cutAt:
		p.limit = int64(float64(p.limit) * max(0.5, float64(target)/float64(queued)))
		p.cutAt = p.sent
	}
	p.limit = min(max(p.limit, minUnacked), maxUnacked)
}

func (p *pacer) taken() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.acked
}
