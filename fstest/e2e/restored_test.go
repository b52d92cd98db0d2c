package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/silvermirror/smfs/fstest"
)

// copyOver makes to the same as from, in place.
func copyOver(t *testing.T, from, to string) {
	t.Helper()
	if out, err := exec.Command("rsync", "-aXI", "--delete", from+"/", to+"/").CombinedOutput(); err != nil {
		t.Fatalf("rsync: %v\n%s", err, out)
	}
}

// wrote changes some files one after the other, each mirrored before the next.
func wrote(t *testing.T, m *fstest.Mirror, names ...string) {
	t.Helper()
	for _, name := range names {
		check(t, put(m, name, name))
		m.Run("wait", "--mirrored", "--timeout", "60s")
	}
}

// TestLostHeadRef starts a mirror whose ref of the head is gone, beside a peer:
// its history goes on, and neither what is written now nor what was deleted
// meanwhile is taken back.
func TestLostHeadRef(t *testing.T) {
	t.Parallel()
	a, b, _ := mounted(t)
	wrote(t, a, "f1", "f2", "f3")
	head := a.Head()
	a.Umount()
	check(t, os.Remove(filepath.Join(a.Store(), "refs/heads/main")))
	check(t, os.Remove(a.Path("f3")))
	a.Mount()
	check(t, put(a, "n", "n"))
	a.Run("wait", "--mirrored", "--timeout", "60s")
	same(t, a, b)
	for _, m := range []*fstest.Mirror{a, b} {
		for _, name := range []string{"f1", "f2", "n"} {
			has(name, name)(t, m, "")
		}
		absent(t, m.Path("f3"))
		m.Git("merge-base", "--is-ancestor", head, m.Head())
	}
	contains(t, a.Run("log"), "f1", "f2", "f3", "n")
}

// TestLostHeadAlone has no peer, from which the history could come back.
func TestLostHeadAlone(t *testing.T) {
	t.Parallel()
	m := newMirror(t)
	m.Mount()
	for i := range 3 {
		check(t, put(m, fmt.Sprint("f", i), "x"))
		m.Run("wait", "--committed")
	}
	m.Umount()
	head := m.Git("rev-parse", "main")
	check(t, os.Remove(filepath.Join(m.Store(), "refs/heads/main")))
	m.Mount()
	if got := m.Head(); got != head {
		t.Errorf("the head is %s, was %s", got, head)
	}
	contains(t, m.Run("log"), "f0", "f1", "f2")
	m.Umount()
	contains(t, content(t, m.Path(".silvermirror/smfs.log")), "found it again", head)

	check(t, os.Remove(filepath.Join(m.Store(), "refs/heads/main")))
	for _, ext := range []string{".pack", ".idx"} {
		for _, file := range packs(t, m.Store(), ext) {
			check(t, os.Remove(file))
		}
	}
	exitsWith(t, m, 11, "refs/heads/main", "log")
	has("f0", "x")(t, m, "")
}

// TestRolledBackInPlace takes a mirror back to a copy of itself that is older
// than what its peer has, and writes: it gives way by itself, `wait --mirrored`
// tells the truth, and `sync` ends.
func TestRolledBackInPlace(t *testing.T) {
	t.Parallel()
	a, b, _ := mounted(t)
	wrote(t, a, "f1")
	a.Umount()
	kept := t.TempDir()
	copyOver(t, a.Dir, kept)
	a.Mount()
	wrote(t, a, "f2", "f3", "f4")
	a.Umount()
	copyOver(t, kept, a.Dir)
	a.Mount()
	check(t, put(a, "n", "n"))
	a.Run("wait", "--mirrored", "--timeout", "60s")
	has("n", "n")(t, b, "")
	a.Run("sync")
	b.Run("sync")
	same(t, a, b)
	for _, name := range []string{"f1", "f2", "f3", "f4", "n"} {
		has(name, name)(t, a, "")
	}
	wrote(t, a, "later")
	wrote(t, b, "too")
	same(t, a, b)
	for _, m := range []*fstest.Mirror{a, b} {
		if out := m.Git("fsck", "--strict", "--no-dangling"); out != "" { // what gave way is kept
			t.Errorf("fsck: %s", out)
		}
		for _, p := range m.Status().Peers {
			if p.Error != "" {
				t.Errorf("%s still shows: %s", m.Dir, p.Error)
			}
		}
	}
}

// TestRolledBackApart does the same while the peer is away: it writes under
// numbers that the peer knows for other commits, and more of them.
func TestRolledBackApart(t *testing.T) {
	t.Parallel()
	a, b, host := mounted(t)
	wrote(t, a, "f1")
	a.Umount()
	kept := t.TempDir()
	copyOver(t, a.Dir, kept)
	a.Mount()
	wrote(t, a, "f2")
	a.Umount()
	copyOver(t, kept, a.Dir)
	host.Down()
	a.Mount()
	for _, name := range []string{"n1", "n2", "n3"} {
		check(t, put(a, name, name))
		a.Run("wait", "--committed")
	}
	a.Run("tag", a.Path("n1"), "work")
	if out, err := a.Try("wait", "--mirrored", "--timeout", "2s"); err == nil {
		t.Errorf("mirrored on a peer that is away: %s", out)
	}
	check(t, put(b, "from-b", "from-b"))
	host.Up()
	a.Run("sync")
	same(t, a, b)
	for _, name := range []string{"f1", "f2", "n1", "n2", "n3", "from-b"} {
		has(name, name)(t, a, "")
	}
	contains(t, b.Run("tags", b.Path("n1")), "work")
}

// TestSyncEndsWhenRefused has peers that refuse what they are sent: sync and
// wait say so, and end.
func TestSyncEndsWhenRefused(t *testing.T) {
	t.Parallel()
	for _, way := range []string{"refuses-fork", "refuses-all"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			a, _, host := pairOf(t)
			check(t, put(a, "file", "x"))
			a.Run("sync")
			a.Run("peer", "add", "evil", host.URL(t.TempDir()), "--command", as(t, way))
			start := time.Now()
			exitsWith(t, a, 7, "not in this house", "sync")
			exitsWith(t, a, 7, "not in this house", "wait", "--mirrored", "--timeout", "2m")
			if took := time.Since(start); took > patience {
				t.Errorf("took %s", took)
			}
			contains(t, a.Run("status"), "not in this house")
		})
	}
}
