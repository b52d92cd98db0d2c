package peer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/hashicorp/yamux"
)

// Handler is what the peer's calls mean. Its methods are called by any number
// of goroutines at once, with a context that ends with the session; an error
// refuses the call (see Refusal). They may call the Session, but not its Close.
// What they are given is well formed, and not trusted beyond that.
type Handler interface {
	// OnAnnounce is called for one announcement after the other, never with
	// one that is older than the last of its resource.
	OnAnnounce(ctx context.Context, s *Session, a Announce) error
	// OnPush takes a pack, up to io.EOF. Any other error of pack means that
	// it is cut short. It returns nil when the pack is verified and durable.
	OnPush(ctx context.Context, s *Session, p Push, pack io.Reader) error
	// OnFetch writes a pack to w.
	OnFetch(ctx context.Context, s *Session, f Fetch, w io.Writer) error
	// OnHas tells of each object whether it is here, with all it refers to.
	OnHas(ctx context.Context, s *Session, resource string, ids [][20]byte) ([]bool, error)
	// OnJoin decides by Negotiate, adopts the peer's id if that is the outcome,
	// and tells its own state then.
	OnJoin(ctx context.Context, s *Session, j Join) (Joined, error)
}

// accept serves the peer's calls, a limited number at a time: what is over
// waits in yamux's backlog, and beyond that is reset.
func (s *Session) accept() {
	slots := make(chan struct{}, s.o.Calls)
	for {
		select {
		case slots <- struct{}{}:
		case <-s.ctx.Done():
			return
		}
		st, err := s.mux.AcceptStream()
		if err != nil {
			return // the session has ended
		}
		s.tasks.Go(func() {
			defer func() { <-slots }()
			s.serve(st)
		})
	}
}

// serve answers one call.
func (s *Session) serve(st *yamux.Stream) {
	defer st.Close()
	l := s.newLine(s.ctx, st)
	req, err := s.readRequest(l)
	if err != nil {
		s.o.Log.Debug("call dropped", "err", err)
		return
	}
	body, err := s.dispatch(l, req)
	out := reply{Body: body}
	if err != nil {
		s.o.Log.Debug("call refused", "call", clean(req.Call, 64), "err", err)
		out = reply{Refusal: refusalToWire(refusalOf(err))}
	}
	if err := l.write(appendFrame(nil, frameReply, encode(out))); err != nil {
		s.o.Log.Debug("reply lost", "call", clean(req.Call, 64), "err", err)
	}
}

func (s *Session) readRequest(l *line) (request, error) {
	t, n, err := l.header(s.o.Idle)
	if err != nil {
		return request{}, err
	}
	if t != frameRequest {
		return request{}, invalid("frame %q instead of a request", rune(t))
	}
	data, err := l.body(n) // within the same deadline
	if err != nil {
		return request{}, err
	}
	return decode[request](data, "request")
}

func (s *Session) dispatch(l *line, req request) ([]byte, error) {
	if req.Call == callPing {
		return nil, nil
	}
	if s.o.Handler == nil {
		return nil, &Refusal{Code: Unsupported, Message: "no calls are taken here"}
	}
	switch req.Call {
	case callAnnounce:
		return nil, s.onAnnounce(l, req.Body)
	case callJoin:
		return s.onJoin(l, req.Body)
	case callHas:
		return s.onHas(l, req.Body)
	case callPush:
		return nil, s.onPush(l, req.Body)
	case callFetch:
		return nil, s.onFetch(l, req.Body)
	}
	return nil, &Refusal{Code: Unsupported, Message: fmt.Sprintf("no call %q in protocol %d", clean(req.Call, 64), Protocol)}
}

func (s *Session) onAnnounce(l *line, body []byte) error {
	a, order, err := parseAnnounce(body)
	if err != nil {
		return err
	}
	defer s.showLife(l, nothing)()
	s.announcing.Lock()
	defer s.announcing.Unlock()
	last, known := s.announced[a.Resource]
	if order <= last {
		return nil
	}
	if !known && len(s.announced) >= maxResources {
		return &Refusal{Code: TooLarge, Resource: a.Resource, Message: "too many resources"}
	}
	s.announced[a.Resource] = order
	return s.o.Handler.OnAnnounce(s.ctx, s, a)
}

func (s *Session) onJoin(l *line, body []byte) ([]byte, error) {
	j, err := parseJoin(body)
	if err != nil {
		return nil, err
	}
	defer s.showLife(l, nothing)()
	answer, err := s.o.Handler.OnJoin(s.ctx, s, j)
	if err != nil {
		return nil, err
	}
	return encode(wireJoin{IDs: answer.IDs, Empty: answer.Empty}), nil
}

func (s *Session) onHas(l *line, body []byte) ([]byte, error) {
	resource, ids, err := parseObjects(body)
	if err != nil {
		return nil, err
	}
	defer s.showLife(l, nothing)()
	has, err := s.o.Handler.OnHas(s.ctx, s, resource, ids)
	if err != nil {
		return nil, err
	}
	return encode(hasToWire(has)), nil
}

func (s *Session) onPush(l *line, body []byte) error {
	p, err := parsePack(body, "push")
	if err != nil {
		return err
	}
	r := &payloadReader{l: l, idle: 5 * s.o.Idle}
	t := s.track(Transfer{Resource: p.Resource, Head: p.Head, Incoming: true, Total: p.Size}, r.taken.Load)
	defer s.untrack(t)
	defer s.showLife(l, r.taken.Load)()
	if err := s.o.Handler.OnPush(s.ctx, s, p, r); err != nil {
		return err
	}
	return drained(r)
}

// onFetch sends a pack. Until it returns, a second goroutine hears the peer's
// acknowledgements, or that it has gone.
func (s *Session) onFetch(l *line, body []byte) error {
	p, err := parsePack(body, "fetch")
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancelCause(l.ctx)
	sending := &line{s: s, st: l.st, br: l.br, ctx: ctx}
	pace := newPacer(s.base)
	t := s.track(Transfer{Resource: p.Resource, Head: p.Head}, pace.taken)
	defer s.untrack(t)
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		stop(s.hearAcks(sending, pace))
	}()
	defer func() {
		stop(errReplied)
		sending.interrupt() // ends hearAcks
		<-heard
	}()
	defer s.showLife(sending, nothing)()
	w := newPayloadWriter(sending, pace, nil)
	if err := s.o.Handler.OnFetch(ctx, s, Fetch{Resource: p.Resource, Want: p.Head, Haves: p.Haves}, w); err != nil {
		return err
	}
	return w.end(nil)
}

// hearAcks reads acknowledgements until there are no more.
func (s *Session) hearAcks(l *line, pace *pacer) error {
	for {
		t, n, err := l.header(s.o.Idle)
		switch {
		case err == io.EOF:
			return errors.New("the peer gave up")
		case err != nil:
			return err
		case t != frameAck:
			return invalid("frame %q of %d bytes instead of an acknowledgement", rune(t), n)
		}
		taken, err := readAck(l.br)
		if err == nil {
			err = pace.took(taken, time.Now())
		}
		if err != nil {
			return err
		}
	}
}

func nothing() int64 { return 0 }

// showLife tells the other side now and then that the call goes on, with what
// was taken of its payload, until the returned function is called.
func (s *Session) showLife(l *line, taken func() int64) (end func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(s.o.Idle / 4)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				if l.write(appendAck(nil, taken())) != nil {
					return
				}
			case <-quit:
				return
			case <-l.ctx.Done():
				return
			}
		}
	}()
	return func() { close(quit); <-done }
}
