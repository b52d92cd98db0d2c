package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestRestoreRemovedDirectory: what rm -r takes several commits for comes back
// as it was before the first of them.
func TestRestoreRemovedDirectory(t *testing.T) {
	m := newMirror(t)
	m.Mount()
	write(t, m.Path("a.txt"), "linked")
	check(t, os.MkdirAll(m.Path("d/empty"), 0o755))
	check(t, os.Symlink("../a.txt", m.Path("d/link")))
	check(t, os.Link(m.Path("a.txt"), m.Path("d/hard")))
	for i := range 3 {
		write(t, m.Path(fmt.Sprint("d/", i)), fmt.Sprint("file ", i))
	}
	m.Run("wait")
	before := m.Git("ls-tree", "-r", "main:d", "0", "1", "2", "hard", "link", "empty")

	removeSlowly(t, m.Path("d"))
	m.Run("wait")
	if n := strings.Count(m.Run("log", m.Path("d")), "(rm)"); n < 3 {
		t.Fatalf("rm has made %d commits, too few for the test", n)
	}

	out := m.Run("restore", m.Path("d"))
	if !strings.HasPrefix(out, "restored 5 from ") {
		t.Errorf("restore says %q", out)
	}
	if after := m.Git("ls-tree", "-r", "main:d", "0", "1", "2", "hard", "link", "empty"); after != before {
		t.Errorf("d was\n%s\nand is\n%s", before, after)
	}
	_, err := os.Stat(m.Path("d/empty"))
	check(t, errors.Join(err, sameAsHead(m, nil)))
}

// removeSlowly is one rm that pauses, as one does that has much to remove.
func removeSlowly(t *testing.T, dir string) {
	t.Helper()
	rm := exec.Command("rm", "-ri", dir)
	answers, err := rm.StdinPipe()
	check(t, err)
	check(t, rm.Start())
	for range 10 {
		time.Sleep(150 * time.Millisecond) // a commit of its own for each
		fmt.Fprintln(answers, "y")
	}
	check(t, rm.Wait())
}

// TestRestoreTellsWhatItRemoves: files that the old version did not have go.
func TestRestoreTellsWhatItRemoves(t *testing.T) {
	m := newMirror(t)
	m.Mount()
	check(t, os.MkdirAll(m.Path("d/sub"), 0o755))
	write(t, m.Path("d/old"), "text")
	m.Run("wait")
	head := m.Head()
	write(t, m.Path("d/sub/new"), "text")
	check(t, os.Remove(m.Path("d/old")))
	m.Run("wait")
	if out := m.Run("restore", m.Path("d"), "--at", head); !strings.HasPrefix(out, "restored 1 and removed 1 as of ") {
		t.Errorf("restore says %q", out)
	}
	check(t, sameAsHead(m, nil))
}

// TestRestoreKeepsLinksAndTags: what is brought back is the file that it was.
func TestRestoreKeepsLinksAndTags(t *testing.T) {
	t.Parallel()
	m := newMirror(t)
	m.Mount()
	write(t, m.Path("a"), "one")
	check(t, os.Link(m.Path("a"), m.Path("b")))
	m.Run("tag", m.Path("a"), "work")
	m.Run("wait")
	linked := func(what string) {
		t.Helper()
		m.Run("wait")
		if x, y := inodeOf(t, m.Path("a")), inodeOf(t, m.Path("b")); x != y {
			t.Errorf("%s: a and b are two files", what)
		}
		for _, name := range []string{"a", "b"} {
			if got := tagsOf(t, m, name); len(got) != 1 {
				t.Errorf("%s: tags of %s: %q", what, name, got)
			}
			if got := content(t, m.Path(name)); got != "one" {
				t.Errorf("%s: %s holds %q", what, name, got)
			}
		}
		check(t, sameAsHead(m, nil))
	}
	check(t, os.Remove(m.Path("a")))
	m.Run("restore", m.Path("a"))
	linked("a name removed")
	write(t, m.Path("b"), "two")
	m.Run("restore", m.Path("b"))
	linked("edited")
	check(t, errors.Join(os.Remove(m.Path("a")), os.Remove(m.Path("b"))))
	m.Run("wait")
	m.Run("restore", m.Path("."))
	linked("both removed")

	at := m.Head()
	for _, change := range []string{"rm b; chmod 600 a", "echo w >a; rm b", "sed -i s/one/three/ a", "sed -i s/one/three/ b; mkdir d; mv b d/b", "rm a; ln b c; chmod 600 b"} {
		run(t, "sh", "-c", "cd "+m.Dir+" && "+change)
		m.Run("wait")
		m.Run("restore", "--at", at, m.Path("."))
		linked(change)
	}

	check(t, os.Remove(m.Path("b")))
	m.Run("wait")
	check(t, os.Rename(m.Path("a"), m.Path("moved")))
	m.Run("wait")
	m.Run("restore", m.Path("a"))
	if inodeOf(t, m.Path("a")) == inodeOf(t, m.Path("moved")) {
		t.Error("a restored and the file that has moved away are one")
	}
	if got := tagsOf(t, m, "a"); len(got) != 1 {
		t.Errorf("tags of a restored: %q", got)
	}
}
