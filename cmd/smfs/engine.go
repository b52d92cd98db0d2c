package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/silvermirror/smfs/backend"
	"github.com/silvermirror/smfs/backend/chunk"
	"github.com/silvermirror/smfs/backend/node"
	"github.com/silvermirror/smfs/config"
	"github.com/silvermirror/smfs/fs"
	"github.com/silvermirror/smfs/journal"
	"github.com/silvermirror/smfs/tags"
)

// commitTime is how long an engine that ends goes on committing what is
// journaled; the rest is left to the next one.
const commitTime = 5 * time.Second

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
	Check    bool // backend.Options.Check
	Repair   bool // backend.Options.Repair
	Log      *slog.Logger
}

// engine is a mirror at work, with or without a mount.
type engine struct {
	*backend.Engine
	journal *journal.Journal
	mount   *fs.Mount // nil: none
	done    chan struct{}
}

// startEngine opens the mirror's stores and, with o.Mount, mounts it. It
// returns when it serves.
func startEngine(o engineOptions) (e *engine, err error) {
	j, err := journal.Open(filepath.Join(o.State, "journal"), journal.Options{})
	if err != nil {
		return nil, err
	}
	e = &engine{journal: j, done: make(chan struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.Close())
		}
	}()
	previous := o.Lock.Previous()
	e.Engine, err = backend.Open(backend.Options{
		Base: o.Base, State: o.State, Config: o.Config, Node: o.Node, Journal: j, Log: o.Log,
		Mounted: o.Mount != nil, Clean: previous == (node.Holder{}),
		Trusted: o.TookOver && previous.Mounted && o.Lock.SameBoot() && !j.Recovery().New,
		Check:   o.Check, Repair: o.Repair,
	})
	if err != nil {
		return e, err
	}
	if o.Mount != nil {
		if err := e.mountAt(o); err != nil {
			return e, err
		}
	}
	e.Engine.Start()
	return e, nil
}

func (e *engine) mountAt(o engineOptions) error {
	options := fs.Options{
		Base: o.Base, Dir: o.Dir, Journal: e.journal, Tags: tagView{e.Engine}, History: historyView{e.Engine, chunk.NewCache()}, Control: o.Socket,
		AllowOther: o.Mount.allowOther, Source: o.Mount.source, Flags: o.Mount.flags, Log: o.Log,
		Announcer: func() *exec.Cmd { return announcer(o.Dir) },
	}
	if o.Mount.noPassthrough {
		options.Passthrough = "off"
	}
	for _, t := range e.Trees() {
		options.Resources = append(options.Resources, fs.ResourceRoot{Name: t.Name, Path: t.Path, Tree: t.Tree, External: t.External})
	}
	m, err := fs.New(options)
	if err != nil {
		return err
	}
	e.mount = m
	e.SetMounted(m.Passthrough(), m.Notifier(), m.Drain)
	go func() {
		m.Wait()
		close(e.done)
	}()
	return nil
}

// Stop unmounts. A mount in use is backend.ErrBusy, and all goes on, unless lazy
// detaches it: then it returns when the last file in it is closed.
func (e *engine) Stop(_ context.Context, lazy bool) error {
	if e.mount == nil {
		return nil
	}
	if err := e.mount.Unmount(lazy); err != nil {
		return fmt.Errorf("%w: %w", backend.ErrBusy, err)
	}
	<-e.done
	return nil
}

// Done is closed when the mount has ended; never where there is none.
func (e *engine) Done() <-chan struct{} { return e.done }

func (e *engine) Attached() bool { return e.mount != nil && e.mount.Attached() }

// Close commits what is journaled and closes everything.
func (e *engine) Close() error {
	var errs []error
	if e.mount != nil {
		errs = append(errs, e.Stop(context.Background(), true))
	}
	if e.Engine != nil {
		ctx, cancel := context.WithTimeout(context.Background(), commitTime)
		defer cancel()
		errs = append(errs, e.Engine.Close(ctx))
	}
	return errors.Join(append(errs, e.journal.Close())...)
}

// tagView shows the engine's tags in the mount.
type tagView struct{ *backend.Engine }

func (v tagView) Tags(prefix string) []string { return v.TagNames(prefix) }

func (v tagView) Files(query string) ([]tags.Tagged, error) { return v.TaggedFiles(query) }
