package peer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// ErrProtocol says that the peer does not keep to the protocol.
var ErrProtocol = errors.New("peer breaks the protocol")

type frameType byte

const (
	frameHello   frameType = 'H'
	frameRequest frameType = 'Q'
	frameReply   frameType = 'R'
	frameData    frameType = 'd'
	frameDataAsk frameType = 'D'
	frameEnd     frameType = 'E'
	frameAbort   frameType = 'X'
	frameAck     frameType = 'A'
)

const (
	frameHeader = 5
	maxMessage  = 4 << 20
	maxData     = 64 << 10
	maxAbort    = 4 << 10
)

// limit is the largest body of a frame of the type, -1 for an unknown type.
func (t frameType) limit() int64 {
	switch t {
	case frameHello, frameRequest, frameReply:
		return maxMessage
	case frameData, frameDataAsk:
		return maxData
	case frameEnd:
		return 0
	case frameAbort:
		return maxAbort
	case frameAck:
		return 8
	}
	return -1
}

// appendHeader appends the header of a frame whose body has n bytes.
func appendHeader(b []byte, t frameType, n int) []byte {
	b = append(b, byte(t))
	return binary.BigEndian.AppendUint32(b, uint32(n))
}

func appendFrame(b []byte, t frameType, body []byte) []byte {
	return append(appendHeader(b, t, len(body)), body...)
}

func appendAck(b []byte, taken int64) []byte {
	return binary.BigEndian.AppendUint64(appendHeader(b, frameAck, 8), uint64(taken))
}

// readHeader reads a frame's header. The length is within the type's limit.
// An end of the stream before the first byte is io.EOF.
func readHeader(r io.Reader) (frameType, int, error) {
	var h [frameHeader]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return 0, 0, err
	}
	t, n := frameType(h[0]), int64(binary.BigEndian.Uint32(h[1:]))
	switch limit := t.limit(); {
	case limit < 0:
		return 0, 0, fmt.Errorf("frame of type %q: %w", rune(h[0]), ErrProtocol)
	case n > limit:
		return 0, 0, fmt.Errorf("frame %q of %d bytes, %d allowed: %w", rune(h[0]), n, limit, ErrProtocol)
	case t == frameAck && n != limit:
		return 0, 0, fmt.Errorf("acknowledgement of %d bytes: %w", n, ErrProtocol)
	}
	return t, int(n), nil
}

// readBody reads the n bytes of a frame. Memory is taken as they arrive.
func readBody(r io.Reader, n int) ([]byte, error) {
	const piece = 64 << 10
	body := make([]byte, 0, min(n, piece))
	for len(body) < n {
		have := len(body)
		if have == cap(body) {
			body = append(make([]byte, 0, min(n, 2*have)), body...)
		}
		body = body[:cap(body)]
		got, err := io.ReadFull(r, body[have:])
		body = body[:have+got]
		if err != nil {
			return nil, unexpected(err)
		}
	}
	return body, nil
}

// readAck reads the body of an acknowledgement.
func readAck(r io.Reader) (int64, error) {
	var b [8]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return 0, unexpected(err)
	}
	taken := int64(binary.BigEndian.Uint64(b[:]))
	if taken < 0 {
		return 0, fmt.Errorf("acknowledgement of %d: %w", uint64(taken), ErrProtocol)
	}
	return taken, nil
}

// unexpected turns an end of the stream within something into an error.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
