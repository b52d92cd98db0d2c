package control

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// A streamed reply is a sequence of frames: a kind (1 byte), a length (4
// bytes, big endian), and that many bytes. It ends with exactly one frameEnd
// or frameFailure.
const (
	frameItem    = 'i' // JSON: one value
	frameData    = 'd' // raw bytes
	frameEnd     = 'e' // JSON: the result
	frameFailure = 'f' // JSON: a failure

	maxFrame    = 1 << 20
	frameHeader = 5
)

// ErrCutOff says that the engine, which had answered before, went away.
var ErrCutOff = errors.New("the engine went away")

func writeFrame(w io.Writer, kind byte, payload []byte) error {
	if len(payload) > maxFrame {
		return fmt.Errorf("frame of %d bytes: larger than %d", len(payload), maxFrame)
	}
	b := make([]byte, frameHeader, frameHeader+len(payload))
	b[0] = kind
	binary.BigEndian.PutUint32(b[1:], uint32(len(payload)))
	_, err := w.Write(append(b, payload...))
	return err
}

// readFrame reads one frame. The payload is valid until the next call with the
// same buffer. An end of input, wherever it comes, is ErrCutOff.
func readFrame(r io.Reader, buf []byte) (kind byte, payload []byte, err error) {
	var h [frameHeader]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return 0, nil, cutOff(err)
	}
	n := binary.BigEndian.Uint32(h[1:])
	if n > maxFrame {
		return 0, nil, fmt.Errorf("frame of %d bytes: larger than %d", n, maxFrame)
	}
	if cap(buf) < int(n) {
		buf = make([]byte, n)
	}
	payload = buf[:n]
	if _, err := io.ReadFull(r, payload); err != nil {
		return 0, nil, cutOff(err)
	}
	return h[0], payload, nil
}

func cutOff(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return ErrCutOff
	}
	return err
}

// dataWriter writes its input as frameData frames.
type dataWriter struct {
	w     io.Writer
	flush func() error
}

func (d *dataWriter) Write(p []byte) (int, error) {
	total := 0
	for len(p) > 0 {
		n := min(len(p), maxFrame)
		if err := writeFrame(d.w, frameData, p[:n]); err != nil {
			return total, err
		}
		total, p = total+n, p[n:]
	}
	return total, d.flush()
}
