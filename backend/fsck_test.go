package backend_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/silvermirror/smfs/backend"
	"github.com/silvermirror/smfs/journal"
)

// fsck returns the findings of a check.
func (m *mirror) fsck(repair bool) (list []backend.Finding) {
	m.t.Helper()
	must(m.t, m.engine.Fsck(context.Background(), backend.FsckOptions{Repair: repair}, func(n backend.FsckNews) error {
		if n.Finding != nil {
			list = append(list, *n.Finding)
		}
		return nil
	}))
	return list
}

// wantFindings compares the findings of a check with "part: state: text", of
// which each must have the beginning and contain the text.
func (m *mirror) wantFindings(repair bool, want ...string) {
	m.t.Helper()
	got := m.fsck(repair)
	ok := len(got) == len(want)
	for i := 0; ok && i < len(got); i++ {
		w := strings.SplitN(want[i], ": ", 3)
		ok = got[i].Part == w[0] && got[i].State == w[1] && strings.Contains(got[i].Text, w[2])
	}
	if !ok {
		m.t.Errorf("found %+v, want %q", got, want)
	}
}

// TestFsckHeldUp has a start that cannot journal what its scan has found: who waits
// for it is told, and does not wait on.
func TestFsckHeldUp(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(dir+"/file", nil, 0o644))
	e, closeEngine, err := openEngine(dir, slog.New(slog.DiscardHandler), func(o *backend.Options) { must(t, o.Journal.Close()) })
	must(t, err)
	t.Cleanup(func() { _ = closeEngine() }) // which cannot commit either
	e.Start()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for what, err := range map[string]error{
		"fsck": e.Fsck(ctx, backend.FsckOptions{}, func(backend.FsckNews) error { return nil }),
		"wait": e.Wait(ctx, backend.WaitOptions{}),
	} {
		if !errors.Is(err, journal.ErrClosed) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestFsckTags has the tags in memory go astray.
func TestFsckTags(t *testing.T) {
	a := openMirror(t, t.TempDir())
	a.write("one", "1")
	a.write("two", "2")
	a.sync()
	a.tag("one", "work")
	a.wantFindings(false)
	a.engine.LoseTags()
	a.wantFindings(false, `tags: damaged: one has the tags ["work"]`)
	a.wantFindings(true, `tags: mended: one has the tags ["work"]`)
	a.wantFindings(false)
}

// TestFsckWentBack loses the newest commit, and with it what it said: whatever the
// files have more, or other, or older, is an edit and stays.
func TestFsckWentBack(t *testing.T) {
	a := openMirror(t, t.TempDir())
	a.write("kept", "kept")
	a.write("edited", "first")
	a.write("reverted", "first")
	a.sync()
	a.write("reverted", "second")
	a.sync()
	a.write("edited", "second")
	a.write("reverted", "first")
	a.write("new", "new")
	old := time.Now().Add(-time.Hour)
	for _, name := range []string{"edited", "reverted"} {
		must(t, os.Chtimes(a.dir+"/"+name, old, old)) // as cp -p and rsync leave them
	}
	a.sync()
	lost := a.engine.Head()
	a.stop()
	must(t, os.WriteFile(a.dir+"/.silvermirror/store/mirror.git/refs/heads/main", []byte(strings.Repeat("12", 20)+"\n"), 0o600))
	a.dropPackOf(lost)
	a = openMirror(t, a.dir, func(o *backend.Options) { o.Repair = true })
	found := a.fsck(true)
	if len(found) == 0 || found[len(found)-1].State != backend.Mended {
		t.Errorf("found %+v", found)
	}
	a.sync()
	a.wantFindings(false)
	for name, want := range map[string]string{"kept": "kept", "edited": "second", "reverted": "first", "new": "new"} {
		if got := a.read(name); got != want {
			t.Errorf("%s is %q, not %q", name, got, want)
		}
		if got := a.git("show", "main:"+name); strings.TrimSpace(got) != want {
			t.Errorf("%s is %q in the history, not %q", name, got, want)
		}
	}
}

// dropPackOf removes the pack that holds a commit.
func (m *mirror) dropPackOf(commit string) {
	m.t.Helper()
	dir := m.dir + "/.silvermirror/store/mirror.git/objects/pack"
	names, err := os.ReadDir(dir)
	must(m.t, err)
	for _, n := range names {
		idx, ok := strings.CutSuffix(n.Name(), ".idx")
		if ok && strings.Contains(m.git("verify-pack", "-v", dir+"/"+n.Name()), commit) {
			must(m.t, os.Remove(dir+"/"+idx+".idx"))
			must(m.t, os.Remove(dir+"/"+idx+".pack"))
			return
		}
	}
	m.t.Fatalf("no pack holds %s", commit)
}
