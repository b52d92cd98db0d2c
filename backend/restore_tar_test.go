package backend_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/silvermirror/smfs/backend"
)

// TestRestoreArchive unpacks what comes of a directory with tar(1).
func TestRestoreArchive(t *testing.T) {
	m := openMirror(t, t.TempDir())
	m.write("d/sub/a", "text")
	m.write("d/odd\xff\n\"name", "odd")
	m.write("d/large", string(bytes.Repeat([]byte("0123456789abcdef"), 200_000)))
	must(t, os.Link(m.path("d/sub/a"), m.path("d/b")))
	must(t, os.Symlink("../nowhere", m.path("d/link")))
	must(t, os.Mkdir(m.path("d/empty"), 0o750))
	must(t, os.Chmod(m.path("d/sub/a"), 0o640))
	must(t, unix.Setxattr(m.path("d/b"), "user.test", []byte("x\x00=\n"), 0))
	m.sync()
	want := (&mirror{t: t, dir: m.path("d")}).list()
	must(t, os.Rename(m.path("d"), m.path("e")))
	m.sync()
	at := m.engine.Head()
	must(t, os.RemoveAll(m.path("e")))
	m.sync()
	var archive bytes.Buffer
	out, err := m.engine.Restore(t.Context(), backend.RestoreOptions{Path: "e", At: at, Archive: true}, &archive)
	must(t, err)
	if out.Files != 5 {
		t.Errorf("%d files", out.Files)
	}
	to := filepath.Join(t.TempDir(), "to")
	must(t, os.Mkdir(to, 0o755))
	tar := exec.Command("tar", "-x", "--xattrs", "-C", to)
	tar.Stdin = &archive
	if text, err := tar.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	if got := (&mirror{t: t, dir: to}).list(); got != want {
		t.Errorf("unpacked are\n%s\nand there were\n%s", got, want)
	}
}
