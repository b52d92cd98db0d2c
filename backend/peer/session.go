package peer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/yamux"
)

var (
	// ErrClosed is the end of a session by Close or Abort of this side.
	ErrClosed = errors.New("session is closed")
	// ErrPeerClosed is the end of a session by the other side, or by whatever
	// carried it.
	ErrPeerClosed = errors.New("the peer ended the session")
	// ErrSilent is the end of a session whose peer was not heard for too long.
	ErrSilent = errors.New("the peer went silent")
	// ErrTimeout is a call, or the opening of a session, that the peer did
	// not keep going.
	ErrTimeout = errors.New("the peer did not answer in time")
)

// Options of a session. Zero durations and numbers get their defaults.
type Options struct {
	Initiator bool // exactly one of the two sides: the one that dialed
	Hello     Hello
	Handler   Handler
	Log       *slog.Logger // nil: discarded

	Greeting time.Duration // for the preambles and Hellos; default 30 s
	Ping     time.Duration // after so long without a word, ask for one; default 10 s
	Silence  time.Duration // after so long without a word, give up; default 30 s
	Idle     time.Duration // a call without progress; default 60 s, five times that for a payload
	Calls    int           // incoming calls at a time, more wait; default 48
}

func (o Options) withDefaults() Options {
	set := func(d *time.Duration, def time.Duration) {
		if *d <= 0 {
			*d = def
		}
	}
	set(&o.Greeting, 30*time.Second)
	set(&o.Ping, 10*time.Second)
	set(&o.Silence, 30*time.Second)
	set(&o.Idle, time.Minute)
	if o.Calls <= 0 {
		o.Calls = 48
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

const (
	smallCalls = 24 // outgoing ones at a time; with bulkCalls below the peer's Options.Calls
	bulkCalls  = 4
)

// Session is one connection to a peer. Its methods may be called by any number
// of goroutines at once.
type Session struct {
	o    Options
	conn *watched
	mux  *yamux.Session

	ctx   context.Context // of incoming calls; ends with the session
	stop  context.CancelCauseFunc
	tasks sync.WaitGroup // all goroutines of this package's own

	hello       Hello         // the peer's
	small, bulk chan struct{} // slots of outgoing calls
	base        *roundTrip
	order       atomic.Uint64 // of the last announcement sent
	pinging     atomic.Bool

	announcing sync.Mutex        // held while the handler takes an announcement
	announced  map[string]uint64 // by resource: the newest one taken

	mu        sync.Mutex // guards what follows; taken last
	transfers map[*transfer]struct{}
}

// Open greets the peer on conn and begins a session, which owns conn from then
// on. It closes conn if it fails. ctx limits the greeting alone. The error is a
// *GreetingError if what answers is no peer.
func Open(ctx context.Context, conn io.ReadWriteCloser, o Options) (*Session, error) {
	o = o.withDefaults()
	c := watch(conn)
	hello, err := greet(ctx, c, o)
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("greet the peer: %w", err)
	}
	mux, err := startMux(c, o)
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("start the session: %w", err)
	}
	s := &Session{
		o: o, conn: c, mux: mux, hello: hello,
		small: make(chan struct{}, smallCalls), bulk: make(chan struct{}, bulkCalls),
		base: &roundTrip{}, announced: map[string]uint64{}, transfers: map[*transfer]struct{}{},
	}
	s.ctx, s.stop = context.WithCancelCause(context.Background())
	s.tasks.Go(s.accept)
	s.tasks.Go(s.keepAlive)
	s.tasks.Go(s.watchEnd)
	return s, nil
}

func startMux(c *watched, o Options) (*yamux.Session, error) {
	c.inSession = true
	conf := &yamux.Config{
		AcceptBacklog:          256,
		KeepAliveInterval:      o.Ping, // checked, not used
		ConnectionWriteTimeout: 2 * o.Silence,
		MaxStreamWindowSize:    maxUnacked,
		StreamCloseTimeout:     o.Idle,
		Logger:                 muxLog{o.Log},
	}
	if o.Initiator {
		return yamux.Client(c, conf)
	}
	return yamux.Server(c, conf)
}

// keepAlive asks for a sign of life when nothing arrives, and ends the session
// when none comes. Anything that arrives counts: on a slow link the answer to a
// ping waits behind a payload, but the payload's acknowledgements do not.
func (s *Session) keepAlive() {
	tick := time.NewTicker(s.o.Ping / 2)
	defer tick.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-tick.C:
		}
		switch quiet := s.conn.silence(); {
		case quiet >= s.o.Silence:
			s.fail(ErrSilent)
			return
		case quiet >= s.o.Ping && s.pinging.CompareAndSwap(false, true):
			s.tasks.Go(func() {
				defer s.pinging.Store(false)
				s.mux.Ping() // the answer is noticed by its arrival
			})
		}
	}
}

// watchEnd ends the session when its stream does.
func (s *Session) watchEnd() {
	select {
	case <-s.ctx.Done():
	case <-s.mux.CloseChan():
		s.mux.Close() // returns when all of yamux has ended
		if s.conn.ending != nil {
			s.fail(s.conn.ending)
		}
		s.fail(s.muxError())
	}
	s.mux.Close()
	s.conn.Close()
}

// muxError is why yamux ended, which it tells to those who accept.
func (s *Session) muxError() error {
	for {
		switch _, err := s.mux.AcceptStream(); err {
		case nil:
		case io.EOF, yamux.ErrSessionShutdown:
			return ErrPeerClosed
		default:
			return fmt.Errorf("%w: %w", ErrPeerClosed, err)
		}
	}
}

// fail ends the session; the first cause stays.
func (s *Session) fail(cause error) { s.stop(cause) }

// Abort ends the session with a cause that Err tells, without waiting. A
// Handler may call it.
func (s *Session) Abort(cause error) {
	if cause == nil {
		cause = ErrClosed
	}
	s.fail(cause)
}

// Close ends the session and returns when all its goroutines have ended and no
// call to the Handler is under way: a Handler must not call it. Idempotent.
func (s *Session) Close() error {
	s.fail(ErrClosed)
	s.tasks.Wait()
	return nil
}

// Done is closed when the session has ended. Calls to the Handler may still be
// under way, with their context ended.
func (s *Session) Done() <-chan struct{} { return s.ctx.Done() }

// Err is nil until the session ends, then why.
func (s *Session) Err() error { return context.Cause(s.ctx) }

// PeerHello is what the peer said of itself.
func (s *Session) PeerHello() Hello { return s.hello }
