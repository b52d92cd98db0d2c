package e2e

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestService is what systemd does with the unit: it starts the program in the
// foreground, waits until it is told that the mount is there, and stops it by
// SIGTERM, which ends it once nobody is in it. What was written is committed then.
func TestService(t *testing.T) {
	m := newMirror(t)
	at := filepath.Join(t.TempDir(), "notify")
	notify, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: at, Net: "unixgram"})
	check(t, err)
	defer notify.Close()
	check(t, notify.SetReadDeadline(time.Now().Add(patience)))
	hears := func(want string) {
		t.Helper()
		told := make([]byte, 100)
		n, err := notify.Read(told)
		check(t, err)
		if got := string(told[:n]); got != want {
			t.Fatalf("systemd was told %q, not %q", got, want)
		}
	}
	unit, err := os.ReadFile("../../cmd/smfs/smfs@.service")
	check(t, err)
	_, line, found := strings.Cut(string(unit), "\nExecStart=/usr/local/bin/smfs ")
	if !found {
		t.Fatalf("no ExecStart in %s", unit)
	}
	line, _, _ = strings.Cut(line, "\n")
	cmd := exec.Command(m.Program.Path, strings.Fields(strings.ReplaceAll(line, "%f", m.Dir))...)
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+at)
	var log bytes.Buffer
	cmd.Stderr = &log
	check(t, cmd.Start())
	hears("READY=1")
	if s := m.Status(); !s.Mounted {
		t.Error("it is ready without being mounted")
	}
	write(t, m.Path("f"), "text")
	inside, err := os.Open(m.Dir)
	check(t, err)
	check(t, cmd.Process.Signal(syscall.SIGTERM))
	hears("STOPPING=1")
	check(t, inside.Close())
	if err := cmd.Wait(); err != nil {
		t.Errorf("it ended with %v:\n%s", err, &log)
	}
	out, err := exec.Command("git", "--git-dir", m.Store(), "show", "HEAD:f").CombinedOutput()
	if err != nil || string(out) != "text" {
		t.Errorf("committed is %q, %v", out, err)
	}
}
