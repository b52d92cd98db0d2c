package control

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/silvermirror/smfs/backend"
)

// Log implements backend.API.
func (c *Client) Log(ctx context.Context, o backend.LogOptions, fn func(backend.Version) error) error {
	return items(ctx, c, "log", o, fn)
}

// Diff implements backend.API.
func (c *Client) Diff(ctx context.Context, o backend.DiffOptions, fn func(backend.DiffPart) error) error {
	return items(ctx, c, "diff", o, fn)
}

// Fsck implements backend.API.
func (c *Client) Fsck(ctx context.Context, o backend.FsckOptions, fn func(backend.FsckNews) error) error {
	return items(ctx, c, "fsck", o, fn)
}

// items makes a request answered by one item after the other.
func items[Item any](ctx context.Context, c *Client, name string, in any, fn func(Item) error) error {
	ctx, cancel := context.WithCancel(ctx) // when fn fails the engine stops looking
	defer cancel()
	return c.stream(ctx, name, in, &none{}, func(kind byte, data []byte) error {
		if kind != frameItem {
			return fmt.Errorf("unexpected frame %q in %s", kind, name)
		}
		var item Item
		if err := unmarshal(data, &item); err != nil {
			return err
		}
		return fn(item)
	})
}

// Restore implements backend.API. If it fails, what w was given is no file.
func (c *Client) Restore(ctx context.Context, o backend.RestoreOptions, w io.Writer) (*backend.Restored, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	out := new(backend.Restored)
	err := c.stream(ctx, "restore", restoreRequest{o, w != nil}, out, func(kind byte, data []byte) error {
		if kind != frameData || w == nil {
			return fmt.Errorf("unexpected frame %q in a restore", kind)
		}
		_, err := w.Write(data)
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// stream makes a request answered by frames: fn gets each but the last, whose
// result goes to out.
func (c *Client) stream(ctx context.Context, name string, in, out any, fn func(kind byte, data []byte) error) error {
	body, err := c.send(ctx, http.MethodPost, name, in)
	if err != nil {
		return err
	}
	defer body.Close()
	r := bufio.NewReaderSize(body, 64<<10)
	var buf []byte
	for {
		kind, data, err := readFrame(r, buf)
		if err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		switch kind {
		case frameEnd:
			return unmarshal(data, out)
		case frameFailure:
			var f failure
			if err := unmarshal(data, &f); err != nil {
				return err
			}
			return decodeFailure(f)
		}
		if err := fn(kind, data); err != nil {
			return err
		}
		buf = data[:0]
	}
}

// Stream is one side of a session: CloseWrite tells the other side that
// nothing more comes, Close ends both directions.
type Stream interface {
	io.ReadWriteCloser
	CloseWrite() error
}

// Session opens a raw stream to the engine, which speaks a peer's protocol on
// it. ctx bounds the opening alone.
func (c *Client) Session(ctx context.Context) (Stream, error) {
	conn, err := dialSocket(ctx, c.socket)
	if err != nil {
		return nil, fmt.Errorf("open a session: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	s, err := upgrade(&rawStream{conn, bufio.NewReader(conn)})
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("open a session: %w", err)
	}
	return s, nil
}

func upgrade(s *rawStream) (*rawStream, error) {
	req, err := http.NewRequest(http.MethodPost, "http://smfs/v1/session", nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", sessionProtocol)
	if err := req.Write(s.UnixConn); err != nil {
		return nil, gone(err)
	}
	resp, err := http.ReadResponse(s.ahead, req)
	if err != nil {
		return nil, gone(err)
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return nil, readFailure(resp)
	}
	return s, nil
}

// Unavailable reports whether err says that the engine was ending or went
// away, so that another one may be asked.
func Unavailable(err error) bool {
	return errors.Is(err, ErrCutOff) || errors.Is(err, backend.ErrClosing)
}
