package backend_test

import (
	"context"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/silvermirror/smfs/backend"
	"github.com/silvermirror/smfs/backend/node"
	"github.com/silvermirror/smfs/config"
	"github.com/silvermirror/smfs/journal"
)

// mirror is a mirror without a mount, in a directory of the test's.
type mirror struct {
	t      *testing.T
	dir    string
	engine *backend.Engine
	stop   func()
}

// openMirror starts an engine on dir, making it a mirror if it is none.
func openMirror(t *testing.T, dir string) *mirror {
	t.Helper()
	m := &mirror{t: t, dir: dir}
	base, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	must(t, err)
	state := filepath.Join(dir, ".silvermirror")
	conf := config.Default(dir)
	n, _, err := node.Create(state, node.New{Name: "test", Config: conf.Encode()})
	must(t, err)
	j, err := journal.Open(filepath.Join(state, "journal"), journal.Options{})
	must(t, err)
	m.engine, err = backend.Open(backend.Options{
		Base: base, State: state, Config: conf, Node: n, Journal: j,
		Log: slog.New(slog.NewTextHandler(testLog{t}, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	must(t, err)
	m.engine.Start()
	stopped := false
	m.stop = func() {
		if stopped {
			return
		}
		stopped = true
		must(t, m.engine.Close(context.Background()))
		must(t, j.Close())
		must(t, unix.Close(base))
	}
	t.Cleanup(m.stop)
	return m
}

type testLog struct{ t *testing.T }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

var _ io.Writer = testLog{}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (m *mirror) write(path, content string) {
	m.t.Helper()
	full := filepath.Join(m.dir, path)
	must(m.t, os.MkdirAll(filepath.Dir(full), 0o755))
	must(m.t, os.WriteFile(full, []byte(content), 0o644))
}

func (m *mirror) sync() {
	m.t.Helper()
	_, err := m.engine.Sync(context.Background(), backend.SyncOptions{})
	must(m.t, err)
}

// git runs git on the mirror's store.
func (m *mirror) git(args ...string) string {
	m.t.Helper()
	cmd := exec.Command("git", append([]string{"--git-dir=" + m.dir + "/.silvermirror/store/mirror.git"}, args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		m.t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func TestScanCommits(t *testing.T) {
	m := openMirror(t, t.TempDir())
	m.write("a.txt", "one")
	m.write("d/b.txt", "two")
	m.sync()
	if got := m.git("show", "main:d/b.txt"); got != "two" {
		t.Errorf("d/b.txt is %q", got)
	}
	must(t, os.Rename(filepath.Join(m.dir, "d"), filepath.Join(m.dir, "e")))
	m.write("a.txt", "three")
	m.sync()
	must(t, os.Remove(filepath.Join(m.dir, "a.txt")))
	m.sync()
	t.Log(m.git("log", "--stat", "--format=%s"))
	m.git("fsck", "--strict")
	if got := m.git("ls-tree", "--name-only", "main"); got != ".smfs\ne" {
		t.Errorf("root holds %q", got)
	}
	if got := m.git("show", "main:e/b.txt"); got != "two" {
		t.Errorf("e/b.txt is %q", got)
	}
}
