package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"
	"github.com/silvermirror/smfs/backend"
	"github.com/silvermirror/smfs/backend/control"
)

// mirrorEngine is a mirror at work, with or without a mount.
type mirrorEngine interface {
	backend.API
	// Session speaks a peer's protocol over stream until it ends.
	Session(ctx context.Context, stream io.ReadWriteCloser) error
	// Stop unmounts. A mount in use is backend.ErrBusy, and all goes on, unless
	// lazy detaches it.
	Stop(ctx context.Context, lazy bool) error
	// Settle commits what is journaled, and fails by name with what cannot be.
	Settle(ctx context.Context) error
	// Busy keeps an engine without a mount from ending as idle.
	Busy() bool
	// Attached tells whether the mount is still at its place.
	Attached() bool
	// Done is closed when the mount has ended, by whomever, and nobody has a
	// file of it open any more.
	Done() <-chan struct{}
}

// served is a running engine with its control socket.
type served struct {
	daemon  *daemon
	engine  mirrorEngine
	stopped atomic.Bool // the engine was stopped on request
}

type listenOptions struct {
	listener net.Listener
	mirrorID string
}

// run answers until the engine was asked to end, was idle, its mount went
// away, or ctx ended; then it stops the engine, unless the request did.
func (s *served) run(ctx context.Context, o listenOptions) error {
	serving, cancel := context.WithCancel(ctx)
	defer cancel()
	gone := make(chan struct{})
	go func() { // the mount may be ended by others, as by umount(8)
		defer close(gone)
		select {
		case <-s.engine.Done():
			cancel()
		case <-serving.Done():
		}
	}()
	err := control.Serve(serving, o.listener, control.Options{
		API:      s.engine,
		Hello:    s.hello(o.mirrorID),
		Session:  s.engine.Session,
		Shutdown: s.shutdown,
		Idle:     s.daemon.idle,
		Busy:     s.engine.Busy,
		Log:      s.daemon.log,
	})
	cancel()
	<-gone
	if s.stopped.Load() {
		return err
	}
	if ctx.Err() != nil {
		s.daemon.log.Info("asked to end by a signal")
		s.daemon.tellService(systemd.SdNotifyStopping)
	}
	// Nobody is left to be told that files are open: what can be is committed,
	// the mount is detached, and its last user ends it.
	if stopErr := s.engine.Stop(context.Background(), true); stopErr != nil {
		return fmt.Errorf("stop the engine: %w", stopErr)
	}
	return err
}

func (s *served) hello(mirrorID string) control.Hello {
	return control.Hello{
		Version: versionString(), PID: os.Getpid(), Mirror: mirrorID,
		Base: s.daemon.mirror.base, Config: s.daemon.mirror.config, Mounted: s.daemon.mount != nil,
	}
}

// shutdown is a client's request to end.
func (s *served) shutdown(ctx context.Context, o control.ShutdownOptions) (control.Ended, error) {
	if o.Handover && s.daemon.mount != nil {
		if s.engine.Attached() {
			return control.Ended{}, mountedError(s.daemon.mirror)
		}
		return control.Ended{}, s.awaitUsers(ctx)
	}
	if o.Lazy { // its client does not stay until the last file is closed
		ctx = context.WithoutCancel(ctx)
	}
	if err := s.engine.Stop(ctx, o.Lazy); err != nil {
		return control.Ended{}, backend.WithHint(err, stopHint(err))
	}
	s.stopped.Store(true)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTime)
	defer cancel()
	return control.Ended{Uncommitted: s.engine.Settle(ctx)}, nil
}

// usersTime is how long a handover waits for the end of a mount that is detached.
const usersTime = 2 * time.Second

// awaitUsers waits for the end of a mount that is detached, as by umount(8): the
// engine ends by itself then. Whoever has files open in it is served until they
// are closed, so nobody else may have the mirror before.
func (s *served) awaitUsers(ctx context.Context) error {
	select {
	case <-s.engine.Done():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(usersTime):
		return backend.WithHint(fmt.Errorf("the mount of %s is detached, but files in it are open still: %w", s.daemon.mirror.base, backend.ErrBusy),
			fmt.Sprintf("end the programs that have files of it open; daemon %d ends with them, and the mirror can be mounted again", os.Getpid()))
	}
}

// stopHint keeps the engine's hint, or points to --lazy.
func stopHint(err error) string {
	if h := backend.Hint(err); h != "" {
		return h
	}
	return "close what is in use, or `smfs umount --lazy` to detach now and end with the last user"
}
