package e2e

import (
	"os"
	"strings"
	"testing"

	"github.com/silvermirror/smfs/fstest"
	"github.com/silvermirror/smfs/fstest/sshd"
)

func TestMain(m *testing.M) {
	if impersonate() {
		return
	}
	code := m.Run()
	fstest.RemoveBuild()
	os.Exit(code)
}

// pairOf makes two mirrors, the first of which has the second, on another
// machine, as its peer.
func pairOf(t *testing.T) (a, b *fstest.Mirror, host *sshd.Server) {
	t.Helper()
	host = sshd.Start(t)
	p := fstest.Program{Path: fstest.Build(t), Env: host.Env()}
	a, b = fstest.NewMirror(t, p, "A"), fstest.NewMirror(t, p, "B")
	t.Cleanup(host.Down) // before the mirrors end: none wakes the other's engine again
	return a, b, host
}

func connect(t *testing.T, a, b *fstest.Mirror, host *sshd.Server) {
	t.Helper()
	a.Run("peer", "add", "b", host.URL(b.Dir), "--command", a.Program.Path)
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// mirrored waits until both show what either has written.
func mirrored(a, b *fstest.Mirror) {
	for range 2 {
		a.Run("wait", "--mirrored", "--timeout", "20s")
		b.Run("wait", "--mirrored", "--timeout", "20s")
	}
}

func TestTwoMountedMirrors(t *testing.T) {
	t.Parallel()
	a, b, host := pairOf(t)
	a.Mount()
	b.Mount()
	write(t, a.Path("before.txt"), "written before they met")
	connect(t, a, b, host)
	mirrored(a, b)
	fstest.Same(t, a.Dir, b.Dir)

	write(t, a.Path("one.txt"), "from A")
	check(t, os.MkdirAll(b.Path("d/sub"), 0o750))
	write(t, b.Path("d/sub/two.txt"), "from B")
	check(t, os.Symlink("two.txt", b.Path("d/sub/link")))
	check(t, os.Link(b.Path("d/sub/two.txt"), b.Path("d/hard")))
	check(t, os.Mkdir(b.Path("empty"), 0o700))
	mirrored(a, b)
	fstest.Same(t, a.Dir, b.Dir)

	check(t, os.Rename(a.Path("d"), a.Path("e")))
	check(t, os.Chmod(a.Path("e/hard"), 0o600))
	check(t, os.Remove(a.Path("one.txt")))
	mirrored(a, b)
	fstest.Same(t, a.Dir, b.Dir)
	if got := List(b); strings.Contains(got, "one.txt") {
		t.Errorf("one.txt is still there:\n%s", got)
	}
	if a.Head() != b.Head() {
		t.Errorf("heads differ: %s %s", a.Head(), b.Head())
	}
}

// List is what a mirror shows.
func List(m *fstest.Mirror) string {
	entries, _ := os.ReadDir(m.Dir)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, "\n")
}
