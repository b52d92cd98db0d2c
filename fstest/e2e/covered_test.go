package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/silvermirror/smfs/fstest"
)

// TestCoveredInMount mounts another filesystem inside of the mount: what is in it is
// not mirrored, what it hides is not deleted, and status tells.
func TestCoveredInMount(t *testing.T) {
	forRoot(t)
	t.Parallel()
	m := newMirror(t)
	m.Mount()
	check(t, errors.Join(os.Mkdir(m.Path("sub"), 0o755), put(m, "sub/x", "hidden"), put(m, "one", "1")))
	m.Run("wait", "--committed")
	head := m.Head()
	check(t, unix.Mount("tmpfs", m.Path("sub"), "tmpfs", 0, "size=1m"))
	t.Cleanup(func() { unix.Unmount(m.Path("sub"), unix.MNT_DETACH) })
	check(t, put(m, "sub/y", "not mirrored"))
	m.Run("sync", "--accept-deletes")
	if s := m.Status(); s.Resources[0].Head != head || !slices.Equal(s.Covered, []string{"sub"}) {
		t.Errorf("head %s, was %s; covered: %q", s.Resources[0].Head, head, s.Covered)
	}
	contains(t, m.Run("status"), "another filesystem is mounted there, what is in it stays on this machine: sub")
	refused(t, m, []string{"umount", m.Dir}, "a mount at "+m.Path("sub"))
	check(t, put(m, "two", "2"))
	m.Run("wait", "--committed")

	check(t, unix.Unmount(m.Path("sub"), 0))
	has("sub/x", "hidden")(t, m, "")
	if s := m.Status(); len(s.Covered) > 0 {
		t.Errorf("covered: %q", s.Covered)
	}
	check(t, sameAsHead(m, nil))
}

// TestCoveredBelowMount mounts another filesystem in the backing directory, as one
// in /etc/fstab is before the mirror: it shows in the mount, but is no part of the
// mirror, and it cannot be removed.
func TestCoveredBelowMount(t *testing.T) {
	forRoot(t)
	t.Parallel()
	m := newMirror(t)
	m.Mount()
	check(t, errors.Join(os.Mkdir(m.Path("sub"), 0o755), put(m, "sub/x", "hidden"), put(m, "one", "1")))
	m.Run("wait", "--committed")
	head := m.Head()
	m.Umount()
	check(t, unix.Mount("tmpfs", m.Path("sub"), "tmpfs", 0, "size=1m"))
	t.Cleanup(func() { unix.Unmount(m.Path("sub"), unix.MNT_DETACH) })
	m.Mount()
	check(t, put(m, "sub/y", "not mirrored"))
	for what, err := range map[string]error{
		"rename": os.Rename(m.Path("sub"), m.Path("sup")),
		"remove": os.Remove(m.Path("sub")),
	} {
		if !errors.Is(err, unix.EBUSY) && !errors.Is(err, unix.EXDEV) {
			t.Errorf("%s: %v", what, err)
		}
	}
	before := cpuTime(t, m)
	time.Sleep(time.Second)
	if spent := cpuTime(t, m) - before; spent > 300*time.Millisecond {
		t.Errorf("looking again and again takes %v of a second", spent)
	}
	_, _ = m.Try("sync", "--accept-deletes")
	exitsWith(t, m, exitFailure, "another filesystem is mounted there", "wait", "--committed")
	if s := m.Status(); s.Resources[0].Head != head || !slices.Equal(s.Covered, []string{"sub"}) {
		t.Errorf("head %s, was %s; covered: %q", s.Resources[0].Head, head, s.Covered)
	}
	contains(t, m.Status().Resources[0].Problem, "sub", "another filesystem is mounted there")
	check(t, put(m, "two", "2"))
	eventually(t, "a commit of what is beside it", func() bool { return m.Status().Resources[0].Files == 3 })
	_, _ = m.Try("umount", m.Dir) // it names sub

	check(t, unix.Unmount(m.Path("sub"), 0))
	m.Mount()
	m.Run("wait", "--committed")
	s := m.Status()
	if s.Resources[0].Problem != "" || len(s.Covered) > 0 || s.LastStart.Replayed > 100 {
		t.Errorf("problem %q, covered %q, %d records were replayed", s.Resources[0].Problem, s.Covered, s.LastStart.Replayed)
	}
	has("sub/x", "hidden")(t, m, "")
	check(t, sameAsHead(m, nil))
}

// cpuTime is what the daemon has used.
func cpuTime(t *testing.T, m *fstest.Mirror) time.Duration {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", m.Status().PID))
	check(t, err)
	f := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')'):]))
	const tick = 10 * time.Millisecond
	return time.Duration(number(t, f[12])+number(t, f[13])) * tick
}

// TestCoveredWaits has a peer change what another filesystem hides: that waits, and
// arrives when the other one is gone. What is in that is not touched.
func TestCoveredWaits(t *testing.T) {
	forRoot(t)
	t.Parallel()
	a, b, _ := mounted(t)
	for _, dir := range []string{"sub", "gone"} {
		check(t, errors.Join(os.Mkdir(a.Path(dir), 0o755), put(a, dir+"/x", "hidden"), put(a, dir+"/y", "hidden")))
	}
	mirrored(a, b)
	a.Umount()
	for _, dir := range []string{"sub", "gone"} {
		check(t, unix.Mount("tmpfs", a.Path(dir), "tmpfs", 0, "size=1m"))
		t.Cleanup(func() { unix.Unmount(a.Path(dir), unix.MNT_DETACH) })
		check(t, put(a, dir+"/x", "of the other filesystem"))
	}
	a.Mount()
	check(t, errors.Join(put(b, "sub/x", "changed"), os.Remove(b.Path("sub/y")), os.RemoveAll(b.Path("gone")), put(b, "one", "1")))
	b.Run("wait", "--committed")
	eventually(t, "what is not hidden", func() bool { _, err := os.Stat(a.Path("one")); return err == nil })
	eventually(t, "what is hidden, in the status", func() bool {
		status := a.Run("status")
		return strings.Contains(status, "a newer version waits: sub/x (") && strings.Contains(status, "another filesystem is mounted there")
	})
	for _, dir := range []string{"sub", "gone"} {
		has(dir+"/x", "of the other filesystem")(t, a, "")
	}
	has("sub/x", "changed")(t, b, "")
	_, _ = a.Try("umount", a.Dir)

	for _, dir := range []string{"sub", "gone"} {
		check(t, unix.Unmount(a.Path(dir), 0))
	}
	a.Mount()
	meet(t, a, b)
	has("sub/x", "changed")(t, a, "")
	for _, name := range []string{"sub/y", "gone"} {
		if _, err := os.Lstat(b.Path(name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is there again: %v", name, err)
		}
	}
}
