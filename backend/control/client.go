package control

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"

	"github.com/silvermirror/smfs/backend"
)

// Client is an engine in another process. It implements backend.API; its
// errors are those of the engine, or say that the engine is gone.
type Client struct {
	socket string
	web    *http.Client
	hello  Hello
}

var _ backend.API = (*Client)(nil)

// Dial connects to the engine at socket and asks who it is. Close the client
// after use.
func Dial(ctx context.Context, socket string) (*Client, error) {
	c := &Client{socket: socket}
	c.web = &http.Client{Transport: &http.Transport{
		DialContext:        func(ctx context.Context, _, _ string) (net.Conn, error) { return dialSocket(ctx, socket) },
		DisableCompression: true,
	}}
	body, err := c.send(ctx, http.MethodGet, "hello", none{})
	if err == nil {
		err = readAnswer(body, &c.hello)
	}
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("connect to the engine: %w", err)
	}
	return c, nil
}

// Hello is what the engine answered when it was dialled.
func (c *Client) Hello() Hello { return c.hello }

// Close drops the connections. Sessions go on.
func (c *Client) Close() { c.web.CloseIdleConnections() }

// send makes one request. The caller closes the body it returns.
func (c *Client) send(ctx context.Context, method, name string, in any) (io.ReadCloser, error) {
	data, err := marshal(in)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://smfs/v1/"+name, bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("request %s: %w", name, err)
	}
	resp, err := c.web.Do(req)
	if err != nil {
		return nil, gone(err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, readFailure(resp)
	}
	return resp.Body, nil
}

// call makes a request that has one answer.
func call[Out any](ctx context.Context, c *Client, name string, in any) (Out, error) {
	var out Out
	body, err := c.send(ctx, http.MethodPost, name, in)
	if err == nil {
		err = readAnswer(body, &out)
	}
	return out, err
}

func readAnswer(body io.ReadCloser, v any) error {
	defer body.Close()
	data, err := io.ReadAll(body)
	if err != nil {
		return gone(err)
	}
	return unmarshal(data, v)
}

func readFailure(resp *http.Response) error {
	var f failure
	if err := readAnswer(resp.Body, &f); err != nil || f.Message == "" {
		return fmt.Errorf("the engine answered %s; is it an older smfs?", resp.Status)
	}
	return decodeFailure(f)
}

// gone turns the many ways in which a connection breaks into one.
func gone(err error) error {
	for _, e := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE, syscall.ENOENT, syscall.ECONNREFUSED} {
		if errors.Is(err, e) {
			return fmt.Errorf("%w: %w", ErrCutOff, err)
		}
	}
	return err
}

// Status implements backend.API.
func (c *Client) Status(ctx context.Context) (*backend.Status, error) {
	return call[*backend.Status](ctx, c, "status", none{})
}

// Wait implements backend.API.
func (c *Client) Wait(ctx context.Context, o backend.WaitOptions) error {
	_, err := call[none](ctx, c, "wait", o)
	return err
}

// Sync implements backend.API.
func (c *Client) Sync(ctx context.Context, o backend.SyncOptions) (*backend.SyncReport, error) {
	return call[*backend.SyncReport](ctx, c, "sync", o)
}

// Commit implements backend.API.
func (c *Client) Commit(ctx context.Context, o backend.CommitOptions) ([]backend.Committed, error) {
	return call[[]backend.Committed](ctx, c, "commit", o)
}

// Undo implements backend.API.
func (c *Client) Undo(ctx context.Context, o backend.UndoOptions) (*backend.Undone, error) {
	return call[*backend.Undone](ctx, c, "undo", o)
}

// AddPeer implements backend.API.
func (c *Client) AddPeer(ctx context.Context, p backend.PeerSpec) (*backend.PeerAdded, error) {
	return call[*backend.PeerAdded](ctx, c, "peer-add", p)
}

// RemovePeer implements backend.API.
func (c *Client) RemovePeer(ctx context.Context, name string) error {
	_, err := call[none](ctx, c, "peer-remove", named{name})
	return err
}

// Peers implements backend.API.
func (c *Client) Peers(ctx context.Context) ([]backend.PeerStatus, error) {
	return call[[]backend.PeerStatus](ctx, c, "peers", none{})
}

// Conflicts implements backend.API.
func (c *Client) Conflicts(ctx context.Context) ([]backend.Conflict, error) {
	return call[[]backend.Conflict](ctx, c, "conflicts", none{})
}

// Tag implements backend.API.
func (c *Client) Tag(ctx context.Context, o backend.TagOptions) error {
	_, err := call[none](ctx, c, "tag", o)
	return err
}

// Tags implements backend.API.
func (c *Client) Tags(ctx context.Context, p []string) ([]backend.TagList, error) {
	return call[[]backend.TagList](ctx, c, "tags", paths{p})
}

// Shutdown asks the engine to unmount, commit and end. It returns when the
// engine has done the first two; the mirror's lock says when it has ended.
func (c *Client) Shutdown(ctx context.Context, o ShutdownOptions) (Ended, error) {
	e, err := call[ended](ctx, c, "shutdown", o)
	return decodeEnded(e), err
}
