package fs

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// background starts a program, and waits for its first line.
func background(t *testing.T, name string, args ...string) (cmd *exec.Cmd, input io.WriteCloser) {
	t.Helper()
	cmd = exec.Command("/proc/self/exe", args...)
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), programEnv+"="+name)
	cmd.Stderr = os.Stderr
	input, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatalf("%s said %q, %v", name, line, err)
	}
	return cmd, input
}

// TestUnmountBusy names who holds the mount, and goes on serving.
func TestUnmountBusy(t *testing.T) {
	eachPath(t, func(w *world) {
		w.write("f", "text")
		holder, input := background(w.t, "hold", w.path("f"))
		err := w.m.Unmount(false)
		var busy *BusyError
		if !errors.As(err, &busy) || !errors.Is(err, unix.EBUSY) {
			w.t.Fatalf("unmount: %v", err)
		}
		found := false
		for _, h := range busy.Holders {
			found = found || h.PID == holder.Process.Pid && h.Path == w.path("f") && h.How == "open" && h.Command != ""
		}
		if !found || !strings.Contains(err.Error(), w.path("f")) {
			w.t.Errorf("holders %+v of process %d: %v", busy.Holders, holder.Process.Pid, err)
		}
		if got := w.read("f"); got != "text" {
			w.t.Errorf("afterwards it reads %q", got)
		}
		must(w.t, input.Close())
		must(w.t, holder.Wait())
		must(w.t, w.m.Unmount(false))
		must(w.t, w.m.Unmount(false)) // once more is no error
		if b, err := os.ReadFile(filepath.Join(w.dir, "f")); string(b) != "text" || err != nil {
			w.t.Errorf("the plain file reads %q, %v", b, err)
		}
	})
}

// TestUnmountLazily takes the mount away at once; who has a file open keeps it.
func TestUnmountLazily(t *testing.T) {
	eachPath(t, func(w *world) {
		w.write("f", "text")
		f, err := os.OpenFile(w.path("f"), os.O_RDWR, 0)
		must(w.t, err)
		must(w.t, w.m.Unmount(true))
		if ours, err := isOurs(mountIDOf(w.dir)); ours || err != nil {
			w.t.Errorf("it is still there: %v", err)
		}
		_, err = f.WriteAt([]byte("more"), 0)
		must(w.t, err)
		must(w.t, f.Close())
		w.m.Wait()
		if got := w.readBelow("f"); got != "more" {
			w.t.Errorf("holds %q", got)
		}
	})
}

// TestStale: the mount of a daemon that was killed is found and taken away; one
// that lives, and no mount, are left alone.
func TestStale(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "mirror")
	must(t, os.Mkdir(dir, 0o755))
	if stale, err := Stale(dir); stale || err != nil {
		t.Errorf("an empty directory: %v, %v", stale, err)
	}
	must(t, Detach(dir))
	daemon, _ := background(t, "daemon", dir, filepath.Join(t.TempDir(), "journal"))
	t.Cleanup(func() { Detach(dir) })
	if stale, err := Stale(dir); stale || err != nil {
		t.Errorf("a daemon that lives: %v, %v", stale, err)
	}
	must(t, os.WriteFile(filepath.Join(dir, "f"), []byte("text"), 0o644))
	must(t, daemon.Process.Kill())
	daemon.Wait()
	_, err := os.ReadDir(dir)
	wantErrno(t, "list the dead mount", err, unix.ENOTCONN)
	if stale, err := Stale(dir); !stale || err != nil {
		t.Errorf("a dead daemon: %v, %v", stale, err)
	}
	must(t, Detach(dir))
	if b, err := os.ReadFile(filepath.Join(dir, "f")); string(b) != "text" || err != nil {
		t.Errorf("the plain file reads %q, %v", b, err)
	}
}

// TestHung: a daemon that is stopped is not taken for dead.
func TestHung(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "mirror")
	must(t, os.Mkdir(dir, 0o755))
	daemon, _ := background(t, "daemon", dir, filepath.Join(t.TempDir(), "journal"))
	t.Cleanup(func() { Detach(dir) })
	must(t, daemon.Process.Signal(syscall.SIGSTOP))
	_, err := unix.Wait4(daemon.Process.Pid, nil, unix.WUNTRACED, nil)
	must(t, err)
	if stale, err := stale(dir, 10*time.Millisecond); stale || !errors.Is(err, ErrHung) {
		t.Errorf("a daemon that is stopped: %v, %v", stale, err)
	}
	must(t, daemon.Process.Signal(syscall.SIGCONT))
}

// TestMissing: what is missing is named, with what to do.
func TestMissing(t *testing.T) {
	dir := t.TempDir()
	base := openBase(t, dir)
	t.Setenv("PATH", t.TempDir())
	if _, err := attachUser(base, Options{Dir: dir}, nil); !errors.Is(err, ErrNoHelper) || !strings.Contains(err.Error(), "fuse3") {
		t.Errorf("without fusermount3: %v", err)
	}
	for said, want := range map[string]string{
		"fusermount3: option allow_other only allowed if 'user_allow_other' is set in /etc/fuse.conf": "/etc/fuse.conf",
		"fusermount3: failed to open /dev/fuse: Permission denied":                                    "/dev/fuse",
		"fusermount3: mount failed: Operation not permitted":                                          "setuid",
	} {
		err := helperError(Options{Dir: dir}, said, errors.New("exit status 1"))
		if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q gives %v", said, err)
		}
	}
	other := t.TempDir()
	if err := sameDirectory(base, other); !errors.Is(err, ErrNotBase) {
		t.Errorf("another directory: %v", err)
	}
}

func TestMountTable(t *testing.T) {
	for line, want := range map[string]mountInfo{
		`36 35 98:0 /mnt1 /mnt/a\040b rw,noatime master:1 - fuse.smfs smfs rw`: {36, 35, 98 << 20, "/mnt/a b", "fuse.smfs"},
		`40 1 0:5 / /x rw - tmpfs tmpfs rw`:                                    {40, 1, 5, "/x", "tmpfs"},
	} {
		if got, ok := parseMount(line); !ok || got != want {
			t.Errorf("%q is %+v", line, got)
		}
	}
	for _, line := range []string{"", "x", "1 2 3 4 5", "x 1 0:5 / /x rw - tmpfs", "1 x 0:5 / /x rw - tmpfs", "1 2 - "} {
		if got, ok := parseMount(line); ok {
			t.Errorf("%q is %+v", line, got)
		}
	}
}

func FuzzParseMount(f *testing.F) {
	f.Add(`36 35 98:0 /mnt1 /mnt/a\040b rw,noatime master:1 - fuse.smfs smfs rw`)
	f.Add(`1 2 3 4 \1 - x`)
	f.Fuzz(func(t *testing.T, line string) {
		m, ok := parseMount(line)
		if ok && (m.fsType == "" || len(m.point) > len(line)) {
			t.Errorf("%q is %+v", line, m)
		}
	})
}
