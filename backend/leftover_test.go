package backend_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
)

func (m *mirror) read(path string) string {
	m.t.Helper()
	data, err := os.ReadFile(filepath.Join(m.dir, path))
	must(m.t, err)
	return string(data)
}

// wantSettled wants the disk, the index and the head to agree.
func (m *mirror) wantSettled() {
	m.t.Helper()
	problems, err := m.engine.Check(context.Background())
	must(m.t, err)
	for _, p := range problems {
		m.t.Errorf("mirror %s: %s", filepath.Base(m.dir), p)
	}
}

// What a crash left under hidden names is put where it belongs.
func TestLeftovers(t *testing.T) {
	m := openMirror(t, t.TempDir())
	for _, name := range []string{"home", "dir/a", "dir/sub/b", "stored", "taken", "linked"} {
		m.write(name, "content of "+name)
	}
	must(t, os.Link(m.dir+"/linked", m.dir+"/other"))
	m.sync()
	head := m.engine.Head()
	m.stop()

	hide := func(name, token string) { must(t, os.Rename(m.dir+"/"+name, m.dir+"/.smfs.tmp."+token+".swap")) }
	hide("home", "1")
	hide("dir", "aside.2")
	m = openMirror(t, m.dir)
	m.sync()
	if m.engine.Head() != head {
		t.Errorf("what went home was committed: %s", m.git("log", "-1", "--stat"))
	}
	if m.read("home") != "content of home" || m.read("dir/sub/b") != "content of dir/sub/b" {
		t.Error("what went home is not what it was")
	}
	m.wantSettled()
	m.stop()

	hide("taken", "3")
	m.write("taken", "somebody's, since")
	must(t, os.Link(m.dir+"/linked", m.dir+"/dir/.smfs.tmp.4.swap"))
	m.write(".smfs.tmp.5.swap", "content of stored")
	m.write("dir/.smfs.tmp.6.swap", "nobody has this")
	m.write("dir/.smfs.tmp.7", "half of something")
	m = openMirror(t, m.dir)
	m.sync()
	for path, want := range map[string]string{
		"taken": "somebody's, since", "recovered-3": "content of taken",
		"dir/recovered-6": "nobody has this", "stored": "content of stored", "other": "content of linked",
	} {
		if got := m.read(path); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
		if got := m.git("show", "main:"+path); got != want {
			t.Errorf("%s is committed as %q, want %q", path, got, want)
		}
	}
	m.wantSettled() // which finds what is left over
}

// Without its index a mirror takes what it lacks for not applied yet, what is
// older for not updated yet, and what is newer for an edit.
func TestIndexLost(t *testing.T) {
	a, b := openMirror(t, t.TempDir()), openMirror(t, t.TempDir())
	for _, name := range []string{"lacking", "d/older", "newer", "same"} {
		a.write(name, "first")
	}
	a.meet(b)
	old, err := os.Stat(b.dir + "/d/older")
	must(t, err)
	a.write("d/older", "second, from a")
	a.meet(b)
	b.stop()
	must(t, os.RemoveAll(b.dir+"/.silvermirror/index"))
	must(t, os.Remove(b.dir+"/lacking"))
	b.write("d/older", "first")
	must(t, os.Chtimes(b.dir+"/d/older", old.ModTime(), old.ModTime()))
	b.write("newer", "edited on b")

	b = openMirror(t, b.dir)
	b.sync()
	a.meet(b)
	same(t, a, b)
	for path, want := range map[string]string{"lacking": "first", "d/older": "second, from a", "newer": "edited on b", "same": "first"} {
		if got := b.read(path); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
	a.wantSettled()
	b.wantSettled()
}
