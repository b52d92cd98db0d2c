package control

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/silvermirror/smfs/backend"
)

// odd is a name that JSON alone would change.
const odd = "a\xff\x1a1a\x00\u00e9"

func TestCallsArrive(t *testing.T) {
	api := &fakeAPI{
		asked:    make(chan any, 1),
		status:   backend.Status{Mirror: odd, PID: 7, Peers: []backend.PeerStatus{{Name: odd, Transfers: []backend.Transfer{{Path: odd}}}}},
		versions: []backend.Version{{Path: odd, Time: time.Unix(5, 6).UTC()}, {Commit: "2"}},
		news:     []backend.FsckNews{{Looking: odd}, {Finding: &backend.Finding{Resource: odd, Part: "store", State: backend.Mended, Text: odd, Hint: "h"}}},
		parts:    []backend.DiffPart{{File: &backend.FileDiff{Path: odd, New: &backend.FileSide{Mode: "100644"}}}, {Patch: strings.Repeat("\x1a\xff", 32<<10)}},
		content:  bytes.Repeat([]byte("0123456789abcdef"), 200_000), // several frames
	}
	c := dial(t, start(t, Options{API: api, Hello: Hello{PID: 7, Base: odd}}))
	ctx := t.Context()
	asked := func(want any) {
		t.Helper()
		if got := <-api.asked; !reflect.DeepEqual(got, want) {
			t.Errorf("asked %#v, want %#v", got, want)
		}
	}
	check := func(err error, got, want any) {
		t.Helper()
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %#v, %v, want %#v", got, err, want)
		}
	}

	check(nil, c.Hello(), Hello{PID: 7, Base: odd})
	status, err := c.Status(ctx)
	check(err, status, &api.status)

	wait := backend.WaitOptions{Mirrored: true, Timeout: 3 * time.Second}
	check(c.Wait(ctx, wait), nil, nil)
	asked(wait)

	sync := backend.SyncOptions{Resources: []string{"docs", odd}, Hosts: []string{"b"}}
	report, err := c.Sync(ctx, sync)
	check(err, report, &backend.SyncReport{Committed: 2})
	asked(sync)

	spec := backend.PeerSpec{Name: "b", URL: "ssh://b/x", Command: odd, Join: true}
	added, err := c.AddPeer(ctx, spec)
	check(err, added, &backend.PeerAdded{Reachable: true, Resources: []string{"b"}})
	asked(spec)

	check(c.RemovePeer(ctx, odd), nil, nil)
	asked(odd)

	peers, err := c.Peers(ctx)
	check(err, peers, api.status.Peers)

	var versions []backend.Version
	err = c.Log(ctx, backend.LogOptions{Path: odd, Limit: 2}, func(v backend.Version) error {
		versions = append(versions, v)
		return nil
	})
	check(err, versions, api.versions)
	asked(backend.LogOptions{Path: odd, Limit: 2})

	var parts []backend.DiffPart
	err = c.Diff(ctx, backend.DiffOptions{Path: odd, From: "2"}, func(p backend.DiffPart) error {
		parts = append(parts, p)
		return nil
	})
	check(err, parts, api.parts)
	asked(backend.DiffOptions{Path: odd, From: "2"})

	made, err := c.Commit(ctx, backend.CommitOptions{Message: odd})
	check(err, made, []backend.Committed{{Commit: odd}})
	asked(backend.CommitOptions{Message: odd})

	undone, err := c.Undo(ctx, backend.UndoOptions{Path: odd, Last: 2})
	check(err, undone, &backend.Undone{Commit: odd})
	asked(backend.UndoOptions{Path: odd, Last: 2})

	var news []backend.FsckNews
	err = c.Fsck(ctx, backend.FsckOptions{Repair: true}, func(n backend.FsckNews) error {
		news = append(news, n)
		return nil
	})
	check(err, news, api.news)
	asked(backend.FsckOptions{Repair: true})

	var content bytes.Buffer
	restored, err := c.Restore(ctx, backend.RestoreOptions{Path: odd, At: "1"}, &content)
	check(err, restored, &backend.Restored{Commit: "1", Files: 1})
	check(nil, bytes.Equal(content.Bytes(), api.content), true)
	asked(backend.RestoreOptions{Path: odd, At: "1"})
	restored, err = c.Restore(ctx, backend.RestoreOptions{}, nil)
	check(err, restored, &backend.Restored{Files: 1})
	asked(backend.RestoreOptions{})

	conflicts, err := c.Conflicts(ctx)
	check(err, conflicts, []backend.Conflict{{Path: "a\xff", Time: time.Unix(1, 2).UTC()}})

	tag := backend.TagOptions{Paths: []string{odd}, Tags: []string{"x"}, Remove: true}
	check(c.Tag(ctx, tag), nil, nil)
	asked(tag)

	list, err := c.Tags(ctx, []string{odd})
	check(err, list, []backend.TagList{{Path: odd, Tags: []string{"t"}}})
	asked([]string{odd})
}

func TestErrorsKeepTheirKind(t *testing.T) {
	for _, want := range []error{
		backend.ErrInvalid, backend.ErrNotFound, backend.ErrRefused, backend.ErrBusy, backend.ErrTimeout,
		backend.ErrUnreachable, backend.ErrDamaged, backend.ErrClosing, context.DeadlineExceeded, context.Canceled, errPlain,
	} {
		api := &fakeAPI{err: backend.WithHint(fmt.Errorf("peer \"x\xfe\": %w", want), "try harder"), versions: []backend.Version{{}}}
		c := dial(t, start(t, Options{API: api}))
		_, statusErr := c.Status(t.Context())
		logErr := c.Log(t.Context(), backend.LogOptions{}, func(backend.Version) error { return nil })
		_, restoreErr := c.Restore(t.Context(), backend.RestoreOptions{}, io.Discard)
		for _, err := range []error{statusErr, logErr, restoreErr, c.Wait(t.Context(), backend.WaitOptions{})} {
			if err == nil || err.Error() != api.err.Error() || backend.Hint(err) != "try harder" {
				t.Errorf("%v arrived as %v, hint %q", api.err, err, backend.Hint(err))
			}
			if want != errPlain && !errors.Is(err, want) {
				t.Errorf("%v does not arrive as %v", err, want)
			}
		}
	}
}

func TestCancelCrosses(t *testing.T) {
	api := &fakeAPI{asked: make(chan any, 1), blocked: func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}}
	left := make(chan struct{})
	inner := api.blocked
	api.blocked = func(ctx context.Context) error {
		defer close(left)
		return inner(ctx)
	}
	c := dial(t, start(t, Options{API: api}))
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- c.Wait(ctx, backend.WaitOptions{}) }()
	<-api.asked
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled call: %v", err)
	}
	<-left // the engine's side was cancelled, too
}

func TestLogStopsWhenTheCallerHasEnough(t *testing.T) {
	api := &fakeAPI{versions: make([]backend.Version, 100_000)}
	c := dial(t, start(t, Options{API: api}))
	n := 0
	err := c.Log(t.Context(), backend.LogOptions{}, func(backend.Version) error {
		if n++; n == 3 {
			return errPlain
		}
		return nil
	})
	if !errors.Is(err, errPlain) || n != 3 {
		t.Errorf("%d versions, %v", n, err)
	}
	if _, err := c.Status(t.Context()); err != nil {
		t.Errorf("after an aborted log: %v", err)
	}
}

func TestEndOfEngineDuringACall(t *testing.T) {
	api := &fakeAPI{asked: make(chan any, 1), blocked: func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}}
	s := start(t, Options{API: api})
	c := dial(t, s)
	result := make(chan error, 1)
	go func() { result <- c.Wait(t.Context(), backend.WaitOptions{}) }()
	<-api.asked
	s.cancel()
	if err := <-result; !Unavailable(err) {
		t.Errorf("call cut off by the engine's end: %v", err)
	}
	if err := <-s.done; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if _, err := Dial(t.Context(), s.socket); err == nil {
		t.Error("the socket still answers")
	}
}

func TestShutdown(t *testing.T) {
	refuse := true
	var got ShutdownOptions
	s := start(t, Options{API: &fakeAPI{}, Shutdown: func(_ context.Context, o ShutdownOptions) (Ended, error) {
		got = o
		if refuse {
			return Ended{}, fmt.Errorf("/m is %w", ErrMounted)
		}
		return Ended{backend.WithHint(fmt.Errorf("docs: %w", backend.ErrDamaged), "mend it")}, nil
	}})
	c := dial(t, s)
	if _, err := c.Shutdown(t.Context(), ShutdownOptions{Handover: true}); !errors.Is(err, ErrMounted) {
		t.Errorf("refused handover: %v", err)
	}
	if _, err := c.Status(t.Context()); err != nil {
		t.Errorf("the engine does not go on after a refusal: %v", err)
	}
	refuse = false
	end, err := c.Shutdown(t.Context(), ShutdownOptions{Lazy: true})
	if err != nil || !errors.Is(end.Uncommitted, backend.ErrDamaged) || backend.Hint(end.Uncommitted) != "mend it" {
		t.Errorf("shutdown: %v, left %v", err, end.Uncommitted)
	}
	if err := <-s.done; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if want := (ShutdownOptions{Lazy: true}); got != want {
		t.Errorf("asked %+v, want %+v", got, want)
	}
}

func TestIdleEnds(t *testing.T) {
	busy := make(chan bool, 1)
	busy <- true
	release := make(chan struct{})
	api := &fakeAPI{asked: make(chan any, 1), blocked: func(context.Context) error {
		<-release
		return nil
	}}
	asked := make(chan struct{}, 16)
	s := start(t, Options{API: api, Idle: 10 * time.Millisecond, Busy: func() bool {
		b := <-busy
		busy <- b
		select {
		case asked <- struct{}{}:
		default:
		}
		return b
	}})
	c := dial(t, s)
	result := make(chan error, 1)
	go func() { result <- c.Wait(t.Context(), backend.WaitOptions{}) }()
	<-api.asked
	for range 3 { // it looked three times and did not end while busy
		<-asked
	}
	<-busy
	busy <- false
	for range 3 { // nor while a call is active
		<-asked
	}
	close(release)
	if err := <-result; err != nil {
		t.Errorf("call: %v", err)
	}
	if err := <-s.done; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

func TestBadRequests(t *testing.T) {
	c := dial(t, start(t, Options{API: &fakeAPI{}}))
	for _, body := range []string{"", "{", `"x"`, `{"limit":"x"}`} {
		resp, err := c.web.Post("http://smfs/v1/log", "application/json", bytes.NewReader([]byte(body)))
		if err != nil {
			t.Fatal(err)
		}
		if err := readFailure(resp); !errors.Is(err, backend.ErrInvalid) {
			t.Errorf("body %q: %s, %v", body, resp.Status, err)
		}
	}
	resp, err := c.web.Get("http://smfs/v1/nothing")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusNotFound {
		t.Errorf("unknown call: %s", resp.Status)
	}
}
