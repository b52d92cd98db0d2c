package peer

import (
	"bufio"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// explainer is a connection that knows more of its end than the error of a
// read does, such as what the remote command wrote to its standard error.
type explainer interface {
	// Explain returns a better error, or err itself. It may wait for the
	// connection's end for a moment.
	Explain(err error) error
}

// watched is a connection that remembers when something last arrived on it, and
// why it ended.
type watched struct {
	conn  io.ReadWriteCloser
	br    *bufio.Reader
	start time.Time
	heard atomic.Int64 // ns after start

	// inSession is set when yamux takes over, which closes the connection as
	// soon as a read or write fails: then it is too late to ask for an
	// explanation.
	inSession bool
	noting    sync.Once
	ending    error // set within noting, read after yamux has ended

	closed   atomic.Bool
	closing  sync.Once
	closeErr error
}

func watch(conn io.ReadWriteCloser) *watched {
	return &watched{conn: conn, br: bufio.NewReaderSize(conn, 64<<10), start: time.Now()}
}

func (c *watched) Read(p []byte) (int, error) {
	n, err := c.br.Read(p)
	if n > 0 {
		c.heard.Store(int64(time.Since(c.start)))
	}
	c.note(err)
	return n, err
}

func (c *watched) Write(p []byte) (int, error) {
	n, err := c.conn.Write(p)
	c.note(err)
	return n, err
}

// note keeps why the connection ended, unless this side closed it.
func (c *watched) note(err error) {
	if err == nil || !c.inSession || c.closed.Load() {
		return
	}
	c.noting.Do(func() { c.ending = c.explain(ErrPeerClosed) })
}

func (c *watched) Close() error {
	c.closed.Store(true)
	c.closing.Do(func() { c.closeErr = c.conn.Close() })
	return c.closeErr
}

// silence is for how long nothing has arrived.
func (c *watched) silence() time.Duration {
	return time.Since(c.start) - time.Duration(c.heard.Load())
}

func (c *watched) explain(err error) error {
	if x, ok := c.conn.(explainer); ok && err != nil {
		return x.Explain(err)
	}
	return err
}
