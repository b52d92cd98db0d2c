package backend_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

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
func openMirror(t *testing.T, dir string, with ...func(*backend.Options)) *mirror {
	t.Helper()
	m := &mirror{t: t, dir: dir}
	log := slog.New(slog.NewTextHandler(testLog{t}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	e, closeEngine, err := openEngine(dir, log.With("mirror", filepath.Base(dir)), with...)
	must(t, err)
	m.engine = e
	e.Start()
	stopped := false
	m.stop = func() {
		if stopped {
			return
		}
		stopped = true
		must(t, closeEngine())
	}
	t.Cleanup(m.stop)
	return m
}

// openJournaled starts an engine that learns of all changes from its journal, as
// if there were a mount.
func openJournaled(t *testing.T, dir string, log io.Writer) *journaled {
	t.Helper()
	var j *journal.Journal
	e, closeEngine, err := openEngine(dir, slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})), func(o *backend.Options) {
		o.Mounted, j = true, o.Journal
	})
	must(t, err)
	e.Start()
	t.Cleanup(func() { must(t, closeEngine()) })
	return &journaled{mirror: &mirror{t: t, dir: dir, engine: e}, journal: j,
		failed: func(err error) { t.Error(err) },
		note:   func(format string, args ...any) { fmt.Fprintf(log, format+"\n", args...) },
	}
}

// openEngine opens the engine of a mirror, making it one if it is none, and
// returns what closes it.
func openEngine(dir string, log *slog.Logger, with ...func(*backend.Options)) (*backend.Engine, func() error, error) {
	base, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	state := filepath.Join(dir, ".silvermirror")
	conf := config.Default(dir)
	n, _, err := node.Create(state, node.New{Name: "test", Config: conf.Encode()})
	if err != nil {
		return nil, nil, err
	}
	j, err := journal.Open(filepath.Join(state, "journal"), journal.Options{})
	if err != nil {
		return nil, nil, err
	}
	o := backend.Options{Base: base, State: state, Config: conf, Node: n, Journal: j, Log: log}
	for _, f := range with {
		f(&o)
	}
	e, err := backend.Open(o)
	if err != nil {
		return nil, nil, err
	}
	return e, func() error {
		return errors.Join(e.Close(context.Background()), j.Close(), unix.Close(base))
	}, nil
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
	m.engine.Tidied() // git fsck complains of a pack that goes while it runs, as beside its own gc
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

func TestRestoreTagLog(t *testing.T) {
	ctx := context.Background()
	m := openMirror(t, t.TempDir())
	m.write("d/a.txt", "one")
	m.sync()
	must(t, m.engine.Tag(ctx, backend.TagOptions{Paths: []string{"d/a.txt"}, Tags: []string{"work", "urgent"}}))
	m.write("d/a.txt", "two, longer")
	m.sync()
	must(t, os.Rename(m.dir+"/d", m.dir+"/e"))
	m.sync()
	lists, err := m.engine.Tags(ctx, []string{"e/a.txt"})
	must(t, err)
	if got := strings.Join(lists[0].Tags, " "); got != "urgent work" {
		t.Errorf("tags after rename are %q", got)
	}
	files, err := m.engine.TaggedFiles("work,urgent")
	must(t, err)
	if len(files) != 1 || files[0].Path != "e/a.txt" {
		t.Errorf("tagged files: %v", files)
	}
	var subjects []string
	must(t, m.engine.Log(ctx, backend.LogOptions{Path: "e/a.txt"}, func(v backend.Version) error {
		subjects = append(subjects, v.Path+": "+v.Subject)
		return nil
	}))
	t.Log(strings.Join(subjects, "\n"))
	if len(subjects) != 4 {
		t.Errorf("log has %d versions, want 4", len(subjects))
	}
	_, err = m.engine.Restore(ctx, backend.RestoreOptions{Path: "e/a.txt"}, nil)
	must(t, err)
	data, err := os.ReadFile(m.dir + "/e/a.txt")
	must(t, err)
	if string(data) != "one" {
		t.Errorf("restored %q", data)
	}
	must(t, os.RemoveAll(m.dir+"/e"))
	m.sync()
	_, err = m.engine.Restore(ctx, backend.RestoreOptions{Path: "e"}, nil)
	must(t, err)
	data, err = os.ReadFile(m.dir + "/e/a.txt")
	must(t, err)
	if string(data) != "one" {
		t.Errorf("restored %q", data)
	}
	m.sync()
	m.git("fsck", "--strict")
	st, err := m.engine.Status(ctx)
	must(t, err)
	if st.Resources[0].Files != 1 || st.Resources[0].Pending != 0 || st.Resources[0].Problem != "" {
		t.Errorf("status: %+v", st.Resources[0])
	}
	m.stop()
	m2 := openMirror(t, m.dir)
	m2.sync()
	if got := m2.git("rev-parse", "main"); got != st.Resources[0].Head {
		t.Errorf("reopening made a commit: %s", m2.git("log", "--stat", "-1"))
	}
}

// TestRestoreAtNoVersion says why there is none.
func TestRestoreAtNoVersion(t *testing.T) {
	m := openMirror(t, t.TempDir())
	m.write("f", "text")
	m.sync()
	for at, want := range map[string]string{
		"1999-01-01":           "nothing in mirror is as old as 1999-01-01 23:59:59: its history begins at 20",
		"1999-01-01T00:00:00Z": "nothing in mirror is as old as",
		"0123456789":           `mirror has no commit "0123456789"`,
	} {
		_, err := m.engine.Restore(context.Background(), backend.RestoreOptions{Path: "f", At: at}, nil)
		if !errors.Is(err, backend.ErrNotFound) || !strings.Contains(err.Error(), want) {
			t.Errorf("at %s: %v", at, err)
		}
	}
	_, err := m.engine.Restore(context.Background(), backend.RestoreOptions{Path: "f", At: "0s"}, nil)
	must(t, err)
}

// TestCloseInLargeFile ends an engine while it reads a large file, which is left to
// the next one.
func TestCloseInLargeFile(t *testing.T) {
	dir := t.TempDir()
	large := filepath.Join(dir, "large")
	must(t, os.WriteFile(large, nil, 0o644))
	must(t, os.Truncate(large, 1<<34))
	var j *journal.Journal
	var base int
	e, _, err := openEngine(dir, slog.New(slog.DiscardHandler), func(o *backend.Options) { j, base = o.Journal, o.Base })
	must(t, err)
	e.Start()
	time.Sleep(300 * time.Millisecond) // it reads
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	err = e.Close(ctx)
	if d := time.Since(start); !errors.Is(err, backend.ErrTimeout) || d > 10*time.Second {
		t.Errorf("after %s: %v", d, err)
	}
	must(t, errors.Join(j.Close(), unix.Close(base)))

	must(t, os.Truncate(large, 5))
	m := openMirror(t, dir)
	m.sync()
	if got := m.git("cat-file", "-s", "main:large"); got != "5" {
		t.Errorf("it has %s bytes", got)
	}
}
