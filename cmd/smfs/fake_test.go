package main

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/silvermirror/smfs/backend"
	"github.com/silvermirror/smfs/backend/control"
	"github.com/silvermirror/smfs/backend/node"
)

// fakeAPI is an engine's answers. A method that a test does not set fails it
// with a nil dereference.
type fakeAPI struct {
	backend.API
	status    *backend.Status
	versions  []backend.Version
	conflicts []backend.Conflict
	tagLists  []backend.TagList
	news      []backend.FsckNews
	content   string
	err       error

	tagged   backend.TagOptions
	synced   backend.SyncOptions
	waited   backend.WaitOptions
	logged   backend.LogOptions
	fscked   backend.FsckOptions
	restored backend.RestoreOptions
	added    backend.PeerSpec
	asked    []string // paths of Tags
}

func (f *fakeAPI) Status(context.Context) (*backend.Status, error) { return f.status, f.err }

func (f *fakeAPI) Wait(_ context.Context, o backend.WaitOptions) error {
	f.waited = o
	return f.err
}

func (f *fakeAPI) Sync(_ context.Context, o backend.SyncOptions) (*backend.SyncReport, error) {
	f.synced = o
	return &backend.SyncReport{Committed: 1}, f.err
}

func (f *fakeAPI) AddPeer(_ context.Context, p backend.PeerSpec) (*backend.PeerAdded, error) {
	f.added = p
	return &backend.PeerAdded{Reachable: true, Resources: []string{"docs"}}, f.err
}

func (f *fakeAPI) Log(_ context.Context, o backend.LogOptions, fn func(backend.Version) error) error {
	f.logged = o
	for _, v := range f.versions {
		if err := fn(v); err != nil {
			return err
		}
	}
	return f.err
}

func (f *fakeAPI) Restore(_ context.Context, o backend.RestoreOptions, w io.Writer) (*backend.Restored, error) {
	f.restored = o
	if o.Archive {
		t := tar.NewWriter(w)
		err := t.WriteHeader(&tar.Header{Name: "a.txt", Mode: 0o640, Size: int64(len(f.content))})
		if err == nil {
			_, err = io.WriteString(t, f.content)
		}
		if f.err == nil {
			err = errors.Join(err, t.Close())
		}
		if err != nil {
			return nil, err
		}
	} else if w != nil {
		if _, err := io.WriteString(w, f.content); err != nil {
			return nil, err
		}
	}
	return &backend.Restored{Commit: "0123456789abcdef", Files: 1}, f.err
}

func (f *fakeAPI) Fsck(_ context.Context, o backend.FsckOptions, fn func(backend.FsckNews) error) error {
	f.fscked = o
	for _, n := range f.news {
		if err := fn(n); err != nil {
			return err
		}
	}
	return f.err
}

func (f *fakeAPI) Conflicts(context.Context) ([]backend.Conflict, error) { return f.conflicts, f.err }

func (f *fakeAPI) Tag(_ context.Context, o backend.TagOptions) error {
	f.tagged = o
	return f.err
}

func (f *fakeAPI) Tags(_ context.Context, paths []string) ([]backend.TagList, error) {
	f.asked = paths
	return f.tagLists, f.err
}

// fixture is a mirror with a fake engine in this process, and a place to run
// commands from.
type fixture struct {
	t       *testing.T
	base    string // the mirror
	cwd     string // where commands are run; at first the mirror
	env     map[string]string
	api     *fakeAPI
	runtime string // where sockets are made
	inUse   <-chan struct{}

	uncommitted error // at the engine's end

	stdin          io.Reader
	stdout, stderr bytes.Buffer
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	tmp := t.TempDir()
	f := &fixture{t: t, base: filepath.Join(tmp, "mirror"), runtime: filepath.Join(tmp, "run"), api: &fakeAPI{},
		env: map[string]string{"HOME": filepath.Join(tmp, "home")}}
	f.cwd = tmp
	if code := f.run("init", "--name", "laptop", f.base); code != exitOK {
		t.Fatalf("init: %s", &f.stderr)
	}
	f.cwd = f.base
	return f
}

// run runs one command line and returns its exit code.
func (f *fixture) run(args ...string) int {
	f.stdout.Reset()
	f.stderr.Reset()
	a := &app{stdin: f.stdin, stdout: &f.stdout, stderr: &f.stderr,
		env:   func(k string) string { return f.env[k] },
		getwd: func() (string, error) { return f.cwd, nil }}
	return run(f.t.Context(), a, args)
}

// mirror is where the commands find it.
func (f *fixture) mirror() *mirror { return &mirror{base: f.base} }

// serve runs a fake engine for the mirror until the test ends or it is asked
// to end. It returns a channel that is closed at its end.
func (f *fixture) serve(mounted bool) <-chan struct{} {
	f.t.Helper()
	ended, announce := f.serveLater(mounted)
	announce()
	return ended
}

// serveLater takes the lock and listens, but tells nobody where until announce
// is called.
func (f *fixture) serveLater(mounted bool) (ended <-chan struct{}, announce func()) {
	f.t.Helper()
	lock, err := node.Take(f.t.Context(), f.mirror().state())
	if err != nil {
		f.t.Fatal(err)
	}
	l, err := control.Listen([]string{filepath.Join(f.runtime, "id")})
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	d := &daemon{app: newApp(), mirror: f.mirror(), log: newLog(io.Discard)}
	if mounted {
		d.mount = &mountOptions{}
	}
	s := &served{daemon: d, engine: &fakeEngine{f.api, f.inUse, f.uncommitted}}
	go func() {
		defer close(done)
		if err := s.run(ctx, listenOptions{l, "id"}); err != nil {
			f.t.Error(err)
		}
		if err := lock.Release(); err != nil {
			f.t.Error(err)
		}
	}()
	f.t.Cleanup(func() {
		cancel()
		<-done
	})
	return done, func() {
		if err := lock.Announce(l.Addr().String(), mounted); err != nil {
			f.t.Fatal(err)
		}
	}
}

// fakeEngine is a mirrorEngine that repeats what a session says.
type fakeEngine struct {
	backend.API
	inUse <-chan struct{} // a file is open until it is closed; nil: none

	uncommitted error
}

func (e *fakeEngine) Session(_ context.Context, stream io.ReadWriteCloser) error {
	_, err := io.Copy(stream, stream)
	return err
}
func (e *fakeEngine) Busy() bool                   { return false }
func (e *fakeEngine) Done() <-chan struct{}        { return nil }
func (e *fakeEngine) Attached() bool               { return true }
func (e *fakeEngine) Settle(context.Context) error { return e.uncommitted }

// Stop waits, if lazy, for the end of the use, as an engine does.
func (e *fakeEngine) Stop(ctx context.Context, lazy bool) error {
	if e.inUse == nil {
		return nil
	}
	if !lazy {
		return fmt.Errorf("a.txt is open: %w", backend.ErrBusy)
	}
	select {
	case <-e.inUse:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// mkfiles makes empty files and, for names with a final slash, directories.
func mkfiles(t *testing.T, base string, names ...string) {
	t.Helper()
	for _, name := range names {
		path := filepath.Join(base, name)
		var err error
		if name[len(name)-1] == '/' {
			err = os.Mkdir(path, 0o755)
		} else {
			err = os.WriteFile(path, nil, 0o644)
		}
		if err != nil {
			t.Fatalf("make %s: %v", path, err)
		}
	}
}
