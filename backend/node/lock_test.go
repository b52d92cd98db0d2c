package node

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"testing"
)

// TestMain is also the process that holds a lock for TestLockOfADeadProcess.
func TestMain(m *testing.M) {
	if dir := os.Getenv("NODE_TEST_HOLD"); dir != "" {
		hold(dir)
	}
	os.Exit(m.Run())
}

// hold takes the lock, says so, and stays until it is killed.
func hold(dir string) {
	l, err := Take(context.Background(), dir)
	if err == nil {
		err = l.Announce("/the/socket", true)
	}
	if err != nil {
		os.Stdout.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
	os.Stdout.WriteString("held\n")
	_, _ = os.Stdin.Read(make([]byte, 1)) // ends with the test, if that does not kill it
	os.Exit(1)
}

func take(t *testing.T, dir string) *Lock {
	t.Helper()
	l, err := Take(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestLock(t *testing.T) {
	dir := t.TempDir()
	if _, held, err := ReadHolder(dir); held || err != nil {
		t.Errorf("before any: held %v, %v", held, err)
	}
	l := take(t, dir)
	if l.Previous() != (Holder{}) {
		t.Errorf("the first lock follows %+v", l.Previous())
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Take(over, dir); !errors.Is(err, ErrLocked) {
		t.Errorf("second lock: %v", err)
	}
	if h, held, err := ReadHolder(dir); !held || err != nil || h.PID != os.Getpid() || h.Socket != "" {
		t.Errorf("starting: %+v, %v, %v", h, held, err)
	}
	if err := l.Announce("/a/long/name/of/a/socket", false); err != nil {
		t.Fatal(err)
	}
	if err := l.Announce("/s", true); err != nil {
		t.Fatal(err)
	}
	if h, held, err := ReadHolder(dir); !held || err != nil || h.Socket != "/s" || !h.Mounted {
		t.Errorf("serving: %+v, %v, %v", h, held, err)
	}

	// Who waits gets it when it is free.
	got := make(chan *Lock)
	go func() {
		next, err := Take(t.Context(), dir)
		if err != nil {
			t.Error(err)
		}
		got <- next
	}()
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
	next := <-got
	if next.Previous() != (Holder{}) {
		t.Errorf("after a clean end: %+v", next.Previous())
	}
	if err := next.Abandon(); err != nil {
		t.Fatal(err)
	}
	last := take(t, dir)
	if last.Previous().PID != os.Getpid() || !last.SameBoot() {
		t.Errorf("after an unclean end: %+v, same boot %v", last.Previous(), last.SameBoot())
	}
	if err := last.Release(); err != nil {
		t.Fatal(err)
	}
}

func TestLockOfADeadProcess(t *testing.T) {
	dir := t.TempDir()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), "NODE_TEST_HOLD="+dir)
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "held\n" {
		t.Fatalf("the other process says %q, %v", line, err)
	}
	if h, held, err := ReadHolder(dir); !held || err != nil || h.PID != cmd.Process.Pid {
		t.Errorf("held by %+v, %v, %v", h, held, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("the other process ended by itself")
	}
	l := take(t, dir)
	if p := l.Previous(); p.PID != cmd.Process.Pid || !p.Mounted || p.Socket != "/the/socket" {
		t.Errorf("previous: %+v", p)
	}
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
}

func TestTornLockFile(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/"+lockName, []byte(`{"pid":7,"so`), 0o600); err != nil {
		t.Fatal(err)
	}
	l := take(t, dir)
	if l.Previous().PID != -1 {
		t.Errorf("after a torn file: %+v", l.Previous())
	}
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
}
