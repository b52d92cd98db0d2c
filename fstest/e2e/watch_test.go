package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/silvermirror/smfs/fstest"
	"github.com/silvermirror/smfs/fstest/sshd"
	"golang.org/x/sys/unix"
)

// needsUniqueMounts skips before Linux 6.8: there nobody is told.
func needsUniqueMounts(t *testing.T) {
	t.Helper()
	var st unix.Statx_t
	check(t, unix.Statx(unix.AT_FDCWD, "/", 0, unix.STATX_MNT_ID_UNIQUE, &st))
	if st.Mask&unix.STATX_MNT_ID_UNIQUE == 0 {
		t.Skip("this kernel does not tell mounts apart for good")
	}
}

// TestWatchersHear: a program that watches in a mount hears of what is done in
// another mirror.
func TestWatchersHear(t *testing.T) {
	needsUniqueMounts(t)
	for name, args := range map[string][]string{"usual": nil, "no passthrough": {"--no-passthrough"}, "others": {"--allow-other"}} {
		t.Run(name, func(t *testing.T) {
			if args != nil && os.Geteuid() != 0 {
				t.Skip("for root")
			}
			t.Parallel()
			a, b, host := pairOf(t)
			a.Mount(args...)
			b.Mount(args...)
			connect(t, a, b, host)
			mirrored(a, b)
			watchersHear(t, a, b)
			same(t, a, b)
			watchersEnd(t, a, b)
		})
	}
}

// TestUsersWatchersHear is the same for an ordinary user, who has two mirrors at a
// common peer.
func TestUsersWatchersHear(t *testing.T) {
	needsUniqueMounts(t)
	const hubVariable, homeVariable, programVariable = "SMFS_TEST_HUB", "SMFS_TEST_SSH_HOME", "SMFS_TEST_HUB_PROGRAM"
	p := fstest.UserProgram(t)
	if !fstest.IsUsersHalf() {
		t.Setenv(programVariable, p.Path)
		host := sshd.Start(t)
		hub := fstest.NewMirror(t, fstest.Program{Path: p.Path, Env: host.Env()}, "hub")
		t.Cleanup(host.Down)
		t.Setenv(hubVariable, host.URL(hub.Dir))
		t.Setenv(homeVariable, homeFor(t, host))
	}
	if !asUser(t) {
		return
	}
	p.Env = append(os.Environ(), "HOME="+os.Getenv(homeVariable))
	a, b := fstest.NewMirror(t, p, "A"), fstest.NewMirror(t, p, "B")
	for _, m := range []*fstest.Mirror{a, b} {
		m.Mount()
		m.Run("peer", "add", "hub", os.Getenv(hubVariable), "--command", os.Getenv(programVariable))
	}
	watchersHear(t, a, b)
	meet(t, a, b)
	watchersEnd(t, a, b)
}

// homeFor is a home directory of the ordinary user's who may log in.
func homeFor(t *testing.T, host *sshd.Server) string {
	t.Helper()
	home, err := os.MkdirTemp("", "smfs-home-")
	check(t, err)
	t.Cleanup(func() { os.RemoveAll(home) })
	check(t, os.CopyFS(home, os.DirFS(host.ClientHome)))
	if os.Geteuid() != 0 {
		return home
	}
	check(t, filepath.WalkDir(home, func(path string, _ os.DirEntry, err error) error {
		return errors.Join(err, os.Chown(path, fstest.Ordinary, fstest.Ordinary))
	}))
	check(t, os.Chmod(filepath.Join(home, ".ssh/id_ed25519"), 0o600))
	return home
}

// watchersHear makes each kind of change in one mirror, and listens in the other.
func watchersHear(t *testing.T, from, to *fstest.Mirror) {
	t.Helper()
	check(t, os.MkdirAll(from.Path("d/sub"), 0o755))
	for _, name := range []string{"edited", "saved", "gone", "moved"} {
		write(t, from.Path("d/"+name), "old")
	}
	eventually(t, "all of it there", func() bool {
		entries, err := os.ReadDir(to.Path("d"))
		return err == nil && len(entries) == 5
	})
	w := fstest.Watch(t, to.Dir, "d", "d/edited", "d/saved", "d/gone", "d/sub")
	writer := to.Status().Resources[0].Head

	write(t, from.Path("d/new"), "new")
	w.Hears("d create new", "d modify new", "d close_write new")
	f, err := os.OpenFile(from.Path("d/edited"), os.O_WRONLY|os.O_APPEND, 0)
	check(t, err)
	_, err = io.WriteString(f, " and new")
	check(t, errors.Join(err, f.Close()))
	w.Hears("d/edited delete_self", "d modify edited", "d close_write edited")
	write(t, from.Path("d/.saved.swp"), "saved")
	check(t, os.Rename(from.Path("d/.saved.swp"), from.Path("d/saved")))
	w.Hears("d/saved delete_self", "d modify saved", "d close_write saved")
	check(t, os.Remove(from.Path("d/gone")))
	w.Hears("d/gone delete_self", "d delete gone")
	check(t, os.Mkdir(from.Path("d/dir"), 0o755))
	w.Hears("d create dir/")
	check(t, os.Remove(from.Path("d/sub")))
	w.Hears("d/sub delete_self", "d delete sub/")
	check(t, os.Rename(from.Path("d/moved"), from.Path("d/there")))
	w.Hears("d delete moved", "d create there")
	check(t, os.Symlink("there", from.Path("d/link")))
	w.Hears("d create link")
	if got := content(t, to.Path("d/there")); got != "old" {
		t.Errorf("the moved file reads %q", got)
	}
	check(t, os.Chmod(from.Path("d/there"), 0o600))
	w.Hears("d attrib there")
	for name, want := range map[string]string{"new": "new", "edited": "old and new", "saved": "saved"} {
		if got := content(t, to.Path("d/"+name)); got != want {
			t.Errorf("%s reads %q, not %q", name, got, want)
		}
	}
	w.Close()
	quiet(t, to, writer)
}

// quiet checks that a mirror that only listened has committed nothing since a
// commit, and has nothing to commit.
func quiet(t *testing.T, m *fstest.Mirror, since string) {
	t.Helper()
	m.Run("wait", "--committed")
	if s := m.Status().Resources[0]; s.Pending > 0 {
		t.Errorf("%d pending", s.Pending)
	}
	if own := m.Git("log", "--format=%h %s", "--author", "^"+filepath.Base(m.Dir)+" ", since+"..main"); own != "" {
		t.Errorf("what was announced was committed:\n%s", own)
	}
}

// watchersEnd unmounts, and kills the daemon, while something is announced: no
// announcer is left.
func watchersEnd(t *testing.T, from, to *fstest.Mirror) {
	t.Helper()
	w := fstest.Watch(t, to.Dir, "d")
	for i := range 200 {
		write(t, from.Path(fmt.Sprintf("d/f%d", i)), "text")
	}
	w.Hears("d create f0")
	to.Umount()
	if pids := announcers(t, to); len(pids) > 0 {
		t.Errorf("announcers are left: %v", pids)
	}
	w.Close()

	to.Mount()
	w = fstest.Watch(t, to.Dir, "d")
	write(t, from.Path("d/again"), "text")
	w.Hears("d close_write again")
	pids := announcers(t, to)
	if len(pids) != 1 {
		t.Errorf("announcers: %v", pids)
	}
	check(t, kill(to.Status().PID))
	eventually(t, "the announcer's end", func() bool { return len(announcers(t, to)) == 0 })
	w.Close()
	to.Mount()
	to.Run("wait", "--committed")
}

// announcers are the processes that announce in a mirror's mount.
func announcers(t *testing.T, m *fstest.Mirror) (pids []int) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	check(t, err)
	for _, file := range files {
		line, _ := os.ReadFile(file) // it may have ended
		args := bytes.Split(line, []byte{0})
		if len(args) > 3 && string(args[1]) == "announce" && string(args[3]) == m.Dir {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			check(t, err)
			pids = append(pids, pid)
		}
	}
	return pids
}
