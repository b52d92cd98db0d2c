package peer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// errReplied ends what is left of a call's payload when its reply has come.
var errReplied = errors.New("the peer has replied already")

// Ping returns the time of a round trip through the peer's session.
func (s *Session) Ping(ctx context.Context) (time.Duration, error) {
	start := time.Now()
	_, err := s.ask(ctx, callPing, nil)
	took := time.Since(start)
	if err == nil {
		s.base.observe(took)
	}
	return took, err
}

// Announce tells the peer what is applied here. An announcement that arrives
// after a later one of the same resource is dropped there.
func (s *Session) Announce(ctx context.Context, a Announce) error {
	w := wireAnnounce{Order: s.order.Add(1), Resource: a.Resource, Head: wireID(a.Head), Cover: coverToWire(a.Cover), Waiting: a.Waiting}
	_, err := s.ask(ctx, callAnnounce, encode(w))
	return err
}

// Join asks the peer to share a resource, with the state of this side. If the
// peer is to adopt this side's id it has done so when Join returns; if this
// side is to adopt, it does so after checking that Negotiate still says so.
// Where both hold files and share no id the error is a Refusal with NotShared.
func (s *Session) Join(ctx context.Context, j Join) (Joined, error) {
	body, err := s.ask(ctx, callJoin, encode(wireJoin(j)))
	if err != nil {
		return Joined{}, err
	}
	return parseJoined(body)
}

// Has asks which of these objects of a resource the peer has, with all that they
// refer to.
func (s *Session) Has(ctx context.Context, resource string, ids [][20]byte) ([]bool, error) {
	var all []bool
	for part := range slices.Chunk(ids, maxObjects) {
		body, err := s.ask(ctx, callHas, encode(objectsToWire(resource, part)))
		if err != nil {
			return nil, err
		}
		has, err := parseHas(body, len(part))
		if err != nil {
			return nil, err
		}
		all = append(all, has...)
	}
	return all, nil
}

// Push sends a pack, which write produces, and returns when the peer has
// verified and stored it. An error of write is returned as it is; a refusal is
// a *Refusal, and may end write before its time by an error of its writer.
func (s *Session) Push(ctx context.Context, p Push, write func(io.Writer) error) error {
	err := s.call(ctx, s.bulk, func(l *line) error {
		pace := newPacer(s.base)
		t := s.track(Transfer{Resource: p.Resource, Head: p.Head, Total: p.Size}, pace.taken)
		defer s.untrack(t)
		return s.sendPack(l, pace, requestFrame(callPush, encode(packToWire(p.Resource, p.Head, p.Haves, p.Size))), write)
	})
	if err != nil {
		return fmt.Errorf("push %s: %w", p.Resource, err)
	}
	return nil
}

// sendPack sends a request and its payload, and waits for the reply.
func (s *Session) sendPack(l *line, pace *pacer, first []byte, write func(io.Writer) error) error {
	ctx, stop := context.WithCancelCause(l.ctx)
	defer stop(nil)
	l.ctx = ctx
	replied := make(chan error, 1)
	go func() {
		_, err := s.awaitReply(l, pace)
		stop(errReplied) // what is left of the payload is of no use any more
		l.interrupt()
		replied <- err
	}()
	w := newPayloadWriter(l, pace, first)
	failed := write(w)
	source := failed != nil && w.err == nil
	sent := w.end(failed)
	if source {
		stop(failed)
		l.interrupt()
		<-replied
		return failed
	}
	err := <-replied
	if err == nil && (failed != nil || sent != nil) {
		return invalid("reply before the end of the payload")
	}
	return err
}

// Fetch asks for a pack and hands it to read as it arrives. It succeeds only if
// read does, and has taken all of it.
func (s *Session) Fetch(ctx context.Context, f Fetch, read func(io.Reader) error) error {
	err := s.call(ctx, s.bulk, func(l *line) error {
		r := &payloadReader{l: l, idle: s.o.Idle, other: func(t frameType, n int) error { return refusedBy(l, t, n) }}
		t := s.track(Transfer{Resource: f.Resource, Head: f.Want, Incoming: true}, r.taken.Load)
		defer s.untrack(t)
		if err := l.write(requestFrame(callFetch, encode(packToWire(f.Resource, f.Want, f.Haves, 0)))); err != nil {
			return err
		}
		defer s.showLife(l, r.taken.Load)()
		if err := read(r); err != nil {
			return err
		}
		if err := drained(r); err != nil {
			return err
		}
		_, err := s.awaitReply(l, nil)
		return err
	})
	if err != nil {
		return fmt.Errorf("fetch %s: %w", f.Resource, err)
	}
	return nil
}

// refusedBy reads a reply that comes in place of a payload.
func refusedBy(l *line, t frameType, n int) error {
	if t != frameReply {
		return invalid("frame %q within a payload", rune(t))
	}
	_, err := readReply(l, n)
	if err == nil {
		return invalid("reply before the end of the payload")
	}
	return err
}

// drained checks that a payload was taken whole.
func drained(r *payloadReader) error {
	var b [1]byte
	switch n, err := r.Read(b[:]); {
	case n > 0:
		return invalid("more in the payload than was expected")
	case err != io.EOF:
		return err
	}
	return nil
}

// ask makes a call without a payload and returns the body of its reply.
func (s *Session) ask(ctx context.Context, call string, body []byte) (answer []byte, err error) {
	err = s.call(ctx, s.small, func(l *line) error {
		if err := l.write(requestFrame(call, body)); err != nil {
			return err
		}
		answer, err = s.awaitReply(l, nil)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", call, err)
	}
	return answer, nil
}

// call runs f with a stream of its own, within a number of such calls.
func (s *Session) call(ctx context.Context, slots chan struct{}, f func(*line) error) error {
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-s.ctx.Done():
		return s.Err()
	}
	st, err := s.mux.OpenStream()
	if err != nil {
		if cause := s.Err(); cause != nil {
			return cause
		}
		return fmt.Errorf("open a stream: %w", err)
	}
	defer st.Close()
	l := s.newLine(ctx, st)
	stop := context.AfterFunc(ctx, l.interrupt)
	defer stop()
	return f(l)
}

// awaitReply reads acknowledgements, then the reply. A peer from which nothing
// comes within the idle time is given up, and the session with it.
func (s *Session) awaitReply(l *line, pace *pacer) ([]byte, error) {
	for {
		t, n, err := l.header(s.o.Idle)
		if err != nil {
			if errors.Is(err, ErrTimeout) {
				s.fail(ErrTimeout)
			}
			return nil, unexpected(err)
		}
		switch t {
		case frameReply:
			return readReply(l, n)
		case frameAck:
			taken, err := readAck(l.br)
			if err == nil && pace != nil {
				err = pace.took(taken, time.Now())
			}
			if err != nil {
				return nil, l.why(err)
			}
		default:
			return nil, invalid("frame %q instead of a reply", rune(t))
		}
	}
}

func readReply(l *line, n int) ([]byte, error) {
	data, err := l.body(n)
	if err != nil {
		return nil, err
	}
	r, err := decode[reply](data, "reply")
	if err != nil {
		return nil, err
	}
	if r.Refusal != nil {
		return nil, refusalFromWire(r.Refusal)
	}
	return r.Body, nil
}

func requestFrame(call string, body []byte) []byte {
	return appendFrame(nil, frameRequest, encode(request{Call: call, Body: body}))
}
