package backend_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/silvermirror/smfs/backend"
)

// keep copies a mirror that no engine runs on.
func (m *mirror) keep() (kept string) {
	m.t.Helper()
	kept = filepath.Join(m.t.TempDir(), "kept")
	must(m.t, os.Mkdir(kept, 0o755))
	run(m.t, "cp", "-a", m.dir+"/.", kept)
	return kept
}

// rollBack puts what keep copied in its place. The state directory stays the
// same one, as with rsync.
func (m *mirror) rollBack(kept string) {
	m.t.Helper()
	state := m.dir + "/.silvermirror"
	run(m.t, "find", m.dir, "-mindepth", "1", "-not", "-path", state, "-delete")
	run(m.t, "cp", "-a", kept+"/.", m.dir)
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("no %q in:\n%s", p, text)
		}
	}
}

func (m *mirror) tag(path, name string) {
	m.t.Helper()
	must(m.t, m.engine.Tag(context.Background(), backend.TagOptions{Paths: []string{path}, Tags: []string{name}}))
}

func (m *mirror) tagsOf(path string) string {
	m.t.Helper()
	list, err := m.engine.Tags(context.Background(), []string{path})
	must(m.t, err)
	return strings.Join(list[0].Tags, " ")
}

// clash takes a mirror back to an old copy of itself after another has seen
// what it wrote since, and lets it write and tag other things under the same
// numbers. It returns both.
func clash(t *testing.T) (a, b *mirror) {
	a, b = openMirror(t, t.TempDir()), openMirror(t, t.TempDir())
	a.write("f1", "one")
	a.write("doc", "first")
	a.sync()
	a.meet(b)
	a.stop()
	kept := a.keep()

	a = openMirror(t, a.dir)
	for _, name := range []string{"f2", "f3", "f4"} {
		a.write(name, name)
		a.sync()
	}
	a.tag("f1", "seen")
	a.meet(b)
	a.stop()
	a.rollBack(kept)
	a = openMirror(t, a.dir)
	a.write("n", "new")
	a.sync()
	a.tag("doc", "private")
	return a, b
}

// TestRolledBack: a mirror that was taken back to an old state and went on from
// there gives way as soon as it sees what it has forgotten, whoever calls
// first, and nothing is lost: neither what it wrote since nor what it wrote
// before, nor a tag.
func TestRolledBack(t *testing.T) {
	for _, first := range []string{"it gives first", "the other gives first"} {
		t.Run(first, func(t *testing.T) {
			a, b := clash(t)
			a.engine.Timeline(2) // of a line that gives way
			if first == "it gives first" {
				a.give(b)
			} else {
				b.give(a)
			}
			a.meet(b)
			same(t, a, b)
			for _, m := range []*mirror{a, b} {
				for name, want := range map[string]string{"f1": "one", "f2": "f2", "f3": "f3", "f4": "f4", "n": "new", "doc": "first"} {
					if got := m.read(name); got != want {
						t.Errorf("%s: %s is %q", filepath.Base(m.dir), name, got)
					}
				}
				if m.tagsOf("f1") != "seen" || m.tagsOf("doc") != "private" {
					t.Errorf("tags: f1 %q, doc %q", m.tagsOf("f1"), m.tagsOf("doc"))
				}
				m.git("fsck", "--strict")
				if !slices.Equal(m.engine.Timeline(-1), m.engine.History()) {
					t.Errorf("%s: the timeline is not the history", filepath.Base(m.dir))
				}
			}
			contains(t, a.git("log", "--format=%B"), "recorded anew", "add f4", "add n")
			a.write("after", "x")
			a.sync()
			b.write("n", "newer")
			b.sync()
			a.meet(b)
			same(t, a, b)
			if a.read("n") != "newer" || b.read("after") != "x" {
				t.Error("it does not go on")
			}
			problems, err := a.engine.Check(context.Background())
			must(t, err)
			if len(problems) > 0 {
				t.Errorf("problems: %v", problems)
			}
		})
	}
}

// TestRolledBackThird: a third mirror that has taken the new line of one that
// was rolled back gives way too.
func TestRolledBackThird(t *testing.T) {
	a, b := clash(t)
	c := openMirror(t, t.TempDir())
	a.meet(c)
	c.write("c", "on top of the new line")
	c.sync()
	a.meet(b)
	b.give(c)
	c.meet(b)
	c.meet(a)
	same(t, a, c)
	same(t, b, c)
	if a.read("c") != "on top of the new line" || c.read("f4") != "f4" || c.read("n") != "new" {
		t.Errorf("lost: %q %q %q", a.read("c"), c.read("f4"), c.read("n"))
	}
}

// TestRolledBackUnchanged: one that wrote nothing since takes what it forgot as
// it is, and another incarnation from then on.
func TestRolledBackUnchanged(t *testing.T) {
	a, b := openMirror(t, t.TempDir()), openMirror(t, t.TempDir())
	a.write("f1", "one")
	a.sync()
	a.meet(b)
	a.stop()
	kept := a.keep()
	a = openMirror(t, a.dir)
	a.write("f2", "two")
	a.sync()
	a.meet(b)
	a.stop()
	a.rollBack(kept)
	a = openMirror(t, a.dir)
	a.meet(b)
	a.write("f3", "three")
	a.sync()
	a.meet(b)
	same(t, a, b)
	writers := map[string]bool{}
	for _, line := range strings.Split(b.git("log", "--format=%(trailers:key=Smfs-Writer,valueonly)"), "\n") {
		if line != "" {
			writers[line] = true
		}
	}
	if b.read("f2") != "two" || len(writers) != 2 {
		t.Errorf("f2 is %q, writers: %v", b.read("f2"), writers)
	}
}
