package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/silvermirror/smfs/backend"
	"github.com/silvermirror/smfs/backend/control"
	"github.com/silvermirror/smfs/backend/peer"
)

func TestServeStdio(t *testing.T) {
	f := newFixture(t)
	f.serve(false)
	f.cwd = "/"
	said := fmt.Sprintf("smfs-peer/%d\n\x00raw\xff", peer.Protocol)
	f.stdin = strings.NewReader(said)
	if code := f.run("serve", "--stdio", f.base); code != exitOK || f.stdout.String() != said {
		t.Errorf("exit %d: %q, %s", code, &f.stdout, &f.stderr)
	}
	for said, want := range map[string]string{
		"":                       "ended without a word",
		"GET / HTTP/1.1\r\n\r\n": `is not smfs: it said "GET / HTTP/1.1"`,
		"smfs-peer/9999\n":       "speaks protocol 9999",
	} {
		f.stdin = strings.NewReader(said)
		if code := f.run("serve", "--stdio", f.base); code != exitFailure || !strings.Contains(f.stderr.String(), want) {
			t.Errorf("%q: exit %d: %s", said, code, &f.stderr)
		}
	}
}

// A command waits for an engine that has the lock and does not listen yet.
func TestConnectWaitsForTheSocket(t *testing.T) {
	f := newFixture(t)
	f.api.status = &backend.Status{PID: 77}
	_, announce := f.serveLater(false)
	code := make(chan int)
	go func() { code <- f.run("status") }()
	announce()
	if c := <-code; c != exitOK || !strings.Contains(f.stdout.String(), "engine 77") {
		t.Errorf("exit %d: %s%s", c, &f.stdout, &f.stderr)
	}
}

func TestHandOver(t *testing.T) {
	f := newFixture(t)
	a := newApp()
	if err := a.handOver(t.Context(), f.mirror()); err != nil {
		t.Errorf("without an engine: %v", err)
	}
	ended := f.serve(false)
	if err := a.handOver(t.Context(), f.mirror()); err != nil {
		t.Errorf("of an engine without a mount: %v", err)
	}
	<-ended
	if c, err := a.connectRunning(t.Context(), f.mirror()); !errors.Is(err, errNoEngine) {
		t.Errorf("an engine still answers: %v, %v", c, err)
	}
	f.serve(true)
	if err := a.handOver(t.Context(), f.mirror()); !errors.Is(err, control.ErrMounted) || exitCode(err) != exitMounted {
		t.Errorf("of a mounted one: %v", err)
	}
}

func TestUmount(t *testing.T) {
	f := newFixture(t)
	t.Chdir(f.base) // umount leaves it, and the test's end comes back
	if code := f.run("umount"); code != exitNotMounted || !strings.Contains(f.stderr.String(), f.base+" is not mounted\nhint: ") {
		t.Errorf("exit %d: %s", code, &f.stderr)
	}
	ended := f.serve(false)
	if code := f.run("umount"); code != exitOK || !strings.Contains(f.stderr.String(), "was not mounted; its engine") {
		t.Errorf("exit %d: %s", code, &f.stderr)
	}
	<-ended
	ended = f.serve(true)
	if code := f.run("umount", f.base); code != exitOK || f.stderr.Len() != 0 {
		t.Errorf("exit %d: %s", code, &f.stderr)
	}
	<-ended
	if wd, err := os.Getwd(); err != nil || wd != "/" {
		t.Errorf("umount keeps the mount busy from %s, %v", wd, err)
	}
}

func TestUmountTellsWhatIsNotCommitted(t *testing.T) {
	for _, flags := range [][]string{nil, {"--lazy"}} {
		f := newFixture(t)
		t.Chdir(f.base)
		f.uncommitted = backend.WithHint(fmt.Errorf("docs/a cannot be read: %w", backend.ErrDamaged), "chmod it")
		ended := f.serve(true)
		code := f.run(append([]string{"umount", f.base}, flags...)...)
		<-ended
		if code != exitDamaged || !strings.Contains(f.stderr.String(), "not all is committed: docs/a cannot be read: damaged\nhint: chmod it\n") {
			t.Errorf("umount %q: exit %d: %s", flags, code, &f.stderr)
		}
	}
}

func TestUmountInUse(t *testing.T) {
	f := newFixture(t)
	t.Chdir(f.base)
	inUse := make(chan struct{})
	f.inUse = inUse
	ended := f.serve(true)
	if code := f.run("umount", f.base); code != exitBusy || !strings.Contains(f.stderr.String(), "a.txt is open: busy\nhint: close what") {
		t.Errorf("in use: exit %d: %s", code, &f.stderr)
	}
	// Lazily it returns although the file stays open, and the daemon goes on.
	if code := f.run("umount", "--lazy", f.base); code != exitOK || !strings.Contains(f.stderr.String(), "ends when the last file") {
		t.Errorf("lazily: exit %d: %s", code, &f.stderr)
	}
	select {
	case <-ended:
		t.Error("the daemon ended from under an open file")
	default:
	}
	close(inUse)
	<-ended
}

func TestLogIsPutAside(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, logName)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, logLimit+1); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		f, err := openLog(dir)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString("x\n"); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "x\nx\n" {
		t.Errorf("log %q, %v", data, err)
	}
	if info, err := os.Stat(path + ".1"); err != nil || info.Size() != logLimit+1 {
		t.Errorf("old log: %v, %v", info, err)
	}
}
