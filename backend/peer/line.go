package peer

import (
	"bufio"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/yamux"
)

// line is one call's stream: frames both ways. One goroutine may read while
// others write.
type line struct {
	s   *Session
	st  *yamux.Stream
	br  *bufio.Reader
	ctx context.Context

	deadline sync.Mutex // serialises the setting of deadlines with interrupt
}

func (s *Session) newLine(ctx context.Context, st *yamux.Stream) *line {
	return &line{s: s, st: st, br: bufio.NewReaderSize(st, 16<<10), ctx: ctx}
}

var past = time.Unix(1, 0)

// interrupt ends reads and writes under way, and those to come.
func (l *line) interrupt() {
	l.deadline.Lock()
	defer l.deadline.Unlock()
	l.st.SetDeadline(past)
}

// idle lets the reads that follow wait for so long. It does nothing once ctx
// has ended.
func (l *line) idle(d time.Duration) {
	l.deadline.Lock()
	defer l.deadline.Unlock()
	if l.ctx.Err() == nil {
		l.st.SetReadDeadline(time.Now().Add(d))
	}
}

// header reads a frame's header, waiting for at most d.
func (l *line) header(d time.Duration) (frameType, int, error) {
	l.idle(d)
	t, n, err := readHeader(l.br)
	return t, n, l.why(err)
}

func (l *line) body(n int) ([]byte, error) {
	b, err := readBody(l.br, n)
	return b, l.why(err)
}

// write sends whole frames. Frames of several goroutines do not mix.
func (l *line) write(frames []byte) error {
	l.deadline.Lock()
	if l.ctx.Err() == nil {
		l.st.SetWriteDeadline(time.Now().Add(5 * l.s.o.Idle))
	}
	l.deadline.Unlock()
	_, err := l.st.Write(frames)
	return l.why(err)
}

// why finds the cause of a failure: the end of the context or of the session
// before what the stream says.
func (l *line) why(err error) error {
	if err == nil {
		return nil
	}
	if cause := context.Cause(l.ctx); cause != nil {
		return cause
	}
	if l.s.mux.IsClosed() {
		<-l.s.Done() // will be told soon
	}
	if cause := l.s.Err(); cause != nil {
		return cause
	}
	switch {
	case errors.Is(err, yamux.ErrTimeout):
		return ErrTimeout
	case errors.Is(err, yamux.ErrConnectionWriteTimeout):
		l.s.fail(ErrTimeout)
		return ErrTimeout
	}
	return err
}
