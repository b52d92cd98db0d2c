package control

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/silvermirror/smfs/backend"
)

// fakeAPI answers with what its fields say, and remembers what it was asked.
type fakeAPI struct {
	err      error // every method's answer, if not nil
	status   backend.Status
	versions []backend.Version
	content  []byte
	news     []backend.FsckNews
	parts    []backend.DiffPart

	asked   chan any                    // each call's argument, if not nil
	blocked func(context.Context) error // what Wait does, if not nil
}

func (f *fakeAPI) ask(v any) {
	if f.asked != nil {
		f.asked <- v
	}
}

func (f *fakeAPI) Status(context.Context) (*backend.Status, error) { return &f.status, f.err }

func (f *fakeAPI) Wait(ctx context.Context, o backend.WaitOptions) error {
	f.ask(o)
	if f.blocked != nil {
		return f.blocked(ctx)
	}
	return f.err
}

func (f *fakeAPI) Sync(_ context.Context, o backend.SyncOptions) (*backend.SyncReport, error) {
	f.ask(o)
	return &backend.SyncReport{Committed: len(o.Resources)}, f.err
}

func (f *fakeAPI) Commit(_ context.Context, o backend.CommitOptions) ([]backend.Committed, error) {
	f.ask(o)
	return []backend.Committed{{Commit: o.Message}}, f.err
}

func (f *fakeAPI) Undo(_ context.Context, o backend.UndoOptions) (*backend.Undone, error) {
	f.ask(o)
	return &backend.Undone{Commit: o.Path}, f.err
}

func (f *fakeAPI) AddPeer(_ context.Context, p backend.PeerSpec) (*backend.PeerAdded, error) {
	f.ask(p)
	return &backend.PeerAdded{Reachable: true, Resources: []string{p.Name}}, f.err
}

func (f *fakeAPI) RemovePeer(_ context.Context, name string) error {
	f.ask(name)
	return f.err
}

func (f *fakeAPI) Peers(context.Context) ([]backend.PeerStatus, error) { return f.status.Peers, f.err }

func (f *fakeAPI) Fsck(_ context.Context, o backend.FsckOptions, fn func(backend.FsckNews) error) error {
	f.ask(o)
	for _, n := range f.news {
		if err := fn(n); err != nil {
			return err
		}
	}
	return f.err
}

func (f *fakeAPI) Log(_ context.Context, o backend.LogOptions, fn func(backend.Version) error) error {
	f.ask(o)
	for _, v := range f.versions {
		if err := fn(v); err != nil {
			return err
		}
	}
	return f.err
}

func (f *fakeAPI) Diff(_ context.Context, o backend.DiffOptions, fn func(backend.DiffPart) error) error {
	f.ask(o)
	for _, p := range f.parts {
		if err := fn(p); err != nil {
			return err
		}
	}
	return f.err
}

func (f *fakeAPI) Restore(_ context.Context, o backend.RestoreOptions, w io.Writer) (*backend.Restored, error) {
	f.ask(o)
	if w != nil {
		if _, err := io.Copy(w, bytes.NewReader(f.content)); err != nil {
			return nil, err
		}
	}
	return &backend.Restored{Commit: o.At, Files: 1}, f.err
}

func (f *fakeAPI) Conflicts(context.Context) ([]backend.Conflict, error) {
	return []backend.Conflict{{Path: "a\xff", Time: time.Unix(1, 2).UTC()}}, f.err
}

func (f *fakeAPI) Tag(_ context.Context, o backend.TagOptions) error {
	f.ask(o)
	return f.err
}

func (f *fakeAPI) Tags(_ context.Context, p []string) ([]backend.TagList, error) {
	f.ask(p)
	return []backend.TagList{{Path: strings.Join(p, "+"), Tags: []string{"t"}}}, f.err
}

// serving is a server in a directory of the test.
type serving struct {
	socket string
	cancel context.CancelFunc
	done   chan error // Serve's result
}

// start serves o until the test ends.
func start(t *testing.T, o Options) *serving {
	t.Helper()
	l := listen(t)
	ctx, cancel := context.WithCancel(context.Background())
	s := &serving{socket: l.Addr().String(), cancel: cancel, done: make(chan error, 1)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.done <- Serve(ctx, l, o)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	return s
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := Listen([]string{t.TempDir() + "/smfs/id"})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func dial(t *testing.T, s *serving) *Client {
	t.Helper()
	c, err := Dial(t.Context(), s.socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

var errPlain = errors.New("plain failure")
