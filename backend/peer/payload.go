package peer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

// ErrTruncated says that a payload ended before its end.
var ErrTruncated = errors.New("payload is cut short")

// AbortError says that the sender gave up on a payload.
type AbortError struct{ Reason string } // escaped

func (e *AbortError) Error() string { return "the sender gave up: " + e.Reason }

// payloadWriter sends a payload as frames. What was put into buf before the
// first Write goes out with the first piece.
type payloadWriter struct {
	l    *line
	pace *pacer
	buf  []byte // frames to be sent, the last one open
	open int    // where the header of the open frame is; -1 if none is open
	err  error  // of an earlier write: all later ones fail
}

func newPayloadWriter(l *line, pace *pacer, first []byte) *payloadWriter {
	return &payloadWriter{l: l, pace: pace, buf: first, open: -1}
}

func (w *payloadWriter) Write(p []byte) (n int, err error) {
	for len(p) > 0 && w.err == nil {
		if w.open < 0 {
			w.open = len(w.buf)
			w.buf = appendHeader(w.buf, frameData, 0)
		}
		k := min(len(p), pieceSize-w.size())
		w.buf = append(w.buf, p[:k]...)
		if p, n = p[k:], n+k; w.size() == pieceSize {
			w.flush(nil)
		}
	}
	return n, w.err
}

// size is that of the open frame's body.
func (w *payloadWriter) size() int { return len(w.buf) - w.open - frameHeader }

// end sends what is left and the end of the payload, or that it will not be
// completed.
func (w *payloadWriter) end(err error) error {
	if err == nil {
		return w.flush(appendHeader(nil, frameEnd, 0))
	}
	reason := clean(err.Error(), maxText)
	return w.flush(appendFrame(nil, frameAbort, []byte(reason[:min(len(reason), maxAbort)])))
}

func (w *payloadWriter) flush(last []byte) error {
	if w.err != nil {
		return w.err
	}
	if w.open >= 0 {
		if w.err = w.pace.wait(w.l.ctx); w.err != nil {
			w.err = w.l.why(w.err)
			return w.err
		}
		n := w.size()
		if w.pace.sending(n, time.Now()) {
			w.buf[w.open] = byte(frameDataAsk)
		}
		binary.BigEndian.PutUint32(w.buf[w.open+1:], uint32(n))
	}
	w.err = w.l.write(append(w.buf, last...))
	w.buf, w.open = w.buf[:0], -1
	return w.err
}

// payloadReader is a payload as it arrives: io.EOF comes after its end only.
// It is used by one goroutine.
type payloadReader struct {
	l     *line
	idle  time.Duration
	left  int  // of the frame under way
	ask   bool // its sender wants an acknowledgement when it is taken
	taken atomic.Int64
	other func(t frameType, n int) error // what else may come instead of data
	err   error
}

func (r *payloadReader) Read(p []byte) (int, error) {
	for r.left == 0 && r.err == nil {
		r.err = r.next()
	}
	if r.err != nil || len(p) == 0 {
		return 0, r.err
	}
	n, err := r.l.br.Read(p[:min(len(p), r.left)])
	r.left -= n
	r.taken.Add(int64(n))
	if err != nil {
		r.err = cut(r.l.why(err))
		return n, r.err
	}
	if r.left == 0 && r.ask {
		r.err = r.acknowledge()
	}
	return n, nil
}

// next reads frames up to the next one with data.
func (r *payloadReader) next() error {
	t, n, err := r.l.header(r.idle)
	if err != nil {
		return cut(err)
	}
	switch t {
	case frameData, frameDataAsk:
		r.left, r.ask = n, t == frameDataAsk
		return nil
	case frameEnd:
		return io.EOF
	case frameAck:
		_, err := readAck(r.l.br)
		return r.l.why(err)
	case frameAbort:
		reason, err := r.l.body(n)
		if err != nil {
			return cut(err)
		}
		return &AbortError{clean(string(reason), maxText)}
	}
	if r.other != nil {
		return r.other(t, n)
	}
	return invalid("frame %q within a payload", rune(t))
}

// acknowledge tells the sender how much was taken so far.
func (r *payloadReader) acknowledge() error {
	return r.l.write(appendAck(nil, r.taken.Load()))
}

// cut makes of an end within a payload what it is.
func cut(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return fmt.Errorf("%w: %w", ErrTruncated, io.ErrUnexpectedEOF)
	}
	return err
}
