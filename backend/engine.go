package backend

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/silvermirror/smfs/backend/node"
	"github.com/silvermirror/smfs/config"
	"github.com/silvermirror/smfs/fs/tree"
	"github.com/silvermirror/smfs/journal"
)

// Options of an engine.
type Options struct {
	Base    int    // fd of the base directory, from before anything was mounted over it; stays the caller's
	State   string // path of the state directory, through an fd where there is a mount
	Config  *config.Config
	Node    *node.Node
	Journal *journal.Journal // the engine does not close it
	Log     *slog.Logger
	Env     func(string) string // the environment: where ssh finds keys, hosts and an agent; nil: os.Getenv

	// Mounted says that a mount journals every change below the base
	// directory, so that nothing needs to be scanned for.
	Mounted bool
	// Trusted says that the journal knows every change since the last commit:
	// the engine before this one died, but its mount stayed attached until now.
	Trusted bool
	// Clean says that the engine before this one ended by itself.
	Clean bool

	// Check lets the engine start although no resource can be used: Fsck says
	// why.
	Check bool
	// Repair has Open mend what it else refuses, or believes.
	Repair bool

	commitNames int              // how many names one commit or step of an apply takes; 0: commitNames
	now         func() time.Time // nil: time.Now
}

// Engine runs one mirror: a worker for each resource, a session with each
// peer. It implements API. Methods may be called by all goroutines at once,
// between Start and Close.
type Engine struct {
	o         Options
	log       *slog.Logger
	resources []*resource
	broken    []broken
	spots     *spot // of the resources
	sessions  *sessions
	mounted   mountState

	generation atomic.Uint64
	openTold   atomic.Bool // what Open has mended was told

	workers     *errgroup.Group // nil before Start
	endWorkers  context.CancelFunc
	exchange    *errgroup.Group // the sessions, which outlive the workers
	endSessions context.CancelFunc
}

// mountState is what a mount tells about itself, for status.
type mountState struct {
	mu                   sync.Mutex
	mounted, passthrough bool
}

// Open opens, or makes, the store and index of every resource. It fails if none
// can be used; what is wrong with some is told by Status. Nothing runs before
// Start.
func Open(o Options) (*Engine, error) {
	if o.Env == nil {
		o.Env = os.Getenv
	}
	if o.now == nil {
		o.now = time.Now
	}
	o.commitNames = cmp.Or(o.commitNames, commitNames)
	e := &Engine{o: o, log: o.Log}
	for _, dir := range []string{"store", "index"} {
		if err := os.MkdirAll(filepath.Join(o.State, dir), 0o700); err != nil {
			return nil, fmt.Errorf("make state directory: %w", err)
		}
	}
	var failed []error
	for i := range o.Config.Resources {
		r, err := e.openResource(o.Config.Resources[i])
		if err != nil {
			err = e.named(err)
			failed = append(failed, err)
			e.broken = append(e.broken, e.openBroken(o.Config.Resources[i], err))
			continue
		}
		e.resources = append(e.resources, r)
	}
	if len(e.resources) == 0 && !o.Check {
		return nil, errors.Join(append(failed, e.closeResources())...)
	}
	e.spots = e.newSpots()
	s, err := newSessions(e)
	if err != nil {
		return nil, errors.Join(err, e.closeResources())
	}
	e.sessions = s
	return e, nil
}

// named gives what an error says of the state directory its name in the mirror,
// where it is reached by a descriptor.
func (e *Engine) named(err error) error {
	return &renamed{err, e.o.State, filepath.Join(e.o.Config.Base, node.StateDir)}
}

type renamed struct {
	error
	from, to string
}

func (r *renamed) Unwrap() error { return r.error }
func (r *renamed) Error() string { return strings.ReplaceAll(r.error.Error(), r.from, r.to) }

// asideDir is where what a repair replaces is kept.
func (e *Engine) asideDir() string {
	return filepath.Join(e.o.State, "damaged", time.Now().Format("20060102-150405"))
}

// ResourceTree is what a mount needs to serve a resource.
type ResourceTree struct {
	Name     string
	Path     string // in the mirror
	External bool
	Tree     *tree.Tree
}

// Trees lists the backing directories.
func (e *Engine) Trees() []ResourceTree {
	var out []ResourceTree
	add := func(r *resource) {
		if r.tree != nil {
			out = append(out, ResourceTree{r.name, r.conf.Path, r.conf.External, r.tree})
		}
	}
	for _, r := range e.resources {
		add(r)
	}
	for _, b := range e.broken {
		add(b.resource)
	}
	return out
}

// repaired lets the journal go of its damaged segments once every resource was
// scanned.
func (e *Engine) repaired(ctx context.Context) error {
	if !e.o.Journal.Recovery().Damaged {
		return nil
	}
	if err := e.sessions.awaitReady(ctx); err != nil || len(e.broken) > 0 {
		return nil // the next start scans again
	}
	for _, r := range e.resources {
		if !r.scannedAll.Load() {
			return nil // likewise
		}
	}
	e.log.Warn("the journal was damaged; all was scanned", "problem", e.o.Journal.Recovery().Problem)
	return e.o.Journal.Repaired()
}

// SetMounted tells how the mirror is mounted, for Status, and whom to tell of
// changes made below the mount. drain waits until the mount shows all that n
// was told. Call it before Start.
func (e *Engine) SetMounted(passthrough bool, n tree.Notifier, drain func()) {
	for _, r := range e.resources {
		r.drainMount = drain
		r.tree.SetNotifier(n)
	}
	e.mounted.mu.Lock()
	defer e.mounted.mu.Unlock()
	e.mounted.mounted, e.mounted.passthrough = true, passthrough
}

// Start begins to commit and to mirror.
func (e *Engine) Start() {
	work, endWorkers := context.WithCancel(context.Background())
	exchange, endSessions := context.WithCancel(context.Background())
	e.workers, e.endWorkers = &errgroup.Group{}, endWorkers
	e.exchange, e.endSessions = &errgroup.Group{}, endSessions
	for _, r := range e.resources {
		e.workers.Go(func() error { return r.run(work) })
	}
	e.workers.Go(func() error { return e.repaired(work) })
	e.exchange.Go(func() error { return e.sessions.run(exchange) })
}

// Close commits what is journaled (until ctx ends), then stops everything and
// closes stores and indexes. What could not be committed stays in the journal
// for the next engine.
func (e *Engine) Close(ctx context.Context) error {
	var errs []error
	if e.workers != nil {
		errs = append(errs, e.commitEverything(ctx))
		e.endWorkers()
		errs = append(errs, e.workers.Wait())
		e.endSessions() // now that no worker has anything sent
		errs = append(errs, e.exchange.Wait())
	}
	return errors.Join(append(errs, e.closeResources())...)
}

// commitEverything commits what each resource can: one that fails keeps no other
// from it.
func (e *Engine) commitEverything(ctx context.Context) error {
	var running sync.WaitGroup
	errs := make([]error, len(e.resources))
	for i, r := range e.resources {
		running.Go(func() {
			err := r.do(ctx, func() error { return r.commitAll(ctx) })
			errs[i] = waitError(ctx, err, r.name+" is not committed yet", "it stays journaled, for the next engine to commit")
		})
	}
	running.Wait()
	return errors.Join(errs...)
}

func (e *Engine) closeResources() error {
	var errs []error
	for _, r := range e.resources {
		errs = append(errs, r.close())
	}
	for _, b := range e.broken {
		errs = append(errs, b.close())
	}
	return errors.Join(errs...)
}

// Generation changes whenever an answer of TagNames or TaggedFiles may.
func (e *Engine) Generation() uint64 { return e.generation.Load() }

// resource returns the resource of that name, nil where there is none.
func (e *Engine) resource(name string) *resource {
	for _, r := range e.resources {
		if r.name == name {
			return r
		}
	}
	return nil
}

// resourcesOf returns the resources of those names; no name is all of them.
func (e *Engine) resourcesOf(names []string) ([]*resource, error) {
	if len(names) == 0 {
		return e.resources, nil
	}
	var list []*resource
	for _, name := range names {
		if err := e.unusable(name); err != nil {
			return nil, err
		}
		r := e.resource(name)
		if r == nil {
			return nil, fmt.Errorf("%w: no resource %q in %s", ErrNotFound, name, e.o.Config.File)
		}
		list = append(list, r)
	}
	return list, nil
}

// resourcesAt is resourceAt for who looks at a path or, for "", at the whole mirror.
func (e *Engine) resourcesAt(path string) ([]*resource, string, error) {
	if path == "" {
		return e.resources, "", nil
	}
	r, rest, err := e.resourceAt(path)
	return []*resource{r}, rest, err
}

// resourceAt finds the resource that a path of the mirror belongs to, and the
// path in it.
func (e *Engine) resourceAt(path string) (*resource, string, error) {
	if _, now, ok := inHistory(path); ok {
		return nil, "", WithHint(fmt.Errorf("%w: %s is in the history, which does not change", ErrInvalid, path),
			"give the path that it has now; it was "+orWhole(now))
	}
	path = strings.Trim(path, "/")
	for _, view := range []string{"@tags/", ".smfs/tags/"} {
		if in, ok := strings.CutPrefix(path, view); ok {
			var err error
			if path, err = e.throughTags(in); err != nil {
				return nil, "", err
			}
		}
	}
	conf, rest := e.o.Config.At(path)
	if conf == nil {
		return nil, "", WithHint(fmt.Errorf("%w: %q belongs to no resource of this mirror", ErrInvalid, path), "resources are the sections of config.ini")
	}
	if err := tree.CheckPath(rest); err != nil {
		return nil, "", fmt.Errorf("%w: %q: %w", ErrInvalid, path, err)
	}
	r := e.resource(conf.Name)
	if r == nil {
		return nil, "", e.unusable(conf.Name)
	}
	return r, rest, nil
}

// mirrorPath is the path in the mirror of a path in a resource.
func (r *resource) mirrorPath(path string) string {
	if path == "" {
		return r.conf.Path
	}
	return join(r.conf.Path, path)
}

// Status reports without waiting.
func (e *Engine) Status(context.Context) (*Status, error) {
	e.mounted.mu.Lock()
	s := &Status{
		Mirror: e.o.Node.Mirror, PID: os.Getpid(),
		Mounted: e.mounted.mounted, Passthrough: e.mounted.passthrough,
		Node:      NodeStatus{Name: e.o.Node.Name, ID: e.sessions.self},
		LastStart: StartStatus{Clean: e.o.Clean, Replayed: e.o.Journal.Recovery().Replayed},
	}
	e.mounted.mu.Unlock()
	for _, r := range e.resources {
		s.LastStart.Scanned += int(max(r.scannedAtStart.Load(), 0))
		s.Resources = append(s.Resources, r.status())
	}
	for _, b := range e.broken {
		s.Resources = append(s.Resources, b.status())
	}
	s.Peers = e.sessions.status()
	var err error
	if s.Outside, err = e.outside(); err != nil {
		e.log.Warn("status lacks something", "error", err)
	}
	return s, nil
}

// Conflicts lists what merges have put aside, and the names they chose of two.
func (e *Engine) Conflicts(ctx context.Context) ([]Conflict, error) {
	var out []Conflict
	for _, r := range e.resources {
		list, err := r.conflicts(ctx)
		if err != nil {
			return nil, err
		}
		out = append(out, list...)
	}
	return out, nil
}

var random = rand.Reader
