package main

import (
	"fmt"
	"log/slog"

	"github.com/silvermirror/smfs/backend"
	"github.com/silvermirror/smfs/backend/node"
	"github.com/silvermirror/smfs/config"
)

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
	// TookOver says that the mount of a daemon that died was attached until
	// now, so that nothing was changed beside it.
	TookOver bool
	Log      *slog.Logger
}

// mountOptions are the flags of `smfs mount` that the filesystem looks at.
type mountOptions struct {
	NoPassthrough bool
	AllowOther    bool
}

// engine is a mirror at work, with or without a mount.
type engine interface {
	mirrorEngine
	Close() error
}

// startEngine opens the mirror's stores and, with o.Mount, mounts it. It
// returns when it serves.
func startEngine(o engineOptions) (engine, error) {
	return nil, fmt.Errorf("start the engine of %s: %w", o.Dir, backend.ErrRefused)
}
