package e2e

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/silvermirror/smfs/fstest"
)

// signalled sends the daemon a signal, as a logout or a shutdown does, and returns
// what waits until it has ended.
func signalled(t *testing.T, m *fstest.Mirror, signal unix.Signal) (wait func()) {
	t.Helper()
	return killed(t, m.Status().PID, signal)
}

func killed(t *testing.T, pid int, signal unix.Signal) (wait func()) {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	check(t, err)
	t.Cleanup(func() { unix.Close(fd) })
	check(t, unix.PidfdSendSignal(fd, signal, nil, 0))
	return func() {
		t.Helper()
		check(t, exited(fd))
	}
}

// TestEndsBySignal commits what is journaled before it ends, and unmounts.
func TestEndsBySignal(t *testing.T) {
	t.Parallel()
	m := newMirror(t)
	for i, signal := range []unix.Signal{unix.SIGTERM, unix.SIGHUP, unix.SIGINT} {
		m.Mount()
		check(t, os.Mkdir(m.Path(fmt.Sprint("d", i)), 0o755))
		for j := range 50 {
			write(t, m.Path(fmt.Sprintf("d%d/%d", i, j)), "text")
		}
		signalled(t, m, signal)()
		if _, err := os.Lstat(m.Path("@tags")); !errors.Is(err, os.ErrNotExist) {
			t.Fatalf("%v: it is mounted still: %v", signal, err)
		}
		check(t, errors.Join(sameAsHead(m, nil), fsck(m)))
	}
	m.Mount()
	if s := m.Status().LastStart; !s.Clean {
		t.Errorf("last start: %+v", s)
	}
}

// TestSignalWhileBusy has a file open all the while: it can be written to until it is
// closed, which ends the daemon.
func TestSignalWhileBusy(t *testing.T) {
	t.Parallel()
	m := newMirror(t)
	m.Mount()
	write(t, m.Path("before"), "text")
	f, err := os.Create(m.Path("open"))
	check(t, err)
	ended := signalled(t, m, unix.SIGTERM)
	eventually(t, "the mount's end", func() bool {
		_, err := os.Lstat(m.Path("@tags"))
		return errors.Is(err, os.ErrNotExist)
	})
	_, err = f.WriteString("written after the signal")
	check(t, errors.Join(err, f.Close()))
	ended()
	has("open", "written after the signal")(t, m, "")
	check(t, errors.Join(sameAsHead(m, nil), fsck(m)))
	m.Mount()
	if s := m.Status().LastStart; !s.Clean {
		t.Errorf("last start: %+v", s)
	}
}
