package watch

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"

	"github.com/silvermirror/smfs/fs/tree"
	"github.com/silvermirror/smfs/journal"
)

// Options of a Watcher.
type Options struct {
	Tree    *tree.Tree
	Skip    func(path string, dir bool) bool // what is left out, with all below
	Settle  time.Duration                    // changes are told when none has come for so long,
	Longest time.Duration                    // but no later than so long after the first
}

// Changes is what may have changed.
type Changes struct {
	Names map[string]bool // true: what was there was removed or renamed
	Trees map[string]bool // directories in which, at any depth, anything may have changed
}

// ErrLost says that the root was moved or removed, so that it is not watched any
// more.
var ErrLost = errors.New("the root of the watched directories was moved or removed")

// Watcher watches the directories of a tree. It is used by one goroutine.
type Watcher struct {
	o      Options
	root   string // the root's name for the kernel, through its fd
	notify *fsnotify.Watcher
	failed chan error    // why nothing is told any more
	heard  chan struct{} // closed once hear has ended
	dirs   dir
	paths  map[journal.FileKey]string // of the watched directories
}

// Open watches all directories of the tree, until Run ends or ctx does before
// Open returns. The tree must stay open until then.
func Open(ctx context.Context, o Options) (*Watcher, error) {
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, explain(err)
	}
	w := &Watcher{
		o: o, root: fmt.Sprintf("/proc/self/fd/%d", o.Tree.RootFD()), notify: notify,
		failed: make(chan error, 1), heard: make(chan struct{}), paths: map[journal.FileKey]string{},
	}
	go w.hear()
	if _, err := w.add(ctx, ""); err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

// hear takes fsnotify's errors: it holds a lock while it tells one, so that
// neither Add nor Remove would return to somebody who takes them later.
func (w *Watcher) hear() {
	defer close(w.heard)
	for err := range w.notify.Errors {
		if errors.Is(err, unix.EINVAL) {
			continue // of a watch that the kernel has ended already
		}
		select {
		case w.failed <- err:
		default:
		}
	}
}

func (w *Watcher) close() {
	_ = w.notify.Close() // the fd of an inotify instance; there is nothing to lose
	<-w.heard
}

// Run sends calls of found to worker, each with what has changed since the one
// before, until ctx ends (nil) or changes cannot be told any more. It goes on
// listening while the worker has no time.
func (w *Watcher) Run(ctx context.Context, worker chan<- func(), found func(*Changes)) error {
	defer w.close()
	b := newBatch()
	for {
		ready := worker
		if !b.due {
			ready = nil
		}
		told := b.changes
		select {
		case <-ctx.Done():
			return nil
		case err := <-w.failed:
			return explain(err)
		case ev := <-w.notify.Events:
			if err := w.event(ctx, ev, told); err != nil && ctx.Err() == nil {
				return err
			}
			b.grew(w.o, ev.Has(fsnotify.Rename))
		case <-b.timer.C:
			b.due = true
		case ready <- func() { found(told) }:
			b = newBatch()
		}
	}
}

// event adds what an event tells.
func (w *Watcher) event(ctx context.Context, ev fsnotify.Event, c *Changes) error {
	taken := ev.Has(fsnotify.Remove) || ev.Has(fsnotify.Rename)
	path, below := strings.CutPrefix(ev.Name, w.root+"/")
	if !below {
		if taken {
			return ErrLost
		}
		return nil
	}
	if w.ignored(path) {
		return nil
	}
	c.Names[path] = c.Names[path] || taken
	switch {
	case taken || ev.Has(fsnotify.Create):
		w.forget(path) // what is there now is another
	case !ev.Has(fsnotify.Chmod) || w.dirs.find(path) != nil:
		return nil
	}
	isDir, err := w.add(ctx, path)
	if isDir {
		c.Trees[path] = true
	}
	return err
}

func (w *Watcher) ignored(path string) bool {
	return w.o.Skip(path, false) && w.o.Skip(path, true)
}

// add watches what is at path, if that is a directory, and all below it. What
// cannot be looked at is left to those who scan: they meet the same error.
func (w *Watcher) add(ctx context.Context, path string) (isDir bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	info, err := w.o.Tree.Stat(path)
	if err != nil || !info.IsDir() || path != "" && w.o.Skip(path, true) {
		return false, nil
	}
	if at, ok := w.paths[info.Key]; ok && at != path {
		w.forget(at) // it was moved here; that event is still to come
	}
	switch err := w.notify.Add(w.name(path)); {
	case isAbsent(err) || errors.Is(err, unix.EACCES):
		return false, nil
	case err != nil:
		return false, explain(err)
	}
	w.dirs.insert(path, info.Key)
	w.paths[info.Key] = path
	names, err := w.o.Tree.ReadDir(path)
	if err != nil {
		return true, nil
	}
	for _, n := range names {
		if n.Mode != unix.S_IFDIR {
			continue
		}
		if _, err := w.add(ctx, join(path, n.Name)); err != nil {
			return true, err
		}
	}
	return true, nil
}

// forget ends the watches of a directory and of all below it.
func (w *Watcher) forget(path string) {
	w.dirs.remove(path, func(at string, key journal.FileKey) {
		if w.paths[key] == at {
			delete(w.paths, key)
		}
		// It fails where the kernel has ended the watch already.
		_ = w.notify.Remove(w.name(at))
	})
}

func (w *Watcher) name(path string) string { return join(w.root, path) }

func join(dir, name string) string {
	switch {
	case dir == "":
		return name
	case name == "":
		return dir
	}
	return dir + "/" + name
}

func isAbsent(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP)
}

// explain says what to do about the kernel's limits.
func explain(err error) error {
	switch {
	case errors.Is(err, unix.ENOSPC):
		return fmt.Errorf("there are more directories than the kernel lets be watched; raise fs.inotify.max_user_watches, as by `sysctl -w fs.inotify.max_user_watches=1048576`: %w", err)
	case errors.Is(err, unix.EMFILE):
		return fmt.Errorf("too many programs watch directories; raise fs.inotify.max_user_instances, as by `sysctl -w fs.inotify.max_user_instances=1024`: %w", err)
	}
	return fmt.Errorf("watch directories: %w", err)
}

// batch is what is to be told next.
type batch struct {
	changes *Changes
	first   time.Time // when the first came
	timer   *time.Timer
	due     bool
}

func newBatch() *batch {
	b := &batch{changes: &Changes{Names: map[string]bool{}, Trees: map[string]bool{}}, timer: time.NewTimer(0)}
	b.timer.Stop()
	return b
}

// grew puts the telling off until it is quiet, within limits. The two halves of
// a rename are told together, or the file would be taken for another: after the
// name that it had, the one that it got is waited for.
func (b *batch) grew(o Options, renamed bool) {
	if len(b.changes.Names) == 0 {
		return
	}
	now := time.Now()
	if b.first.IsZero() {
		b.first = now
	}
	wait := o.Settle
	if !renamed {
		wait = min(wait, b.first.Add(o.Longest).Sub(now))
	}
	b.due = false
	b.timer.Reset(wait)
}
