package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/silvermirror/smfs/fstest"
	"golang.org/x/sys/unix"
)

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
