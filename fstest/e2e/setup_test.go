package e2e

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/silvermirror/smfs/fstest"
	"golang.org/x/sys/unix"
)

// Exit codes that scripts rely on.
const (
	exitFailure    = 1
	exitMounted    = 5
	exitNotMounted = 6
	exitTimeout    = 8
	exitBusy       = 10
	exitDamaged    = 11
)

// What most tests here ask of fstest.
var (
	sameAsHead = fstest.SameAsHead
	fsck       = fstest.Fsck
	own        = fstest.Own
	fileIDs    = fstest.FileIDs
	forRoot    = fstest.ForRoot
)

func asUser(t *testing.T) bool {
	t.Helper()
	return fstest.AsUser(t, "")
}

// exitsWith runs the program and checks its exit code and that it says a word.
func exitsWith(t *testing.T, m *fstest.Mirror, code int, word string, args ...string) {
	t.Helper()
	out, err := m.Try(args...)
	var exit *exec.ExitError
	got := 0
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	if got != code || !strings.Contains(out, word) {
		t.Errorf("smfs %s: exit code %d, want %d and %q:\n%s", strings.Join(args, " "), got, code, word, out)
	}
}

func newMirror(t *testing.T) *fstest.Mirror {
	t.Helper()
	return fstest.NewMirror(t, fstest.Program{Path: fstest.Build(t)}, "M")
}

// TestSetUp mounts a directory that is no mirror yet and takes the mount down.
func TestSetUp(t *testing.T) {
	m := newMirror(t)
	check(t, os.RemoveAll(m.Path(".silvermirror"))) // a fresh directory
	write(t, m.Path("there before"), "and kept")
	m.Mount()
	if s := m.Status(); !s.Mounted || len(s.Resources) != 1 || s.Resources[0].Name != "mirror" {
		t.Errorf("status: %+v", s)
	}
	for _, name := range []string{"config.ini", "store/mirror.git/HEAD"} {
		if _, err := os.Stat(m.Path(".silvermirror/" + name)); err != nil {
			t.Error(err)
		}
	}
	exitsWith(t, m, exitMounted, "mounted", "mount", m.Dir)
	write(t, m.Path("new"), "text")
	m.Umount()
	exitsWith(t, m, exitNotMounted, "not mounted", "umount", m.Dir)
	for name, want := range map[string]string{"there before": "and kept", "new": "text"} {
		if got, err := os.ReadFile(m.Path(name)); string(got) != want || err != nil {
			t.Errorf("the plain file %s reads %q, %v", name, got, err)
		}
		if got := m.Git("show", "main:"+name); got != want {
			t.Errorf("git has %q for %s", got, name)
		}
	}
	check(t, errors.Join(sameAsHead(m, nil), fsck(m)))
	if info, err := os.Stat(m.Path(".silvermirror/node.key")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the node's key: %v, %v", info, err)
	}
}

// TestMountsRace: of those who mount one mirror at once one does, and the others
// are told that it is mounted.
func TestMountsRace(t *testing.T) {
	for range 5 {
		m := newMirror(t)
		codes := make(chan int)
		const racers = 6
		for range racers {
			go func() {
				_, err := m.Try("mount", m.Dir)
				var exit *exec.ExitError
				if errors.As(err, &exit) {
					codes <- exit.ExitCode()
					return
				}
				codes <- 0
			}()
		}
		got := map[int]int{}
		for range racers {
			got[<-codes]++
		}
		if got[0] != 1 || got[exitMounted] != racers-1 {
			t.Errorf("exit codes, with how often: %v", got)
		}
		m.Umount()
	}
}

// TestMountWhileIn names who stands in the directory, or writes to a file of it,
// from before: they go on beneath the mount.
func TestMountWhileIn(t *testing.T) {
	t.Parallel()
	m := newMirror(t)
	check(t, os.WriteFile(m.Path("log"), nil, 0o644))
	for _, script := range []string{"cd \"$0\"; exec sleep 60", "exec sleep 60 >> \"$0/log\""} {
		cmd := exec.Command("sh", "-c", script, m.Dir)
		check(t, cmd.Start())
		want := fmt.Sprintf("sleep (process %d: ", cmd.Process.Pid)
		eventually(t, "a process that sleeps", func() bool {
			comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", cmd.Process.Pid))
			return err == nil && string(comm) == "sleep\n"
		})
		out, err := m.Try("mount", m.Dir)
		if err != nil || !strings.Contains(out, want) || strings.Count(out, "process ") != 1 {
			t.Errorf("mount says %q, %v; not %q", out, err, want)
		}
		check(t, cmd.Process.Kill())
		_ = cmd.Wait()
		m.Umount()
	}
	if out, err := m.Try("mount", m.Dir); err != nil || strings.Contains(out, "beneath") {
		t.Errorf("mount says %q, %v", out, err)
	}
}

// TestUmountBusy names who keeps a mount busy; --lazy takes it down anyway.
func TestUmountBusy(t *testing.T) {
	m := newMirror(t)
	m.Mount()
	write(t, m.Path("f"), "text")
	f, err := os.OpenFile(m.Path("f"), os.O_RDWR, 0)
	check(t, err)
	defer f.Close()
	exitsWith(t, m, exitBusy, strconv.Itoa(os.Getpid()), "umount", m.Dir)
	if s := m.Status(); !s.Mounted {
		t.Error("it is not mounted any more")
	}
	m.Run("umount", "--lazy", m.Dir)
	if got, err := os.ReadFile(m.Path("f")); string(got) != "text" || err != nil {
		t.Errorf("the plain file reads %q, %v", got, err)
	}
}

// TestDetached detaches a mount from under an open file: neither a new mount, which
// is refused, nor a signal ends the daemon before the file is closed.
func TestDetached(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"umount --lazy", "umount -l", "signal"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			m := newMirror(t)
			m.Mount("--no-passthrough")
			f, err := os.Create(m.Path("f"))
			check(t, err)
			defer f.Close()
			ended := func() {}
			pid := m.Status().PID
			if how == "umount --lazy" {
				m.Run("umount", "--lazy", m.Dir)
			} else {
				detach(t, m.Dir)
			}
			if how == "signal" {
				ended = killed(t, pid, unix.SIGTERM)
			} else {
				exitsWith(t, m, exitBusy, "files in it are open", "mount", m.Dir)
			}
			time.Sleep(2500 * time.Millisecond) // longer than a daemon waits for what passes
			_, err = f.WriteString("written after that")
			check(t, errors.Join(err, f.Close()))
			ended()
			m.Mount()
			has("f", "written after that")(t, m, "")
			m.Run("wait", "--committed")
			m.Umount()
			check(t, errors.Join(sameAsHead(m, nil), fsck(m)))
		})
	}
}

// TestMountAfterUmount8 takes the mount away as umount(8) does, which does not
// wait for the daemon, and mounts again at once.
func TestMountAfterUmount8(t *testing.T) {
	t.Parallel()
	m := newMirror(t)
	for i := range 10 {
		m.Mount()
		write(t, m.Path(fmt.Sprint("f", i)), "text")
		if out, err := unmount(m.Dir); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	m.Mount()
	m.Run("wait", "--committed")
	check(t, errors.Join(sameAsHead(m, nil), fsck(m)))
}

// unmount is umount(8), or what an ordinary user has for it.
func unmount(dir string) ([]byte, error) {
	if os.Geteuid() == 0 {
		return exec.Command("umount", dir).CombinedOutput()
	}
	return exec.Command("fusermount3", "-u", dir).CombinedOutput()
}

// detach is as umount -l does.
func detach(t *testing.T, dir string) {
	t.Helper()
	cmd := exec.Command("umount", "-l", dir)
	if os.Geteuid() != 0 {
		cmd = exec.Command("fusermount3", "-u", "-z", dir)
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// TestMountHoldsNothing starts a daemon with pipes as all its descriptors and
// sees them end.
func TestMountHoldsNothing(t *testing.T) {
	m := newMirror(t)
	r, w, err := os.Pipe()
	check(t, err)
	defer r.Close()
	cmd := exec.Command(m.Program.Path, "mount", m.Dir)
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = w, w, []*os.File{w, w, w}
	check(t, cmd.Start())
	check(t, w.Close())
	if _, err := io.ReadAll(r); err != nil { // until nobody has the other end
		t.Fatal(err)
	}
	check(t, cmd.Wait())
	if !m.Status().Mounted {
		t.Error("it is not mounted")
	}
}

// TestEngineInBackground: a command starts an engine, a mount takes over from
// it, and an engine that nobody needs ends.
func TestEngineInBackground(t *testing.T) {
	m := newMirror(t)
	write(t, m.Path("f"), "text")
	m.Run("wait", "--committed")
	before := m.Status()
	if before.Mounted || before.PID == 0 {
		t.Errorf("status: %+v", before)
	}
	exitsWith(t, m, exitFailure, "ended without a word", "serve", "--stdio", m.Dir)
	idle, err := unix.PidfdOpen(before.PID, 0)
	check(t, err)
	defer unix.Close(idle)
	m.Mount()
	check(t, exited(idle))
	after := m.Status()
	if !after.Mounted || after.PID == before.PID || !after.LastStart.Clean {
		t.Errorf("after the mount: %+v", after)
	}
	m.Umount()
	out, err := exec.Command(m.Program.Path, "engine", m.Dir, "--idle", "50ms").CombinedOutput()
	if err != nil {
		t.Errorf("an idle engine: %v\n%s", err, out)
	}
}

// TestScanAtMount finds what was changed while nothing was mounted.
func TestScanAtMount(t *testing.T) {
	m := newMirror(t)
	m.Mount()
	check(t, os.MkdirAll(m.Path("d/sub"), 0o755))
	for _, name := range []string{"edited", "renamed", "deleted", "d/moved along", "d/sub/deep", "saved"} {
		write(t, m.Path(name), "content of "+name)
	}
	m.Run("tag", m.Path("renamed"), "work")
	m.Run("tag", m.Path("d/moved along"), "work")
	m.Run("wait", "--committed")
	before := fileIDs(t, m)
	m.Umount()

	write(t, m.Path("edited"), "another content")
	check(t, os.Rename(m.Path("renamed"), m.Path("d/sub/new name")))
	check(t, os.Remove(m.Path("deleted")))
	check(t, os.Rename(m.Path("d"), m.Path("e")))
	write(t, m.Path("saved.tmp"), "saved anew")
	check(t, os.Rename(m.Path("saved.tmp"), m.Path("saved")))
	check(t, os.Chmod(m.Path("e/sub/deep"), 0o600))
	check(t, os.Mkdir(m.Path("fresh"), 0o700))
	check(t, os.Symlink("edited", m.Path("fresh/link")))

	m.Mount()
	m.Run("wait", "--committed")
	check(t, sameAsHead(m, nil))
	after := fileIDs(t, m)
	for from, to := range map[string]string{
		"edited": "edited", "renamed": "e/sub/new name", "d": "e", "d/sub": "e/sub",
		"d/moved along": "e/moved along", "d/sub/deep": "e/sub/deep", "saved": "saved",
	} {
		if before[from] != after[to] {
			t.Errorf("%q, now %q, was %s and is %s", from, to, before[from], after[to])
		}
	}
	if _, ok := after["deleted"]; ok {
		t.Error("what was deleted is still in the head")
	}
	for _, name := range []string{"new name", "moved along"} {
		if _, err := os.Stat(m.Path("@tags/work/" + name)); err != nil {
			t.Error(err)
		}
	}
}

// TestUmountWhileAsked ends mounts while others go on asking for the status, by
// the mount and by engines that they start.
func TestUmountWhileAsked(t *testing.T) {
	t.Parallel()
	m := newMirror(t)
	stop := make(chan struct{})
	var asking sync.WaitGroup
	for _, args := range [][]string{{"status"}, {"tags"}, {"mount", m.Dir}} {
		asking.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					_, _ = m.Try(args...) // some meet a mirror that begins or ends
				}
			}
		})
	}
	for i := range 12 {
		_, _ = m.Try("mount", m.Dir)
		if out, err := m.Try("umount", m.Dir); err != nil && !strings.Contains(out, "not mounted") {
			t.Errorf("round %d: %v\n%s", i, err, out)
		}
	}
	close(stop)
	asking.Wait()
}
