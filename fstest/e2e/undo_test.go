package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/silvermirror/smfs/fstest"
)

// sh runs a line in a mirror's directory, so that the programs in it are who does it.
func shellIn(t *testing.T, m *fstest.Mirror, line string) {
	t.Helper()
	run(t, "sh", "-ec", "cd "+m.Dir+" && "+line)
}

// undone is `smfs undo --json`.
func undone(t *testing.T, m *fstest.Mirror, args ...string) (u struct {
	Commit  string
	Batches []struct {
		What, Program string
		Commits       []string
	}
	Changes   []struct{ Action, Path, From string }
	Skipped   []struct{ Path, Reason string }
	Conflicts []string
}) {
	t.Helper()
	out := m.Run(append([]string{"undo", "--json"}, args...)...)
	if err := json.Unmarshal([]byte(out), &u); err != nil {
		t.Fatalf("undo: %v\n%s", err, out)
	}
	return u
}

// TestUndoBatch: an rm that took several commits is one batch; undo of undo takes
// it away again. Links, tags, attributes, large files and identities survive.
func TestUndoBatch(t *testing.T) {
	t.Parallel()
	a, b, _ := mounted(t)
	shellIn(t, a, `mkdir -p d/empty; echo linked >hard; ln hard d/hard; ln -s ../hard d/link; head -c 3000000 /dev/urandom >d/large
		for i in 1 2 3; do echo $i >d/$i; done; chmod 600 d/1; setfattr -n user.x -v y d/2`)
	a.Run("wait")
	a.Run("tag", a.Path("d/1"), "work")
	a.Run("tag", a.Path("d"), "dir")
	same(t, a, b)
	before, ids := fstest.List(t, a.Dir), fileIDs(t, a)

	removeSlowly(t, a.Path("d"))
	a.Run("wait")
	absent(t, a.Path("d"))

	out := a.Run("undo", "--dry-run")
	if want := regexp.MustCompile(`^would undo "rm of 6 files in d/" of \d\d:\d\d \(\d commits\)\n`); !want.MatchString(out) {
		t.Errorf("a dry run says %q", out)
	}
	absent(t, a.Path("d"))
	out = a.Run("undo")
	if want := regexp.MustCompile(`^undid "rm of 6 files in d/" of \d\d:\d\d \([3-9] commits\)\n`); !want.MatchString(out) {
		t.Errorf("undo says %q", out)
	}
	for round := range 2 {
		if after := fstest.List(t, a.Dir); after != before {
			t.Errorf("round %d: there was\n%s\nand is\n%s", round, before, after)
		}
		for path, id := range fileIDs(t, a) {
			if ids[path] != id {
				t.Errorf("%s is another file", path)
			}
		}
		if got, dir := tagsOf(t, a, "d/1"), tagsOf(t, a, "d"); len(got) != 1 || len(dir) != 1 {
			t.Errorf("tags %q, %q", got, dir)
		}
		lists(t, a, "@tags/work", "1")
		same(t, a, b)
		if got := tagsOf(t, b, "d/1"); len(got) != 1 {
			t.Errorf("tags at the peer: %q", got)
		}
		if round == 0 {
			a.Run("undo")
			same(t, a, b)
			absent(t, b.Path("d"))
			a.Run("undo")
		}
	}
	check(t, errors.Join(sameAsHead(a, nil), fsck(a), fsck(b)))
}

// TestUndoIsOwn: what a peer did is not undone here, and what it did since to the
// same files is not lost.
func TestUndoIsOwn(t *testing.T) {
	t.Parallel()
	a, b, _ := mounted(t)
	shellIn(t, a, "mkdir d; echo one >d/f; echo one >d/g; echo one >h")
	same(t, a, b)
	shellIn(t, a, "sed -i s/one/two/ d/f d/g; sleep 0.3; mv d e") // the rename is the last
	same(t, a, b)
	shellIn(t, b, "echo three >e/new; echo three >e/f; rm h; sleep 0.2; echo again >h")
	same(t, a, b)

	u := undone(t, a)
	if len(u.Batches) != 1 || u.Batches[0].Program != "mv" {
		t.Errorf("undone: %+v", u)
	}
	same(t, a, b)
	for path, want := range map[string]string{"d/new": "three\n", "d/f": "three\n", "d/g": "two\n", "h": "again\n"} {
		if got := content(t, b.Path(path)); got != want {
			t.Errorf("%s holds %q, not %q", path, got, want)
		}
	}
	absent(t, b.Path("e"))

	u = undone(t, a, a.Path("d/g")) // sed, whose edit of f has been edited since
	if len(u.Skipped) != 1 || u.Skipped[0].Path != "d/f" && u.Skipped[0].Path != "e/f" {
		t.Errorf("undone: %+v", u)
	}
	same(t, a, b)
	if f, g := content(t, b.Path("d/f")), content(t, b.Path("d/g")); f != "three\n" || g != "one\n" {
		t.Errorf("d/f holds %q, d/g %q", f, g)
	}

	u = undone(t, b) // b's own last: that h was made anew
	absent(t, b.Path("h"))
	if u.Batches[0].Program != "sh" {
		t.Errorf("undone at the peer: %+v", u)
	}
	undone(t, b, "--last", "1") // further back: h removed
	same(t, a, b)
	if got := content(t, a.Path("h")); got != "one\n" {
		t.Errorf("h holds %q", got)
	}
	check(t, errors.Join(sameAsHead(a, nil), fsck(a), fsck(b)))
}

// TestUndoWhilePeerEdits undoes and undoes that while the peer writes to the same
// files: nothing of what the peer wrote last is lost.
func TestUndoWhilePeerEdits(t *testing.T) {
	t.Parallel()
	a, b, _ := mounted(t)
	const files = 8
	shellIn(t, a, "mkdir d; for i in 0 1 2 3 4 5 6 7; do echo old >d/$i; done")
	same(t, a, b)
	shellIn(t, a, "rm -r d")
	a.Run("wait")
	stop := make(chan struct{})
	ended := make(chan []int) // the new files that were written
	go func() {
		var written []int
		for n := 0; ; n++ {
			select {
			case <-stop:
				ended <- written
				return
			default:
			}
			_ = os.MkdirAll(b.Path("d"), 0o755) // a may take it away at any time, and what is written next fails
			_ = os.WriteFile(b.Path(fmt.Sprintf("d/%d", n%files)), fmt.Appendf(nil, "edit %d", n), 0o644)
			if os.WriteFile(b.Path(fmt.Sprintf("d/new%d", n)), fmt.Appendf(nil, "new %d", n), 0o644) == nil {
				written = append(written, n)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}()
	for range 10 {
		if out, err := a.Try("undo"); err != nil && !strings.Contains(out, "refused") {
			t.Errorf("undo: %v\n%s", err, out)
		}
		time.Sleep(50 * time.Millisecond)
	}
	close(stop)
	written := <-ended
	meet(t, a, b)
	all := fstest.List(t, a.Dir)
	if len(written) < 10 {
		t.Errorf("only %v were written", written)
	}
	for _, i := range written {
		if !strings.Contains(all, fmt.Sprintf("new %d", i)) {
			t.Errorf("new%d is lost", i)
		}
	}
	check(t, errors.Join(sameAsHead(a, nil), fsck(a), fsck(b)))
}

// TestUndoByResource: each resource has its own last batch; the working directory,
// a name or a path says which is meant, with and without a mount.
func TestUndoByResource(t *testing.T) {
	t.Parallel()
	m := newMirror(t)
	check(t, os.WriteFile(m.Path(".silvermirror/config.ini"), []byte("[docs]\nsettle = 30s\n[photos]\n"), 0o644))
	for _, dir := range []string{"docs", "photos"} {
		check(t, os.Mkdir(m.Path(dir), 0o755))
	}
	m.Mount()
	for _, text := range []string{"one", "two"} {
		shellIn(t, m, "echo "+text+" >docs/a; echo "+text+" >photos/a")
		m.Run("wait")
	}
	both := func(docs, photos string) {
		t.Helper()
		if d, p := content(t, m.Path("docs/a")), content(t, m.Path("photos/a")); d != docs+"\n" || p != photos+"\n" {
			t.Errorf("docs/a holds %q, photos/a %q", d, p)
		}
	}
	exitsWith(t, m, 2, "which resource", "undo")
	in(t, m, "docs", "undo")
	both("one", "two")
	m.Run("undo", "docs")
	both("two", "two")
	m.Run("undo", m.Path("photos/a"))
	both("two", "one")
	m.Umount()
	in(t, m, "photos", "undo")
	both("two", "two")
	exitsWith(t, m, 4, "can be undone", "undo", m.Path("docs/none"))
	exitsWith(t, m, 4, "outside", "undo", "/etc")

	in(t, m, "docs", "commit", "-m", "a point\n\nwith a body")
	if out := m.Run("log", "-n", "1"); !strings.Contains(out, "docs: a point") {
		t.Errorf("log: %s", out)
	}
	empty := newMirror(t)
	exitsWith(t, empty, 4, "no file to commit", "commit", "-m", "of nothing")
	if out := m.Run("commit", "-m", "of both"); strings.Count(out, "marked") != 2 {
		t.Errorf("commit says %q", out)
	}
	check(t, os.WriteFile(m.Path("docs/a"), []byte("three"), 0o644))
	if out := m.Run("commit", "-m", "by hand", "docs"); !strings.HasPrefix(out, "docs: committed ") {
		t.Errorf("commit says %q", out)
	}
	exitsWith(t, m, 2, "-m TEXT", "commit")
	m.Run("restore", m.Path("docs/a"))
	both("two", "two")
}
