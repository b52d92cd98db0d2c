package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/silvermirror/smfs/backend"
)

// ErrMounted refuses a handover: the engine serves a mount.
var ErrMounted = errors.New("already mounted")

// endGrace is how long requests in flight get to notice that the engine ends.
const endGrace = 5 * time.Second

// Hello is who answers at a socket.
type Hello struct {
	Version string `json:"version"`
	PID     int    `json:"pid"`
	Mirror  string `json:"mirror"` // the mirror's id
	Base    string `json:"base"`   // its base directory
	Mounted bool   `json:"mounted"`
	Config  string `json:"config,omitempty"` // the config file where it is not the mirror's own, absolute
}

// ShutdownOptions say why and how an engine is asked to end.
type ShutdownOptions struct {
	// Handover: another process wants to take the mirror. An engine that
	// serves a mount refuses with ErrMounted.
	Handover bool `json:"handover"`
	// Lazy detaches a mount that is in use instead of refusing.
	Lazy bool `json:"lazy"`
}

// Ended is how an engine ends that was asked to.
type Ended struct {
	Uncommitted error // names what stays journaled for the next engine; nil: nothing
}

// Options are the engine behind a server. API and Hello are needed, a nil
// Session or Shutdown refuses the call.
type Options struct {
	API   backend.API
	Hello Hello

	// Session runs a peer's protocol over a raw stream until either side ends
	// it. Its context ends with the engine. The server closes the stream.
	Session func(ctx context.Context, stream io.ReadWriteCloser) error
	// Shutdown unmounts and commits what is journaled. Serve returns after it
	// succeeded; after a failure the engine goes on.
	Shutdown func(ctx context.Context, o ShutdownOptions) (Ended, error)

	// Idle, if not 0, ends Serve when no call and no session was active for
	// that long, and Busy (which may be nil) says no.
	Idle time.Duration
	Busy func() bool

	Log *slog.Logger
}

// Serve answers on l until ctx ends, a client's shutdown succeeded, or the
// engine was idle for o.Idle; these are no errors. It closes l, and returns
// when every call and session has ended.
func Serve(ctx context.Context, l net.Listener, o Options) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &server{o: o, ctx: ctx, activity: newActivity(), ended: make(chan struct{})}
	web := &http.Server{
		Handler:           s.routes(),
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          slog.NewLogLogger(s.log().Handler(), slog.LevelWarn),
	}
	failed := make(chan error, 1)
	go func() { failed <- web.Serve(l) }()
	idle := make(chan struct{})
	var waits sync.WaitGroup
	if o.Idle > 0 {
		waits.Go(func() {
			if s.activity.waitIdle(ctx, o.Idle, o.Busy) {
				close(idle)
			}
		})
	}

	var err error
	select {
	case <-ctx.Done():
	case <-s.ended:
	case <-idle:
	case err = <-failed:
		err = fmt.Errorf("serve the control socket: %w", err)
	}
	s.activity.close()
	cancel() // calls and sessions notice
	grace, stop := context.WithTimeout(context.Background(), endGrace)
	defer stop()
	if web.Shutdown(grace) != nil {
		web.Close()
	}
	s.sessions.Wait()
	waits.Wait()
	return err
}

type server struct {
	o        Options
	ctx      context.Context // ends with Serve
	activity *activity
	sessions sync.WaitGroup

	endOnce sync.Once
	ended   chan struct{} // closed when a client's shutdown succeeded
}

func (s *server) log() *slog.Logger {
	if s.o.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return s.o.Log
}

func (s *server) routes() http.Handler {
	api := s.o.API
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/hello", s.counted(func(w http.ResponseWriter, r *http.Request) {
		s.reply(w, s.o.Hello, nil)
	}))
	handle(s, mux, "status", func(ctx context.Context, _ none) (*backend.Status, error) { return api.Status(ctx) })
	handle(s, mux, "wait", func(ctx context.Context, o backend.WaitOptions) (none, error) { return none{}, api.Wait(ctx, o) })
	handle(s, mux, "sync", api.Sync)
	handle(s, mux, "commit", api.Commit)
	handle(s, mux, "undo", api.Undo)
	handle(s, mux, "peer-add", api.AddPeer)
	handle(s, mux, "peer-remove", func(ctx context.Context, n named) (none, error) { return none{}, api.RemovePeer(ctx, n.Name) })
	handle(s, mux, "peers", func(ctx context.Context, _ none) ([]backend.PeerStatus, error) { return api.Peers(ctx) })
	handle(s, mux, "conflicts", func(ctx context.Context, _ none) ([]backend.Conflict, error) { return api.Conflicts(ctx) })
	handle(s, mux, "tag", func(ctx context.Context, o backend.TagOptions) (none, error) { return none{}, api.Tag(ctx, o) })
	handle(s, mux, "tags", func(ctx context.Context, p paths) ([]backend.TagList, error) { return api.Tags(ctx, p.Paths) })
	mux.HandleFunc("POST /v1/log", s.counted(s.serveLog))
	mux.HandleFunc("POST /v1/diff", s.counted(s.serveDiff))
	mux.HandleFunc("POST /v1/fsck", s.counted(s.serveFsck))
	mux.HandleFunc("POST /v1/restore", s.counted(s.serveRestore))
	mux.HandleFunc("POST /v1/session", s.counted(s.serveSession))
	mux.HandleFunc("POST /v1/shutdown", s.counted(s.serveShutdown))
	return mux
}

// Bodies of calls that take or return no struct of the API's.
type (
	none  struct{}
	named struct {
		Name string `json:"name"`
	}
	paths struct {
		Paths []string `json:"paths"`
	}
)

// maxBody bounds a request: enough for the paths of a very long command line.
const maxBody = 16 << 20

// handle routes one call that has one answer.
func handle[In, Out any](s *server, mux *http.ServeMux, name string, fn func(context.Context, In) (Out, error)) {
	mux.HandleFunc("POST /v1/"+name, s.counted(func(w http.ResponseWriter, r *http.Request) {
		var in In
		if err := readBody(w, r, &in); err != nil {
			s.fail(w, err)
			return
		}
		out, err := fn(r.Context(), in)
		s.reply(w, out, err)
	}))
}

// counted keeps the engine from being idle during a call, and refuses calls to
// one that is ending.
func (s *server) counted(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !s.activity.begin() {
			s.fail(w, backend.ErrClosing)
			return
		}
		defer s.activity.end()
		h(w, r)
	}
}

func readBody(w http.ResponseWriter, r *http.Request, v any) error {
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return fmt.Errorf("read request: %w: %w", err, backend.ErrInvalid)
	}
	if err := unmarshal(data, v); err != nil {
		return fmt.Errorf("%w: %w", err, backend.ErrInvalid)
	}
	return nil
}

func (s *server) reply(w http.ResponseWriter, v any, err error) {
	if err != nil {
		s.fail(w, err)
		return
	}
	data, err := marshal(v)
	if err != nil {
		s.fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if _, err := w.Write(data); err != nil {
		s.log().Debug("control reply", "err", err)
	}
}

func (s *server) fail(w http.ResponseWriter, err error) {
	data, status := s.failure(err)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if _, err := w.Write(data); err != nil {
		s.log().Debug("control reply", "err", err)
	}
}

// failure encodes err. What was cancelled because the engine ends says so.
func (s *server) failure(err error) ([]byte, int) {
	if s.ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = backend.ErrClosing
	}
	f, status := encodeFailure(err)
	data, err := marshal(f)
	if err != nil { // a struct of strings always encodes
		panic(err)
	}
	return data, status
}

func (s *server) serveShutdown(w http.ResponseWriter, r *http.Request) {
	var o ShutdownOptions
	if err := readBody(w, r, &o); err != nil {
		s.fail(w, err)
		return
	}
	if s.o.Shutdown == nil {
		s.fail(w, fmt.Errorf("shut down: %w", backend.ErrRefused))
		return
	}
	end, err := s.o.Shutdown(r.Context(), o)
	if err != nil {
		s.fail(w, err)
		return
	}
	s.reply(w, encodeEnded(end), nil)
	s.endOnce.Do(func() { close(s.ended) })
}
