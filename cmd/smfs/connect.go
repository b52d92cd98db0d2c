package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/silvermirror/smfs/backend"
	"github.com/silvermirror/smfs/backend/control"
	"github.com/silvermirror/smfs/backend/node"
)

const (
	// connectTime bounds the wait for an engine that starts or ends.
	connectTime = 30 * time.Second
	// connectPoll is how often such an engine is looked at.
	connectPoll = 10 * time.Millisecond
)

// errNoEngine says that no process has the mirror.
var errNoEngine = errors.New("no engine is running")

// connect reaches the engine of the mirror, starting one without a mount if
// none runs. The caller closes the client.
func (a *app) connect(ctx context.Context, m *mirror) (*control.Client, error) {
	return a.reach(ctx, m, func() error { return a.spawnEngine(ctx, m) })
}

// connectRunning reaches the engine of the mirror, and fails with errNoEngine
// if none runs.
func (a *app) connectRunning(ctx context.Context, m *mirror) (*control.Client, error) {
	return a.reach(ctx, m, func() error { return errNoEngine })
}

// reach tries until an engine answers; absent is called when there is none.
// A start takes the time that it takes, as where an index is made anew.
func (a *app) reach(ctx context.Context, m *mirror, absent func() error) (*control.Client, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	limit := time.AfterFunc(connectTime, func() { cancel(context.DeadlineExceeded) })
	defer limit.Stop()
	tick := time.NewTicker(connectPoll)
	defer tick.Stop()
	for {
		socket, err := findSocket(m)
		if errors.Is(err, errNoEngine) {
			limit.Stop()
			if err = absent(); errors.Is(err, node.ErrLocked) {
				err = nil // another process was faster
			}
			limit.Reset(connectTime)
		}
		if err != nil {
			return nil, err
		}
		if socket != "" {
			var c *control.Client
			if c, err = control.Dial(ctx, socket); err == nil {
				return c, nil
			}
			if errors.Is(err, control.ErrForeign) {
				return nil, err
			}
		}
		// Between two states: an engine starts or ends. Look again.
		select {
		case <-ctx.Done():
			return nil, notAnswering(ctx, m, err)
		case <-tick.C:
		}
	}
}

func notAnswering(ctx context.Context, m *mirror, last error) error {
	if cause := context.Cause(ctx); !errors.Is(cause, context.DeadlineExceeded) {
		return cause
	}
	if last == nil {
		last = errors.New("it has no socket")
	}
	return backend.WithHint(
		fmt.Errorf("the engine of %s does not answer: %w: %w", m.base, backend.ErrUnreachable, last),
		"look into "+m.state()+"/"+logName)
}

// findSocket returns the socket of the mirror's engine, "" while the engine
// has none, errNoEngine where no process has the mirror.
func findSocket(m *mirror) (string, error) {
	socket, err := mountedSocket(m.base)
	if err != nil || socket != "" {
		return socket, err
	}
	holder, held, err := node.ReadHolder(m.state())
	if err != nil {
		return "", err
	}
	if !held {
		return "", errNoEngine
	}
	return holder.Socket, nil
}

// awaitEnd returns when the engine that was process pid has the mirror no more.
// Another one may, as when somebody asks for the status meanwhile. An end takes the
// time that it takes, as where much is to be written to a slow disk.
func awaitEnd(ctx context.Context, m *mirror, pid int) error {
	tick := time.NewTicker(connectPoll)
	defer tick.Stop()
	for {
		holder, held, err := node.ReadHolder(m.state())
		if err != nil || !held || holder.PID != pid {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the engine of %s to end: %w", m.base, ctx.Err())
		case <-tick.C:
		}
	}
}
