package e2e

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/silvermirror/smfs/fstest"
)

// userMirror is a mirror of the ordinary user.
func userMirror(t *testing.T) *fstest.Mirror {
	t.Helper()
	return fstest.NewMirror(t, fstest.UserProgram(t), "M")
}

// TestUser is the whole of everyday life without root: FUSE by fusermount3, no
// passthrough.
func TestUser(t *testing.T) {
	if !asUser(t) {
		return
	}
	m := userMirror(t)
	m.Mount()
	if s := m.Status(); !s.Mounted || s.LastStart.Scanned < 0 {
		t.Errorf("status: %+v", s)
	}
	write(t, m.Path("f"), "first")
	f, err := os.OpenFile(m.Path("f"), os.O_WRONLY|os.O_APPEND, 0)
	check(t, err)
	_, err = f.WriteString(" and second")
	check(t, errors.Join(err, f.Sync(), f.Close()))
	check(t, os.MkdirAll(m.Path("d/sub"), 0o755))
	check(t, os.Rename(m.Path("f"), m.Path("d/sub/g")))
	check(t, os.Link(m.Path("d/sub/g"), m.Path("d/h")))
	check(t, os.Symlink("d/h", m.Path("l")))
	check(t, os.Chmod(m.Path("d/h"), 0o640))
	check(t, os.Truncate(m.Path("d/h"), 5))
	write(t, m.Path("tmp"), "saved")
	check(t, os.Rename(m.Path("tmp"), m.Path("d/h")))
	check(t, os.Remove(m.Path("l")))
	m.Run("wait", "--committed")
	check(t, sameAsHead(m, nil))
	if got, err := os.ReadFile(m.Path("d/sub/g")); string(got) != "first" || err != nil {
		t.Errorf("d/sub/g reads %q, %v", got, err)
	}
	exitsWith(t, m, exitMounted, "mounted", "mount", m.Dir)

	check(t, kill(m.Status().PID)) // and take the stale mount over
	m.Mount()
	if s := m.Status(); !s.Mounted || s.LastStart.Scanned != 0 {
		t.Errorf("after a kill: %+v", s)
	}
	write(t, m.Path("after"), "the kill")
	m.Umount()
	check(t, errors.Join(sameAsHead(m, nil), fsck(m)))
}

// TestUnreadableIsNotDeleted: what the daemon may not read has not gone.
func TestUnreadableIsNotDeleted(t *testing.T) {
	if !asUser(t) {
		return
	}
	m := userMirror(t)
	head := manyFiles(t, m, 20)
	check(t, os.Chmod(m.Path("many"), 0o000))
	m.Mount()
	m.Run("wait", "--committed")
	s := m.Status().Resources[0]
	if s.Files != 20 || !strings.Contains(s.Problem, "many") {
		t.Errorf("%d files, problem %q", s.Files, s.Problem)
	}
	m.Umount()
	check(t, os.Chmod(m.Path("many"), 0o755))
	m.Mount()
	m.Run("wait", "--committed")
	check(t, sameAsHead(m, nil))
	if was, is := m.Git("ls-tree", "-r", "--name-only", head), m.Git("ls-tree", "-r", "--name-only", "main"); was != is {
		t.Errorf("the head had\n%s\nand has\n%s", was, is)
	}
}

// TestUnreadableIsNamed: a file that the daemon may not read is named by what
// would have it committed, and is not waited for.
func TestUnreadableIsNamed(t *testing.T) {
	if !asUser(t) {
		return
	}
	m := userMirror(t)
	m.Mount()
	write(t, m.Path("sealed"), "text")
	check(t, os.Chmod(m.Path("sealed"), 0o000))
	exitsWith(t, m, exitFailure, `sealed: open "sealed": permission denied`, "wait", "--timeout", "1m")
	exitsWith(t, m, exitFailure, `sealed: open "sealed": permission denied`, "umount", m.Dir)
	exitsWith(t, m, exitNotMounted, "not mounted", "umount", m.Dir)
	log, err := os.ReadFile(m.Path(".silvermirror/smfs.log"))
	check(t, err)
	if n := strings.Count(string(log), "path=sealed"); n != 1 {
		t.Errorf("the log names it %d times", n)
	}

	m.Mount() // it has stayed journaled
	check(t, os.Chmod(m.Path("sealed"), 0o600))
	m.Run("wait")
	m.Umount()
	check(t, sameAsHead(m, nil))
}

// TestSealedMirror: a mirror that may not be looked into is not taken for none.
func TestSealedMirror(t *testing.T) {
	if !asUser(t) {
		return
	}
	m := userMirror(t)
	check(t, os.Chmod(m.Path(".silvermirror"), 0o000))
	exitsWith(t, m, exitFailure, "permission denied\nhint: it is another user's", "status")
	check(t, os.Chmod(m.Path(".silvermirror"), 0o700))
}

// TestRootOnce has root use an ordinary user's mirror: it stays the user's.
func TestRootOnce(t *testing.T) {
	forRoot(t)
	t.Parallel()
	m := newMirror(t)
	check(t, os.RemoveAll(m.Path(".silvermirror")))
	check(t, os.Chown(m.Dir, fstest.Ordinary, fstest.Ordinary))
	m.Mount()
	write(t, m.Path("f"), "by root")
	m.Run("tag", m.Path("f"), "work")
	m.Umount()
	m.Run("tags", "f")
	m.Run("umount", m.Dir)
	check(t, filepath.WalkDir(m.Path(".silvermirror"), func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Sys().(*syscall.Stat_t).Uid != fstest.Ordinary {
			t.Errorf("%s is root's", path)
		}
		return err
	}))
}
