package backend_test

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/silvermirror/smfs/backend"
)

// TestOfflineHistories changes a mirror at random while no engine runs, and
// wants the head to be what is on disk whenever one has run again.
func TestOfflineHistories(t *testing.T) {
	histories(t, offlineHistory)
}

func offlineHistory(t *testing.T, rnd *rand.Rand) {
	h := newHistory(t, rnd)
	h.dirs = nil
	for _, a := range []string{"a", "b", "c"} { // few and deep: they move into each other
		h.dirs = append(h.dirs, a)
		for _, b := range []string{"a", "b"} {
			h.dirs = append(h.dirs, a+"/"+b, a+"/"+b+"/a", a+"/"+b+"/b")
		}
	}
	defer h.showIfFailed()
	few := backend.CommitAtMost([]int{1, 3, 20, 0}[rnd.IntN(4)])
	m := openMirror(t, t.TempDir(), few)
	for range 15 {
		m.stop()
		for range 1 + rnd.IntN(60) {
			h.step(m)
		}
		h.note("open")
		m = openMirror(t, m.dir, mounted, few)
		must(t, m.engine.Wait(context.Background(), backend.WaitOptions{Timeout: time.Minute}))
		if m.wantSettled(); t.Failed() {
			return
		}
	}
	m.git("fsck", "--strict")
}

// mounted has an engine scan once, at its start, as one with a mount does.
func mounted(o *backend.Options) { o.Mounted = true }

// TestMovedIntoNewDirectories changes what is in directories that were moved
// into new ones, all while no engine runs.
func TestMovedIntoNewDirectories(t *testing.T) {
	m := openMirror(t, t.TempDir())
	for _, p := range []string{"a/d/edited", "a/d/removed", "a/d/s/moved", "y/z/out", "y/z/removed"} {
		m.write(p, "old "+p)
	}
	m.sync()
	m.stop()
	for _, mv := range [][2]string{{"a/d", "new/deep/d"}, {"y", "n/y"}, {"n/y/z/out", "n/out"}, {"new/deep/d/s/moved", "new/moved"}} {
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(m.dir, mv[1])), 0o755))
		must(t, os.Rename(filepath.Join(m.dir, mv[0]), filepath.Join(m.dir, mv[1])))
	}
	m.write("new/deep/d/edited", "new and longer")
	m.write("new/deep/d/added", "new")
	must(t, os.Remove(m.dir+"/new/deep/d/removed"))
	must(t, os.RemoveAll(m.dir+"/n/y/z"))
	m = openMirror(t, m.dir, mounted)
	must(t, m.engine.Wait(context.Background(), backend.WaitOptions{Timeout: time.Minute}))
	m.wantSettled()
	for path, want := range map[string]string{
		"new/deep/d/edited": "new and longer", "new/deep/d/added": "new", "new/moved": "old a/d/s/moved", "n/out": "old y/z/out",
	} {
		if got := m.git("show", "main:"+path); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
}

// TestRestoredFromAnArchive puts files back as an archive with whole seconds has
// them: they are as they were.
func TestRestoredFromAnArchive(t *testing.T) {
	m := openMirror(t, t.TempDir())
	m.write("same", "text")
	m.write("edited", "text")
	must(t, os.Chtimes(m.dir+"/same", time.Time{}, time.Unix(1_700_000_000, 123)))
	must(t, os.Chtimes(m.dir+"/edited", time.Time{}, time.Unix(1_700_000_000, 123)))
	m.sync()
	head := m.engine.Head()
	m.stop()
	restore := func(name, text string) {
		must(t, os.WriteFile(m.dir+"/"+name, []byte(text), 0o644))
		must(t, os.Chtimes(m.dir+"/"+name, time.Time{}, time.Unix(1_700_000_000, 0)))
	}
	restore("same", "text")
	m = openMirror(t, m.dir, mounted)
	must(t, m.engine.Wait(context.Background(), backend.WaitOptions{Timeout: time.Minute}))
	if got := m.engine.Head(); got != head {
		t.Errorf("taken for an edit: %s", m.git("show", "--stat", got))
	}
	m.wantSettled()
	m.stop()
	restore("edited", "other text")
	m = openMirror(t, m.dir, mounted)
	must(t, m.engine.Wait(context.Background(), backend.WaitOptions{Timeout: time.Minute}))
	m.wantSettled()
	if got := m.git("show", "main:edited"); got != "other text" {
		t.Errorf("edited is %q", got)
	}
}

// TestScanCutShort ends an engine before it has scanned: the next one finds what
// the scan would have, although its journal knows of all that came since.
func TestScanCutShort(t *testing.T) {
	m := openMirror(t, t.TempDir(), mounted)
	m.write("edited", "old")
	m.write("deleted", "old")
	m.sync()
	m.stop()
	m.write("edited", "new and longer")
	must(t, os.Remove(m.dir+"/deleted"))
	_, end, err := openEngine(m.dir, slog.New(slog.DiscardHandler), mounted)
	must(t, err)
	must(t, end())
	trusted := func(o *backend.Options) { o.Trusted = true }
	m = openMirror(t, m.dir, mounted, trusted)
	must(t, m.engine.Wait(context.Background(), backend.WaitOptions{Timeout: time.Minute}))
	m.wantSettled()

	m.stop()
	m.write("edited", "unseen") // nobody promised to look
	m = openMirror(t, m.dir, mounted, trusted)
	must(t, m.engine.Wait(context.Background(), backend.WaitOptions{Timeout: time.Minute}))
	s, err := m.engine.Status(context.Background())
	must(t, err)
	if s.LastStart.Scanned != 0 {
		t.Errorf("%d names were scanned although the journal knew all", s.LastStart.Scanned)
	}
}
