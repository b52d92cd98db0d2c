package e2e

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/silvermirror/smfs/fstest"
	"github.com/silvermirror/smfs/fstest/sshd"
)

// TestEmptyMirrorAdopts connects a mirror that holds files to an empty one,
// from either side: the empty one takes the other's id.
func TestEmptyMirrorAdopts(t *testing.T) {
	t.Parallel()
	for _, filled := range []string{"A", "B"} {
		t.Run(filled+" is filled", func(t *testing.T) {
			t.Parallel()
			a, b, host := pairOf(t)
			full, empty := a, b
			if filled == "B" {
				full, empty = b, a
			}
			check(t, put(full, "file", "x"))
			full.Run("wait", "--committed")
			id := full.Status().Resources[0].ID
			if id == empty.Status().Resources[0].ID {
				t.Fatal("two new mirrors have one id")
			}
			connect(t, a, b, host)
			if got := empty.Status().Resources[0].ID; got != id {
				t.Errorf("the empty one has id %s, not %s", got, id)
			}
			a.Run("sync")
			same(t, a, b)
			if got := full.Status().Resources[0].ID; got != id {
				t.Errorf("the filled one changed its id to %s", got)
			}
			if value, err := rootID(a); err != nil || value != id {
				t.Errorf("the root of A is marked %q, not %q (%v)", value, id, err)
			}
		})
	}
}

// TestTwoEmptyMirrors connects two empty ones: both take one id, and keep it.
func TestTwoEmptyMirrors(t *testing.T) {
	t.Parallel()
	a, b, host := pairOf(t)
	lower := min(a.Status().Resources[0].ID, b.Status().Resources[0].ID)
	connect(t, a, b, host)
	for _, m := range []*fstest.Mirror{a, b} {
		if got := m.Status().Resources[0].ID; got != lower {
			t.Errorf("id %s, not the lower one, %s", got, lower)
		}
	}
	check(t, put(a, "x", "x"))
	check(t, put(b, "y", "y"))
	a.Run("sync")
	b.Run("sync")
	same(t, a, b)
}

// TestFilledMirrorsAreNotUnited refuses to unite mirrors that hold files and
// were never one, until it is asked for.
func TestFilledMirrorsAreNotUnited(t *testing.T) {
	t.Parallel()
	a, b, host := pairOf(t)
	check(t, put(a, "of-a", "a"))
	check(t, put(b, "of-b", "b"))
	check(t, put(a, "both", "from a"))
	check(t, put(b, "both", "from b"))
	b.Run("wait", "--committed")
	before := fstest.List(t, b.Dir)

	add := addArgs(a, b, host.URL(b.Dir))
	refused(t, a, add, "never one mirror", "--join")
	noPeer(t, a)
	b.Run("wait", "--committed")
	if got := fstest.List(t, b.Dir); got != before {
		t.Errorf("the refused peer changed:\n%s", got)
	}
	if x, y := a.Status().Resources[0].ID, b.Status().Resources[0].ID; x == y {
		t.Errorf("both have the id %s", x)
	}

	a.Run(append(add, "--join")...)
	a.Run("sync")
	same(t, a, b)
	has("of-a", "a")(t, b, "")
	has("of-b", "b")(t, a, "")
	seen := map[string]bool{}
	for _, text := range versions(t, a.Dir) {
		seen[text] = true
	}
	if len(seen) != 4 || !seen["from a"] || !seen["from b"] {
		t.Errorf("not all files of both: %v", seen)
	}
	if list := conflicts(t, b); len(list) != 1 || list[0].Of != "both" {
		t.Errorf("conflicts: %+v", list)
	}
	restarted(t, a, b)
}

// TestOneOfTwoIsNotUnited shares what can be, and tells what is not and why, when
// the peer is added and as long as it is so.
func TestOneOfTwoIsNotUnited(t *testing.T) {
	t.Parallel()
	a, b, host := pairOf(t)
	for _, m := range []*fstest.Mirror{a, b} {
		configured(t, m, "[::SilverMirror::]", "[docs]", "[photos]")
		m.Mount()
		check(t, put(m, "photos/of-"+filepath.Base(m.Dir), "text"))
		m.Run("wait", "--committed")
	}
	check(t, put(a, "docs/f", "text"))
	out := a.Run(addArgs(a, b, host.URL(b.Dir))...)
	contains(t, out, "shared: docs\n", "photos holds files on both sides", "--join")
	a.Run("wait", "--mirrored")
	contains(t, a.Run("status"), "photos holds files on both sides")
	has("docs/f", "text")(t, b, "")
	absent(t, b.Path("photos/of-A"))
}

// restarted ends both engines and has new ones talk: they know each other.
func restarted(t *testing.T, a, b *fstest.Mirror) {
	t.Helper()
	a.Umount()
	b.Umount()
	check(t, put(a, "later", "x"))
	a.Run("sync")
	has("later", "x")(t, b, "")
}

// TestChain mirrors over a node in the middle: A and C do not know each other.
func TestChain(t *testing.T) {
	t.Parallel()
	a, b, host := pairOf(t)
	c := fstest.NewMirror(t, b.Program, "C")
	for _, m := range []*fstest.Mirror{a, b, c} {
		m.Mount()
	}
	connect(t, a, b, host)
	connect(t, c, b, host)
	check(t, put(a, "from-a", "a"))
	check(t, put(c, "from-c", "c"))
	check(t, os.Mkdir(b.Path("d"), 0o755))
	meet(t, a, b, c)

	check(t, os.Rename(c.Path("from-a"), c.Path("d/renamed")))
	check(t, put(a, "from-c", "edited on A"))
	meet(t, a, b, c)
	has("d/renamed", "a")(t, a, "")
	has("from-c", "edited on A")(t, c, "")
	apart(t, a, b, c, host)
}

// apart has three nodes edit one file while no two can talk.
func apart(t *testing.T, a, b, c *fstest.Mirror, host *sshd.Server) {
	t.Helper()
	host.Down()
	for text, m := range map[string]*fstest.Mirror{"by a": a, "by b": b, "by c": c} {
		check(t, put(m, "from-c", text))
		m.Run("wait", "--committed")
	}
	host.Up()
	meet(t, a, b, c)
	seen := map[string]bool{}
	for _, text := range versions(t, b.Dir) {
		seen[text] = true
	}
	if !seen["by a"] || !seen["by b"] || !seen["by c"] {
		t.Errorf("a version is lost: %v", seen)
	}
}

// rootID is the mark of a mirror's root that its engine is not asked for.
func rootID(m *fstest.Mirror) (string, error) {
	value := make([]byte, 64)
	n, err := unix.Getxattr(m.Dir, "user.smfs.resource", value)
	return string(value[:max(n, 0)]), err
}
