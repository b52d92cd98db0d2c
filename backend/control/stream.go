package control

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/silvermirror/smfs/backend"
)

// sessionProtocol is what an Upgrade header names.
const sessionProtocol = "smfs-session"

// serveLog streams versions as they are found.
func (s *server) serveLog(w http.ResponseWriter, r *http.Request) {
	serveItems(s, w, r, s.o.API.Log)
}

// serveDiff streams what differs.
func (s *server) serveDiff(w http.ResponseWriter, r *http.Request) {
	serveItems(s, w, r, s.o.API.Diff)
}

// serveFsck streams what a check finds.
func (s *server) serveFsck(w http.ResponseWriter, r *http.Request) {
	serveItems(s, w, r, s.o.API.Fsck)
}

// serveItems runs a call that hands out one item after the other.
func serveItems[In, Item any](s *server, w http.ResponseWriter, r *http.Request, call func(context.Context, In, func(Item) error) error) {
	var in In
	if err := readBody(w, r, &in); err != nil {
		s.fail(w, err)
		return
	}
	flush := flusher(w)
	err := call(r.Context(), in, func(item Item) error {
		data, err := marshal(item)
		if err != nil {
			return err
		}
		if err := writeFrame(w, frameItem, data); err != nil {
			return err
		}
		return flush()
	})
	s.finish(w, none{}, err)
}

// restoreRequest is RestoreOptions and whether the content is wanted.
type restoreRequest struct {
	backend.RestoreOptions
	Stream bool `json:"stream"`
}

// serveRestore restores, and streams the content if asked.
func (s *server) serveRestore(w http.ResponseWriter, r *http.Request) {
	var o restoreRequest
	if err := readBody(w, r, &o); err != nil {
		s.fail(w, err)
		return
	}
	var to io.Writer
	if o.Stream {
		to = &dataWriter{w: w, flush: flusher(w)}
	}
	out, err := s.o.API.Restore(r.Context(), o.RestoreOptions, to)
	s.finish(w, out, err)
}

// finish ends a stream of frames. Where writing fails the client is gone.
func (s *server) finish(w io.Writer, result any, err error) {
	kind, data := byte(frameEnd), []byte(nil)
	if err == nil {
		data, err = marshal(result)
	}
	if err != nil {
		kind = frameFailure
		data, _ = s.failure(err)
	}
	if err := writeFrame(w, kind, data); err != nil {
		s.log().Debug("control reply", "err", err)
	}
}

func flusher(w http.ResponseWriter) func() error {
	return http.NewResponseController(w).Flush
}

// serveSession switches the connection to a raw stream and runs the engine's
// side of a session over it.
func (s *server) serveSession(w http.ResponseWriter, r *http.Request) {
	if s.o.Session == nil {
		s.fail(w, fmt.Errorf("open a session: %w", backend.ErrRefused))
		return
	}
	if r.Header.Get("Upgrade") != sessionProtocol {
		s.fail(w, fmt.Errorf("session without Upgrade: %s: %w", sessionProtocol, backend.ErrInvalid))
		return
	}
	s.sessions.Add(1)
	defer s.sessions.Done()
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		s.fail(w, fmt.Errorf("hijack the connection: %w", err))
		return
	}
	defer conn.Close()
	const head = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " + sessionProtocol + "\r\n\r\n"
	if _, err := io.WriteString(conn, head); err != nil {
		s.log().Debug("control session", "err", err)
		return
	}
	stop := context.AfterFunc(s.ctx, func() { conn.Close() })
	defer stop()
	if err := s.o.Session(s.ctx, &rawStream{conn.(*net.UnixConn), buffered.Reader}); err != nil {
		s.log().Info("session ended", "err", err)
	}
}

// rawStream is a connection whose first bytes were read ahead. CloseWrite ends
// one direction, as the end of a pipe does.
type rawStream struct {
	*net.UnixConn
	ahead *bufio.Reader
}

func (s *rawStream) Read(p []byte) (int, error) { return s.ahead.Read(p) }

// WriteTo and ReadFrom of the embedded connection would go around Read.
func (s *rawStream) WriteTo(w io.Writer) (int64, error) { return s.ahead.WriteTo(w) }
