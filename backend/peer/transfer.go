package peer

import (
	"slices"
	"time"
)

// transfer is a payload under way, as the session keeps it.
type transfer struct {
	Transfer
	taken func() int64
}

func (s *Session) track(t Transfer, taken func() int64) *transfer {
	t.Started = time.Now()
	tr := &transfer{Transfer: t, taken: taken}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.transfers[tr] = struct{}{}
	return tr
}

func (s *Session) untrack(t *transfer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.transfers, t)
}

// Transfers are the payloads under way in both directions, the oldest first.
func (s *Session) Transfers() []Transfer {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Transfer, 0, len(s.transfers))
	for t := range s.transfers {
		now := t.Transfer
		now.Bytes = t.taken()
		out = append(out, now)
	}
	slices.SortFunc(out, func(a, b Transfer) int { return a.Started.Compare(b.Started) })
	return out
}
