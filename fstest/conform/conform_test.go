package conform

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/silvermirror/smfs/fstest"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	code := m.Run()
	fstest.RemoveBuild()
	os.Exit(code)
}

// checks are all checks, by class.
func checks() []check {
	return slices.Concat(
		nameChecks(), openChecks(), dirChecks(), renameChecks(), linkChecks(), namelessChecks(),
		timeChecks(), setTimeChecks(), statChecks(),
		dataChecks(), spaceChecks(), transferChecks(), mapChecks(), lockChecks(), eventChecks(), specialChecks(),
		xattrChecks(), aclChecks(), modeChecks(), userChecks(),
		differences(),
	)
}

// kinds are the mounts that root makes.
var kinds = []kind{
	{"passthrough", everybody, true, nil},
	{"passthrough for all", users, true, []string{"-o", "allow_other"}},
	{"no passthrough for all", users, false, []string{"--no-passthrough", "-o", "allow_other"}},
}

// TestConform runs the checks as root, on an ext4 of its own, in each kind of
// mount that root can make.
func TestConform(t *testing.T) {
	fstest.ForRoot(t)
	disk := newDisk(t)
	program := fstest.Program{Path: fstest.Build(t)}
	plain := inPlain(t, mkdir(t, disk, "plain"), users)
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			m := fstest.MirrorAt(t, program, mkdir(t, disk, k.name))
			m.Mount(k.args...)
			if s := m.Status(); s.Passthrough != k.passthrough {
				t.Errorf("the mount's passthrough: %v", s.Passthrough)
			}
			conforms(t, m, k, plain)
		})
	}
}

// TestConformAsUser runs them as an ordinary user, who mounts by fusermount3.
func TestConformAsUser(t *testing.T) {
	dir := t.TempDir()
	if os.Geteuid() == 0 {
		dir = newDisk(t)
	}
	if !fstest.AsUser(t, dir) {
		return
	}
	plain := inPlain(t, t.TempDir(), everybody)
	m := fstest.NewMirror(t, fstest.UserProgram(t), "mirror")
	m.Mount()
	conforms(t, m, kind{name: "user"}, plain)
}

// inPlain runs the checks in a plain directory and returns the transcripts.
func inPlain(t *testing.T, dir string, whose audience) map[string]string {
	transcripts := map[string]string{}
	eachCheck(t, "plain", whose, func(t *testing.T, c check) {
		if _, ok := transcripts[c.name]; ok {
			t.Errorf("two checks are called %q", c.name)
		}
		transcripts[c.name] = play(t, c, filepath.Join(dir, c.name))
	})
	return transcripts
}

// conforms runs the checks in a mount, compares the transcripts with those of a
// plain directory, and what is committed with what is there.
func conforms(t *testing.T, m *fstest.Mirror, k kind, plain map[string]string) {
	eachCheck(t, "mount", k.whose, func(t *testing.T, c check) {
		want, dir := plain[c.name], m.Path(c.name)
		if c.differs(k) {
			if play(quiet{t}, c, dir) == want {
				t.Errorf("the mount does as a plain directory, although %s", c.why)
			}
			return
		}
		if got := play(t, c, dir); got != want {
			t.Errorf("in a plain directory (-) and in the mount (+):\n%s", difference(want, got))
		}
	})
	m.Run("wait", "--committed")
	must(t, fstest.SameAsHead(m, special(m)))
	m.Umount()
	must(t, errors.Join(fstest.SameAsHead(m, special(m)), fstest.Fsck(m)))
}

func eachCheck(t *testing.T, where string, whose audience, run func(*testing.T, check)) {
	t.Run(where, func(t *testing.T) {
		for _, c := range checks() {
			if c.whose <= whose {
				t.Run(c.name, func(t *testing.T) { run(t, c) })
			}
		}
	})
}

// difference shows the lines that two transcripts do not share.
func difference(want, got string) string {
	a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
	var out []string
	for _, l := range a {
		if !slices.Contains(b, l) {
			out = append(out, "- "+l)
		}
	}
	for _, l := range b {
		if !slices.Contains(a, l) {
			out = append(out, "+ "+l)
		}
	}
	if out == nil {
		return "the order of\n" + got
	}
	return strings.Join(out, "\n")
}

// special tells what stays local by design: FIFOs, sockets and devices.
func special(m *fstest.Mirror) func(rel string) bool {
	return func(rel string) bool {
		var st unix.Stat_t
		if unix.Lstat(m.Path(rel), &st) != nil {
			return false
		}
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFREG, unix.S_IFDIR, unix.S_IFLNK:
			return false
		}
		return true
	}
}

// newDisk is an ext4 filesystem that other users can reach.
func newDisk(t *testing.T) string {
	t.Helper()
	tmp, err := os.MkdirTemp("", "smfs-conform-")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(tmp) })
	image, dir := filepath.Join(tmp, "image"), mkdir(t, tmp, "disk")
	must(t, errors.Join(os.Chmod(tmp, 0o755), os.WriteFile(image, nil, 0o600), os.Truncate(image, 1<<30)))
	run(t, "mkfs.ext4", "-q", "-b", "4096", "-I", "256", image)
	run(t, "mount", "-o", "loop", image, dir)
	t.Cleanup(func() {
		for range 1000 { // a daemon that has ended its mount may still be on its way out
			if err = unix.Unmount(dir, 0); err != unix.EBUSY {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if err != nil {
			t.Errorf("unmount the disk: %v", err)
			unix.Unmount(dir, unix.MNT_DETACH)
		}
	})
	return dir
}

func mkdir(t *testing.T, dir, name string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	must(t, os.Mkdir(path, 0o755))
	return path
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
