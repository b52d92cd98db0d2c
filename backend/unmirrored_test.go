package backend_test

import (
	"context"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// TestUnmirroredHoldNothingUp has a directory deleted and made again elsewhere
// that holds what is not mirrored here.
func TestUnmirroredHoldNothingUp(t *testing.T) {
	a, b := openMirror(t, t.TempDir()), openMirror(t, t.TempDir())
	a.write("d/f", "old")
	a.meet(b)
	must(t, unix.Mkfifo(b.dir+"/d/fifo", 0o600))
	must(t, os.RemoveAll(a.dir+"/d"))
	a.give(b)
	a.write("d/g", "new")
	a.meet(b)
	if got, err := os.ReadFile(b.dir + "/d/g"); string(got) != "new" {
		t.Errorf("d/g is %q, %v", got, err)
	}
	if _, err := os.Lstat(b.dir + "/d/fifo"); err != nil {
		t.Error(err)
	}
}

// TestDeletedElsewhereStaysDeleted has directories deleted elsewhere that hold,
// deep below, what is not mirrored here: they stay, waiting for nothing, and are
// not made again there.
func TestDeletedElsewhereStaysDeleted(t *testing.T) {
	a, b := openMirror(t, t.TempDir()), openMirror(t, t.TempDir())
	a.write("x/y/z/f", "old")
	a.meet(b)
	must(t, unix.Mkfifo(b.dir+"/x/y/z/fifo", 0o600))
	must(t, os.RemoveAll(a.dir+"/x"))
	a.meet(b)
	waits := func() {
		t.Helper()
		st, err := b.engine.Status(context.Background())
		must(t, err)
		if r := st.Resources[0]; len(r.Waiting) > 0 || r.Problem != "" {
			t.Errorf("%+v", r)
		}
	}
	waits()
	b.stop()
	b = openMirror(t, b.dir)
	b.sync()
	a.meet(b)
	waits()
	if _, err := os.Lstat(a.dir + "/x"); !os.IsNotExist(err) {
		t.Errorf("x is there again: %v", err)
	}
	b.write("x/y/new", "text")
	must(t, os.Mkdir(b.dir+"/x/empty", 0o755))
	a.meet(b)
	waits()
	for _, path := range []string{"x/y/new", "x/empty"} {
		if _, err := os.Lstat(a.dir + "/" + path); err != nil {
			t.Error(err)
		}
	}
}

// TestKeptDirectoryHoldsNothingUp: what is made in a directory that stayed is
// mirrored, and what a peer puts in its place arrives.
func TestKeptDirectoryHoldsNothingUp(t *testing.T) {
	a, b := openMirror(t, t.TempDir()), openMirror(t, t.TempDir())
	for _, path := range []string{"r/k/f", "d/f", "x/f", "e/s/f", "other"} {
		a.write(path, "text of "+path)
	}
	a.meet(b)
	for _, dir := range []string{"r/k", "d", "x"} {
		must(t, unix.Mkfifo(b.dir+"/"+dir+"/fifo", 0o600))
	}
	for _, dir := range []string{"r", "d", "x"} {
		must(t, os.RemoveAll(a.dir+"/"+dir))
	}
	a.meet(b)
	must(t, os.Mkdir(b.dir+"/r/k/new", 0o755))
	must(t, os.Remove(b.dir+"/other"))
	must(t, os.Rename(a.dir+"/e", a.dir+"/d"))
	a.write("x", "a file")
	a.meet(b)
	for _, m := range []*mirror{a, b} {
		for path, there := range map[string]bool{"r/k/new": true, "d/s/f": true, "x": true, "other": false, "e": false} {
			if _, err := os.Stat(m.dir + "/" + path); (err == nil) != there {
				t.Errorf("%s of %s: %v", path, m.dir, err)
			}
		}
		st, err := m.engine.Status(context.Background())
		must(t, err)
		if r := st.Resources[0]; len(r.Waiting) > 0 || r.Problem != "" || r.Pending > 0 {
			t.Errorf("%+v", r)
		}
	}
	for _, path := range []string{"r/k/fifo", "d.kept/fifo", "x.kept/fifo"} {
		if _, err := os.Lstat(b.dir + "/" + path); err != nil {
			t.Error(err)
		}
	}
}

// TestTagsGoWithAllNames drops all names of a tagged hard link at once.
func TestTagsGoWithAllNames(t *testing.T) {
	m := openMirror(t, t.TempDir())
	m.write("d/a", "text")
	must(t, os.Link(m.dir+"/d/a", m.dir+"/d/b"))
	m.sync()
	m.tag("d/a", "work")
	must(t, os.RemoveAll(m.dir+"/d"))
	m.sync()
	list, err := m.engine.Tags(context.Background(), nil)
	must(t, err)
	if len(list) > 0 {
		t.Errorf("tags of nothing: %+v", list)
	}
}
