package backend_test

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	indexFile = ".silvermirror/index/mirror"
	markFile  = indexFile + ".synced"
)

// losePower ends the engine as a power loss does: the index is not believed any
// more, and what was synced last was what the mark in kept says.
func (m *mirror) losePower(kept []byte) {
	m.t.Helper()
	m.stop()
	must(m.t, os.WriteFile(filepath.Join(m.dir, markFile), kept, 0o600))
	must(m.t, os.WriteFile(filepath.Join(m.dir, indexFile+".open"), []byte("another boot\n"), 0o600))
}

func (m *mirror) path(name string) string { return filepath.Join(m.dir, name) }

// shows are the files and directories, with what is in them and how.
func (m *mirror) shows() map[string]string {
	m.t.Helper()
	list := map[string]string{}
	must(m.t, filepath.WalkDir(m.dir, func(path string, d os.DirEntry, err error) error {
		must(m.t, err)
		if d.Name() == ".silvermirror" {
			return filepath.SkipDir
		}
		info, err := d.Info()
		must(m.t, err)
		name, text := path[len(m.dir):], info.Mode().String()
		switch {
		case info.Mode().IsRegular():
			data, err := os.ReadFile(path)
			must(m.t, err)
			text += " " + info.ModTime().String() + " " + string(data)
		case info.Mode()&os.ModeSymlink != 0:
			target, err := os.Readlink(path)
			must(m.t, err)
			text += " -> " + target
		}
		list[name] = text
		return nil
	}))
	return list
}

// TestPowerLoss takes from the disk what a power loss can take of what was
// committed after the last sync: all comes back, and nothing of it is committed
// as somebody's edit.
func TestPowerLoss(t *testing.T) {
	m := openMirror(t, t.TempDir())
	old := time.Now().Add(-time.Hour)
	for _, name := range []string{"torn", "older", "gone again", "moved", "deleted", "far/away/file", "far/deep", "mode", "same"} {
		m.write(name, "first "+name)
		must(t, os.Chtimes(m.path(name), old, old))
	}
	must(t, os.Symlink("first", m.path("link")))
	m.sync()
	m.stop() // which syncs
	mark, err := os.ReadFile(m.path(markFile))
	must(t, err)

	m = openMirror(t, m.dir)
	m.sync()
	m.write("torn", "second torn, longer")
	m.write("older", "second older")
	m.write("empty", "new, and all in it")
	m.write("new/dir/file", "new")
	must(t, os.Mkdir(m.path("new/bare"), 0o755))
	must(t, os.Remove(m.path("deleted")))
	must(t, os.Rename(m.path("moved"), m.path("new/moved")))
	must(t, os.Rename(m.path("far"), m.path("near")))
	m.write("near/away/file", "second, in the directory that moved")
	must(t, os.Chmod(m.path("mode"), 0o600))
	must(t, os.Remove(m.path("link")))
	must(t, os.Symlink("second", m.path("link")))
	m.sync()
	want, head := m.shows(), m.git("rev-parse", "main")
	m.losePower(mark)

	at := func(name string) time.Time {
		info, err := os.Lstat(m.path(name))
		must(t, err)
		return info.ModTime()
	}
	tear := func(name, content string, when time.Time) {
		must(t, os.WriteFile(m.path(name), []byte(content), 0o644))
		must(t, os.Chtimes(m.path(name), when, when))
	}
	tear("torn", "second\x00\x00\x00\x00\x00", at("torn"))
	tear("older", "first older", old)
	tear("empty", "", at("empty"))
	tear("deleted", "first deleted", old)
	must(t, os.Rename(m.path("new/moved"), m.path("moved")))
	must(t, os.RemoveAll(m.path("new")))
	must(t, os.Rename(m.path("near"), m.path("far")))
	tear("far/away/file", "first far/away/file", old)
	must(t, os.Chmod(m.path("mode"), 0o644))
	must(t, os.Remove(m.path("link")))

	m = openMirror(t, m.dir)
	m.sync()
	if got := m.shows(); !maps.Equal(got, want) {
		for _, name := range slices.Sorted(maps.Keys(want)) {
			if got[name] != want[name] {
				t.Errorf("%s is %q, want %q", name, got[name], want[name])
			}
		}
		for name := range got {
			if _, ok := want[name]; !ok {
				t.Errorf("%s is there", name)
			}
		}
	}
	if now := m.git("rev-parse", "main"); now != head {
		t.Errorf("it was committed: %s", m.git("log", "--stat", head+"..main"))
	}
	m.wantSettled()
}

// TestPowerLossKeepsEdits: what was synced before, and what has a later time, is
// an edit although the power was lost.
func TestPowerLossKeepsEdits(t *testing.T) {
	m := openMirror(t, t.TempDir())
	old := time.Now().Add(-time.Hour)
	m.write("long ago", "first")
	m.write("touched", "first")
	m.sync()
	m.stop()
	mark, err := os.ReadFile(m.path(markFile))
	must(t, err)
	m = openMirror(t, m.dir)
	m.write("recent", "second")
	m.sync()
	m.losePower(mark)

	m.write("long ago", "put there with a time of old")
	must(t, os.Chtimes(m.path("long ago"), old, old))
	must(t, os.Chtimes(m.path("touched"), old, old))
	m.write("recent", "third")
	must(t, os.Chtimes(m.path("recent"), time.Now(), time.Now().Add(time.Second)))
	m = openMirror(t, m.dir)
	m.sync()
	for name, text := range map[string]string{"long ago": "put there with a time of old", "recent": "third", "touched": "first"} {
		if got := m.read(name); got != text {
			t.Errorf("%s is %q", name, got)
		}
		if got := m.git("show", "main:"+name); got != text {
			t.Errorf("%s is committed as %q", name, got)
		}
	}
	var st unix.Stat_t
	must(t, unix.Stat(m.path("touched"), &st))
	if st.Mtim.Nano() != old.UnixNano() {
		t.Errorf("the time of touched is %v", time.Unix(0, st.Mtim.Nano()))
	}
	m.wantSettled()
}

// TestSyncMark: the mark follows what is committed, when a sync is due and at the
// engine's end.
func TestSyncMark(t *testing.T) {
	m := openMirror(t, t.TempDir())
	synced := func() bool {
		mark, err := os.ReadFile(m.path(markFile))
		return err == nil && string(mark) == m.git("rev-parse", "main^{tree}")+"\n"
	}
	m.write("file", "text")
	m.sync()
	if synced() {
		t.Error("it is synced at once")
	}
	must(t, m.engine.SyncDue(context.Background()))
	eventually(t, "a mark at the head", synced)
	m.write("file", "another text")
	m.sync()
	m.stop()
	if !synced() {
		t.Error("the end of the engine has not synced")
	}
}
