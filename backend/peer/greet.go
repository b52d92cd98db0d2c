package peer

import (
	"context"
	"io"
)

// greet exchanges preambles and Hellos. Nothing but the preamble is said to
// what has not yet proved to be a peer. On failure the connection may have been
// closed.
func greet(ctx context.Context, c *watched, o Options) (Hello, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, o.Greeting, ErrTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()

	theirs, err := exchange(c, appendFrame(nil, frameHello, encode(helloToWire(o.Hello))))
	if ctx.Err() != nil {
		return Hello{}, context.Cause(ctx)
	}
	return theirs, err
}

func exchange(c *watched, hello []byte) (Hello, error) {
	if err := both(c, []byte(preamble()), func() error { return readPreamble(c) }); err != nil {
		return Hello{}, err
	}
	var theirs Hello
	err := both(c, hello, func() (err error) {
		theirs, err = readHello(c)
		return err
	})
	return theirs, err
}

// both writes and reads at the same time, for a connection without a buffer.
// Where reading fails the writing may never end by itself. A write that fails
// is not the news: what the peer said before it went, or that it has gone, is
// what the next read tells.
func both(c *watched, out []byte, read func() error) error {
	written := make(chan struct{})
	go func() {
		defer close(written)
		c.Write(out)
	}()
	err := read()
	if err != nil {
		err = c.explain(err)
		c.Close()
	}
	<-written
	return err
}

func readHello(r io.Reader) (Hello, error) {
	t, n, err := readHeader(r)
	if err != nil {
		return Hello{}, unexpected(err)
	}
	if t != frameHello {
		return Hello{}, invalid("frame %q instead of a hello", rune(t))
	}
	body, err := readBody(r, n)
	if err != nil {
		return Hello{}, err
	}
	return parseHello(body)
}
