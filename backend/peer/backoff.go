package peer

import "time"

// Backoff tells how long to wait before the next attempt: a time that doubles
// with every failure, of which a random part between a half and the whole is
// taken, so that many nodes do not come back at once. The zero value is ready:
// from 0.5 s up to a minute. It knows no clock. Not for concurrent use.
type Backoff struct {
	Min, Max time.Duration
	Random   func() float64 // in [0, 1); nil: always the whole time

	failures int
}

// Next notes a failure and returns how long to wait.
func (b *Backoff) Next() time.Duration {
	least, most := b.Min, b.Max
	if least <= 0 {
		least = 500 * time.Millisecond
	}
	if most <= 0 {
		most = time.Minute
	}
	d := least
	for i := 0; i < b.failures && d < most; i++ {
		d *= 2
	}
	d = min(d, most)
	b.failures++
	if b.Random == nil {
		return d
	}
	return d/2 + time.Duration(b.Random()*float64(d/2))
}

// Reset notes a success.
func (b *Backoff) Reset() { b.failures = 0 }
