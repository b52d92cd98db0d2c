package e2e

import (
	"io"
	"os"
	"strings"
	"testing"

	"github.com/silvermirror/smfs/fstest"
)

// TestPeerDown edits both sides while the peer is down. When it is back, all
// flows by itself.
func TestPeerDown(t *testing.T) {
	t.Parallel()
	a, b, host := mounted(t)
	check(t, put(a, "shared", "before"))
	check(t, put(a, "gone", "before"))
	same(t, a, b)

	host.Down()
	check(t, put(a, "shared", "edited on A while B was down"))
	check(t, os.Mkdir(a.Path("dir"), 0o755))
	check(t, put(a, "dir/from-a", "a"))
	check(t, os.Remove(b.Path("gone")))
	check(t, put(b, "from-b", "b"))
	a.Run("wait", "--committed")
	b.Run("wait", "--committed")
	absent(t, b.Path("dir"))
	refused(t, a, []string{"wait", "--mirrored", "--timeout", "20s"}, "unreachable")
	eventually(t, "an unreachable peer", func() bool {
		return peers(t, a)[0].State == "unreachable" && peers(t, a)[0].Error != ""
	})

	host.Up()
	meet(t, a, b)
	if got := content(t, b.Path("shared")); got != "edited on A while B was down" {
		t.Errorf("B has %q", got)
	}
	absent(t, a.Path("gone"))
	if list := conflicts(t, a); len(list) > 0 {
		t.Errorf("conflicts: %v", list)
	}
}

// TestCutInTheMiddle cuts the connection again and again while both sides
// write: nothing is lost and nothing is there twice.
func TestCutInTheMiddle(t *testing.T) {
	t.Parallel()
	a, b, host := mounted(t)
	blob := strings.Repeat("0123456789abcdef", 1<<15)
	for i := range 4 {
		name := string(rune('a' + i))
		check(t, put(a, "a-"+name, name+blob))
		check(t, put(b, "b-"+name, name+blob))
		host.Cut()
	}
	meet(t, a, b)
	if n := len(versions(t, a.Dir)); n != 8 {
		t.Errorf("%d files instead of 8", n)
	}
}

// TestConcurrentEdits edits one file on both sides while they are apart: both
// versions are kept, on both sides, under the same names.
func TestConcurrentEdits(t *testing.T) {
	t.Parallel()
	a, b, host := mounted(t)
	check(t, os.Mkdir(a.Path("d"), 0o755))
	check(t, put(a, "d/report.txt", "common\n"))
	same(t, a, b)
	host.Down()
	check(t, put(a, "d/report.txt", "the version of A\n"))
	check(t, put(b, "d/report.txt", "the version of B\n"))
	a.Run("wait", "--committed")
	b.Run("wait", "--committed")
	host.Up()
	meet(t, a, b)
	for _, m := range []*fstest.Mirror{a, b} {
		files := versions(t, m.Path("d"))
		if len(files) != 2 {
			t.Fatalf("%d versions, not 2: %q", len(files), files)
		}
		seen := map[string]string{}
		for name, text := range files {
			seen[text] = name
		}
		if seen["the version of A\n"] == "" || seen["the version of B\n"] == "" {
			t.Errorf("versions: %q", files)
		}
		list := conflicts(t, m)
		if len(list) != 1 || list[0].Of != "d/report.txt" || !strings.HasSuffix(list[0].Path, ".txt") {
			t.Fatalf("conflicts: %+v", list)
		}
		if files[strings.TrimPrefix(list[0].Path, "d/")] == "" {
			t.Errorf("%q is listed, there are %q", list[0].Path, files)
		}
	}
	if x, y := conflicts(t, a), conflicts(t, b); x[0] != y[0] {
		t.Errorf("A lists %v, B lists %v", x, y)
	}
	resolved(t, a, b)
}

// resolved settles a conflict by removing the copy.
func resolved(t *testing.T, a, b *fstest.Mirror) {
	t.Helper()
	check(t, os.Remove(a.Path(conflicts(t, a)[0].Path)))
	same(t, a, b)
	if list := conflicts(t, b); len(list) > 0 {
		t.Errorf("still in conflict: %v", list)
	}
}

// TestRemovedPeer ends the exchange at once, where the peer was removed and there.
func TestRemovedPeer(t *testing.T) {
	t.Parallel()
	a, b, _ := mounted(t)
	if len(b.Status().Peers) != 1 {
		t.Fatalf("peers of B: %+v", b.Status().Peers)
	}
	a.Run("peer", "remove", "b")
	eventually(t, "no peer on either side", func() bool {
		return len(a.Status().Peers) == 0 && len(b.Status().Peers) == 0
	})
	check(t, put(a, "later", "text"))
	a.Run("wait", "--committed")
	absent(t, b.Path("later"))
}

// TestSameEditIsNoConflict writes the same bytes on both sides.
func TestSameEditIsNoConflict(t *testing.T) {
	t.Parallel()
	a, b, host := mounted(t)
	host.Down()
	check(t, put(a, "twin", "the same"))
	check(t, put(b, "twin", "the same"))
	host.Up()
	meet(t, a, b)
	if list := conflicts(t, a); len(list) > 0 || len(versions(t, a.Dir)) != 1 {
		t.Errorf("conflicts: %v, files %v", list, versions(t, a.Dir))
	}
}

// TestOpenFileWaits edits, on one side, a file that is held open for writing on
// the other: the edit waits until that is closed, and no byte is lost.
func TestOpenFileWaits(t *testing.T) {
	t.Parallel()
	a, b, _ := mounted(t)
	check(t, put(a, "held", "one\n"))
	same(t, a, b)
	f, err := os.OpenFile(b.Path("held"), os.O_RDWR, 0)
	check(t, err)
	defer f.Close()
	check(t, put(a, "held", "two, from A\n"))
	eventually(t, "a waiting version", func() bool {
		return len(b.Status().Resources[0].Waiting) == 1
	})
	if w := b.Status().Resources[0].Waiting; w[0].Path != "held" || w[0].Reason != "a program has it open" {
		t.Errorf("waiting: %q", w)
	}
	if got := content(t, b.Path("held")); got != "one\n" {
		t.Errorf("replaced under an open file: %q", got)
	}
	exitsWith(t, a, exitTimeout, "not mirrored yet on B (names that wait there: 1;", "wait", "--mirrored", "--timeout", "2s")
	check(t, f.Close())
	a.Run("wait", "--mirrored", "--timeout", "2m")
	meet(t, a, b)
	if got := content(t, b.Path("held")); got != "two, from A\n" {
		t.Errorf("B has %q", got)
	}
}

// TestOpenFileIsWritten is the same with a write before the close: two edits of
// one version, both of which are kept.
func TestOpenFileIsWritten(t *testing.T) {
	t.Parallel()
	a, b, _ := mounted(t)
	check(t, put(a, "held", "one\n"))
	same(t, a, b)
	f, err := os.OpenFile(b.Path("held"), os.O_RDWR, 0)
	check(t, err)
	defer f.Close()
	check(t, put(a, "held", "two, from A\n"))
	eventually(t, "a waiting version", func() bool {
		return len(b.Status().Resources[0].Waiting) == 1
	})
	_, err = f.Seek(0, io.SeekEnd)
	check(t, err)
	_, err = f.WriteString("three, from B\n")
	check(t, err)
	check(t, f.Close())
	meet(t, a, b)
	seen := map[string]bool{}
	for _, text := range versions(t, a.Dir) {
		seen[text] = true
	}
	if len(seen) != 2 || !seen["two, from A\n"] || !seen["one\nthree, from B\n"] {
		t.Errorf("versions: %v", seen)
	}
	if list := conflicts(t, b); len(list) != 1 {
		t.Errorf("conflicts: %v", list)
	}
}

// TestKillInTheMiddle kills a daemon while it takes what the other sends, and
// mounts again: they come to the same.
func TestKillInTheMiddle(t *testing.T) {
	t.Parallel()
	a, b, _ := mounted(t)
	check(t, put(b, "b-before", "x"))
	same(t, a, b)
	blob := strings.Repeat("some content ", 1<<12)
	for i := range 60 {
		check(t, put(a, "a-"+string(rune('0'+i/10))+string(rune('0'+i%10)), blob[i:]))
	}
	check(t, put(b, "b-after", "y"))
	b.Kill()
	b.Mount()
	check(t, put(a, "a-last", "z"))
	meet(t, a, b)
	if n := len(versions(t, b.Dir)); n != 63 {
		t.Errorf("%d files instead of 63", n)
	}
	a.Kill()
	a.Mount()
	check(t, put(a, "a-again", "z"))
	same(t, a, b)
}
