package tree

import (
	"bytes"
	"fmt"

	"golang.org/x/sys/unix"
)

// holeSize is what a piece of zeros must have at least to be left out of a file:
// one that is sparse at its writer's is not to fill the disk here.
const holeSize = 4 << 10

var zeros [64 << 10]byte

// HoleWriter appends to a new file and leaves holes where long runs of zeros are.
// It is for one goroutine, and does not close the file.
type HoleWriter struct {
	fd   int
	hole int64 // bytes of zeros at the end that are not written
}

// NewHoleWriter writes to a file by its descriptor, from where that stands.
func NewHoleWriter(fd int) *HoleWriter { return &HoleWriter{fd: fd} }

func (w *HoleWriter) Write(p []byte) (int, error) {
	for done := 0; done < len(p); {
		n := w.zeros(p[done:])
		w.hole += int64(n)
		done += n
		if n = w.data(p[done:]); n == 0 {
			continue
		}
		if err := w.put(p[done : done+n]); err != nil {
			return done, err
		}
		done += n
	}
	return len(p), nil
}

// zeros is how many bytes p begins with that are a hole.
func (w *HoleWriter) zeros(p []byte) (n int) {
	for {
		piece := p[n:min(len(p), n+len(zeros))]
		if len(piece) < holeSize || !bytes.Equal(piece, zeros[:len(piece)]) {
			return n
		}
		n += len(piece)
	}
}

// data is how many bytes p begins with that are none.
func (w *HoleWriter) data(p []byte) (n int) {
	for n < len(p) && w.zeros(p[n:]) == 0 {
		n = min(len(p), n+len(zeros))
	}
	return n
}

func (w *HoleWriter) put(p []byte) error {
	if w.hole > 0 {
		if _, err := unix.Seek(w.fd, w.hole, unix.SEEK_CUR); err != nil {
			return fmt.Errorf("leave a hole: %w", err)
		}
		w.hole = 0
	}
	for len(p) > 0 {
		n, err := unix.Write(w.fd, p)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("write: %w", err)
		}
		p = p[n:]
	}
	return nil
}

// End gives the file its size where it ends with a hole.
func (w *HoleWriter) End() error {
	if w.hole == 0 {
		return nil
	}
	at, err := unix.Seek(w.fd, 0, unix.SEEK_CUR)
	if err == nil {
		err = unix.Ftruncate(w.fd, at+w.hole)
	}
	if err != nil {
		return fmt.Errorf("end with a hole: %w", err)
	}
	return nil
}
