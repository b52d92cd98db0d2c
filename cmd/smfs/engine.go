package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"github.com/silvermirror/smfs/backend"
	"github.com/silvermirror/smfs/backend/node"
	"github.com/silvermirror/smfs/config"
)

// engine is a mirror at work, with or without a mount.
type engine interface {
	backend.API
	// Session speaks a peer's protocol over stream until it ends.
	Session(ctx context.Context, stream io.ReadWriteCloser) error
	// Stop commits what is journaled and unmounts. A mount in use is
	// backend.ErrBusy, and all goes on, unless lazy detaches it. After success
	// only Close is called.
	Stop(ctx context.Context, lazy bool) error
	// Busy keeps an engine without a mount from ending as idle.
	Busy() bool
	// Done is closed when the mount was ended by somebody else.
	Done() <-chan struct{}
	Close() error
}

// engineOptions are what an engine is started with.
type engineOptions struct {
	Base   int    // the base directory, O_PATH, opened before mounting
	Dir    string // its path: for messages and as the mount point, never to reach files
	State  string // the state directory, by way of Base
	Config *config.Config
	Node   *node.Node
	Lock   *node.Lock // held; its Previous says how the engine before ended
	Socket string     // the content of .smfs/control
	Mount  *mountOptions
	Log    *slog.Logger
}

// mountOptions are the flags of `smfs mount` that the filesystem looks at.
type mountOptions struct {
	NoPassthrough bool
	AllowOther    bool
}

// startEngine opens the mirror's stores and, with o.Mount, mounts it. It
// returns when it serves.
func startEngine(_ context.Context, o engineOptions) (engine, error) {
	return nil, fmt.Errorf("start the engine of %s: %w", o.Dir, backend.ErrRefused)
}
