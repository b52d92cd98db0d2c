package tree

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// openTree opens a Tree over dir, walking as the kernel allows or, if beside,
// a component at a time.
func openTree(t *testing.T, dir string, o Options, beside bool) *Tree {
	t.Helper()
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	tr, err := Open(fd, o)
	if err != nil {
		t.Fatal(err)
	}
	tr.beside = tr.beside || beside
	t.Cleanup(func() {
		if err := tr.Close(); err != nil {
			t.Error(err)
		}
	})
	return tr
}

// bothWalks runs a test over a fresh directory with each way of walking.
func bothWalks(t *testing.T, test func(t *testing.T, tr *Tree, dir string)) {
	for name, beside := range map[string]bool{"openat2": false, "stepwise": true} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			test(t, openTree(t, dir, Options{Resource: "test"}, beside), dir)
		})
	}
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func xattrs(t *testing.T, tr *Tree, path string) []Xattr {
	t.Helper()
	list, _, err := tr.Xattrs(path)
	check(t, err)
	return list
}

func target(t *testing.T, tr *Tree, path string) string {
	t.Helper()
	to, _, err := tr.Readlink(path)
	check(t, err)
	return to
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got error %v, want %v", err, want)
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	check(t, os.WriteFile(path, []byte(content), 0o644))
}

func read(t *testing.T, path string) string {
	t.Helper()
	return string(must[[]byte](t)(os.ReadFile(path)))
}

func contents(t *testing.T, tr *Tree, path string) string {
	t.Helper()
	f := must[*File](t)(tr.OpenFile(path))
	defer f.Close()
	return string(must[[]byte](t)(io.ReadAll(f)))
}

// temp makes a temp with content in dir.
func temp(t *testing.T, tr *Tree, dir, content string) *Temp {
	t.Helper()
	tmp := must[*Temp](t)(tr.NewTemp(dir, 0o644, nil))
	if _, err := io.WriteString(tmp, content); err != nil {
		t.Fatal(err)
	}
	return tmp
}

// noTemps fails if temps are left anywhere in dir.
func noTemps(t *testing.T, dir string) {
	t.Helper()
	check(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && IsTemp(d.Name()) {
			t.Errorf("left behind: %s", path)
		}
		return err
	}))
}

// newRand makes a generator whose seed is printed.
func newRand(t *testing.T) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// inChild reports whether the test runs in the child that runAgain starts.
func inChild() bool { return os.Getenv("SMFS_TREE_CHILD") != "" }

// runAgain runs tests in a child process with other privileges or namespaces.
func runAgain(t *testing.T, run, tmp string, attr *syscall.SysProcAttr) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	cmd := exec.CommandContext(ctx, "/proc/self/exe", "-test.run", run, "-test.v")
	cmd.Env = append(os.Environ(), "SMFS_TREE_CHILD=1", "TMPDIR="+tmp)
	cmd.SysProcAttr = attr
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("child: %v\n%s", err, out)
	}
	t.Logf("child:\n%s", out)
}
