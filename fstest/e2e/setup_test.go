package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/silvermirror/smfs/backend/object"
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

// fileIDs are the identities in the head, by path.
func fileIDs(t *testing.T, m *fstest.Mirror) map[string]object.FileID {
	t.Helper()
	r, err := openRepository(m.Store())
	check(t, err)
	defer r.close()
	id, _, err := r.object("refs/heads/main^{tree}", "tree")
	check(t, err)
	tree, err := object.ParseTreeID(id)
	check(t, err)
	out := map[string]object.FileID{}
	check(t, r.identities(tree, "", out))
	return out
}

func (r *repository) identities(id object.TreeID, at string, out map[string]object.FileID) error {
	dir, err := object.DecodeDirectory(r, id)
	if err != nil {
		return err
	}
	for _, e := range dir.Entries {
		out[filepath.Join(at, e.Name)] = e.ID
		if e.Kind == object.Dir {
			if err := r.identities(e.Tree, filepath.Join(at, e.Name), out); err != nil {
				return err
			}
		}
	}
	return nil
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

// manyFiles fills a mirror with enough files for a scan to be careful, ends
// the mount and returns the head.
func manyFiles(t *testing.T, m *fstest.Mirror, n int) string {
	t.Helper()
	check(t, os.Mkdir(m.Path("many"), 0o755))
	for i := range n {
		write(t, m.Path(fmt.Sprint("many/", i)), fmt.Sprint("file ", i))
	}
	m.Mount()
	m.Run("wait", "--committed", "--timeout", "1m")
	head := m.Head()
	m.Umount()
	return head
}

// TestScanAsksBeforeManyDeletes: over half of 1,000 files gone is no delete
// before somebody says so.
func TestScanAsksBeforeManyDeletes(t *testing.T) {
	m := newMirror(t)
	head := manyFiles(t, m, 1000)
	for i := range 501 {
		check(t, os.Remove(m.Path(fmt.Sprint("many/", i))))
	}
	m.Mount()
	m.Run("wait", "--committed")
	s := m.Status().Resources[0]
	if s.Head != head || s.Files != 1000 || !strings.Contains(s.Problem, "501 of 1000") {
		t.Errorf("head %s, was %s; %d files, problem %q", s.Head, head, s.Files, s.Problem)
	}
	write(t, m.Path("many/new"), "what else changes is committed")
	m.Run("wait", "--committed")
	if s := m.Status().Resources[0]; s.Files != 1001 {
		t.Errorf("%d files after a new one", s.Files)
	}
	m.Run("sync", "--accept-deletes")
	m.Run("wait", "--committed")
	if s := m.Status().Resources[0]; s.Files != 500 || s.Problem != "" {
		t.Errorf("%d files after sync --accept-deletes, problem %q", s.Files, s.Problem)
	}
	check(t, sameAsHead(m, nil))
}

// TestRestoreMissing brings back what a scan held back for too much is missing,
// by parts: what is not asked for is held back also when it is little.
func TestRestoreMissing(t *testing.T) {
	m := newMirror(t)
	check(t, os.Mkdir(m.Path("small"), 0o755))
	write(t, m.Path("small/kept"), "small")
	head := manyFiles(t, m, 1000)
	check(t, os.RemoveAll(m.Path("many")))
	check(t, os.RemoveAll(m.Path("small")))
	m.Mount()
	m.Run("wait", "--committed")
	write(t, m.Path("new"), "put here since")
	m.Run("wait", "--committed")
	if out := m.Run("restore", "--to", "-", "many/7"); out != "file 7" {
		t.Errorf("content of many/7: %q", out)
	}
	if out := m.Run("restore", "many"); !strings.HasPrefix(out, "restored 1000 from ") {
		t.Errorf("restore many: %s", out)
	}
	m.Umount()
	m.Mount()
	m.Run("wait", "--committed")
	if s := m.Status().Resources[0]; s.Files != 1002 || !strings.Contains(s.Problem, "1 of 1002 files are missing") {
		t.Errorf("%d files, problem %q", s.Files, s.Problem)
	}
	m.Run("restore", ".")
	m.Run("wait", "--committed")
	if s := m.Status().Resources[0]; s.Files != 1002 || s.Problem != "" || s.Head == head {
		t.Errorf("%d files, problem %q, head %s", s.Files, s.Problem, s.Head)
	}
	check(t, sameAsHead(m, nil))
}

// TestHeldBackOutlastsWhatTookItsPlace: to move away what is in the place of what
// is held back deletes none of that.
func TestHeldBackOutlastsWhatTookItsPlace(t *testing.T) {
	t.Parallel()
	m := newMirror(t)
	manyFiles(t, m, 1000)
	check(t, os.RemoveAll(m.Path("many")))
	write(t, m.Path("many"), "in its place")
	m.Mount()
	refused(t, m, []string{"restore", m.Path("many")}, "something else is at many", "move it away")
	check(t, os.Rename(m.Path("many"), m.Path("mine")))
	_, _ = m.Try("wait", "--committed", "--timeout", "2s")
	if s := m.Status().Resources[0]; s.Files < 1000 {
		t.Errorf("%d files are left", s.Files)
	}
	m.Run("restore", m.Path("many"))
	m.Run("wait", "--committed")
	if s := m.Status().Resources[0]; s.Files != 1001 || s.Problem != "" {
		t.Errorf("%d files, problem %q", s.Files, s.Problem)
	}
	check(t, sameAsHead(m, nil))
}

// TestReplacedDirectoryIsHeldBack: a directory that is gone takes what was in it
// along also where something else has its name; while that is held back, nothing
// that gets the name lets it go.
func TestReplacedDirectoryIsHeldBack(t *testing.T) {
	t.Parallel()
	m := newMirror(t)
	check(t, os.Mkdir(m.Path("kept"), 0o755))
	write(t, m.Path("kept/f"), "text")
	manyFiles(t, m, 1000)
	replace := map[string]func() error{
		"mkdir": func() error { return os.Mkdir(m.Path("many"), 0o755) },
		"partial copy": func() error {
			return errors.Join(os.Mkdir(m.Path("many"), 0o755), os.WriteFile(m.Path("many/7"), []byte("file 7"), 0o644))
		},
		"file":      func() error { return os.WriteFile(m.Path("many"), []byte("in its place"), 0o644) },
		"symlink":   func() error { return os.Symlink("kept", m.Path("many")) },
		"directory": func() error { return os.Rename(m.Path("kept"), m.Path("many")) },
	}
	for name, do := range replace {
		for _, mounted := range []bool{false, true} {
			check(t, os.Rename(m.Path("many"), m.Dir+".many"))
			if mounted {
				m.Mount()
				m.Run("wait", "--committed")
				check(t, do())
			} else {
				check(t, do())
				m.Mount()
			}
			_, _ = m.Try("wait", "--committed", "--timeout", "5s") // it may say what is held back
			if n := strings.Count(m.Git("ls-tree", "-r", "--name-only", "main"), "many/"); n < 1000 {
				t.Errorf("%s, mounted %v: many has %d files in the head", name, mounted, n)
			}
			_, _ = m.Try("umount", m.Dir)
			if s, err := os.Lstat(m.Path("many")); name == "directory" && err == nil && s.IsDir() {
				check(t, os.Rename(m.Path("many"), m.Path("kept")))
			}
			check(t, os.RemoveAll(m.Path("many")))
			check(t, os.Rename(m.Dir+".many", m.Path("many")))
			m.Mount()
			m.Run("wait", "--committed")
			if s := m.Status().Resources[0]; s.Problem != "" {
				t.Errorf("%s, mounted %v: problem %s", name, mounted, s.Problem)
			}
			check(t, sameAsHead(m, nil))
			m.Umount()
			if t.Failed() {
				return
			}
		}
	}
}

// TestReplacedRootDeletesNothing: an empty directory in the place of the
// mirror's, with a copy of its state, is not a mirror whose files were deleted.
func TestReplacedRootDeletesNothing(t *testing.T) {
	m := newMirror(t)
	head := manyFiles(t, m, 20)
	check(t, os.Rename(m.Dir, m.Dir+".away"))
	check(t, os.Mkdir(m.Dir, 0o755))
	if out, err := exec.Command("cp", "-a", m.Dir+".away/.silvermirror", m.Dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	m.Mount()
	m.Run("wait", "--committed")
	s := m.Status().Resources[0]
	if s.Head != head || s.Files != 20 || s.Problem == "" {
		t.Errorf("head %s, was %s; %d files, problem %q", s.Head, head, s.Files, s.Problem)
	}
	write(t, m.Path("new"), "put here since")
	m.Run("restore", ".")
	eventually(t, "the question to end", func() bool { return m.Status().Resources[0].Problem == "" })
	if s := m.Status().Resources[0]; s.Files != 21 {
		t.Errorf("%d files after restore", s.Files)
	}
	check(t, sameAsHead(m, nil))
}

// TestHiddenDirectoryDeletesNothing: what another mount hides is not deleted.
func TestHiddenDirectoryDeletesNothing(t *testing.T) {
	m := newMirror(t)
	head := manyFiles(t, m, 20)
	s := inNamespace(t, m, "mount -t tmpfs none '"+m.Path("many")+"'").Resources[0]
	if s.Head != head || s.Files != 20 || !strings.Contains(s.Problem, "many") {
		t.Errorf("head %s, was %s; %d files, problem %q", s.Head, head, s.Files, s.Problem)
	}
}

// inNamespace looks at the mirror by an engine without a mount, in a mount
// namespace of its own in which a shell command was run before, and returns
// the status there.
func inNamespace(t *testing.T, m *fstest.Mirror, before string) fstest.Status {
	t.Helper()
	script := before + ` && "$0" -C "$1" wait --committed && "$0" -C "$1" status --json && "$0" umount "$1"`
	args := []string{"--mount", "sh", "-c", script, m.Program.Path, m.Dir}
	if os.Geteuid() != 0 {
		args = append([]string{"--user", "--map-root-user"}, args...)
	}
	cmd := exec.Command("unshare", args...)
	var failure bytes.Buffer
	cmd.Stderr = &failure
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("in a namespace: %v\n%s%s", err, out, &failure)
	}
	var s fstest.Status
	check(t, json.Unmarshal(out, &s))
	return s
}

// TestMountOptions mounts as mount(8) does with a line of fstab: through the
// helper, which is this program under another name.
func TestMountOptions(t *testing.T) {
	t.Parallel()
	m := newMirror(t)
	helper := filepath.Join(t.TempDir(), "mount.smfs")
	check(t, os.Symlink(m.Program.Path, helper))
	mount := func(args ...string) (string, error) {
		out, err := exec.Command(helper, args...).CombinedOutput()
		return string(out), err
	}
	write(t, m.Path("file"), "text")
	if out, err := mount(m.Dir, m.Dir, "-o", "rw,noauto,ro,noexec,nosuid,nodev"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !m.Status().Mounted {
		t.Error("not mounted")
	}
	if err := os.WriteFile(m.Path("file"), nil, 0o644); !errors.Is(err, unix.EROFS) {
		t.Errorf("a write to what is mounted ro: %v", err)
	}
	table, err := os.ReadFile("/proc/self/mounts")
	check(t, err)
	if line := m.Dir + " " + m.Dir + " fuse.smfs ro,nosuid,nodev,noexec,"; !strings.Contains(string(table), line) {
		t.Errorf("no %q in\n%s", line, table)
	}
	if os.Geteuid() == 0 {
		if out, err := mount(m.Dir, m.Dir, "-o", "remount,rw"); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		write(t, m.Path("file"), "text")
	}
	m.Umount()
	for word, args := range map[string][]string{
		"its own directory":              {t.TempDir(), m.Dir},
		`unknown mount option "bananas"`: {m.Dir, m.Dir, "-o", "rw,bananas"},
	} {
		if out, err := mount(args...); err == nil || !strings.Contains(out, word) {
			t.Errorf("mount.smfs %q: %v, %s", args, err, out)
		}
	}
	has("file", "text")(t, m, "")
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
