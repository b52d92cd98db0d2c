package e2e

import (
	"os"
	"testing"

	"github.com/silvermirror/smfs/fstest"
)

// TestCopiedMirror has a mirror copied, with its state, as by cp -a or from a
// backup; all go on. The copies have one key, and are peers like others.
func TestCopiedMirror(t *testing.T) {
	for _, how := range [][]string{{"cp", "-a"}, {"rsync", "-aH"}} { // with attributes, and without
		t.Run(how[0], func(t *testing.T) {
			t.Parallel()
			a, c, host := mounted(t)
			check(t, os.MkdirAll(a.Path("d/empty"), 0o755))
			write(t, a.Path("d/f"), "of the original")
			check(t, os.Link(a.Path("d/f"), a.Path("hard")))
			check(t, os.Symlink("d/f", a.Path("link")))
			a.Run("tag", a.Path("d"), a.Path("d/f"), "work")
			same(t, a, c)
			a.Umount()

			copied := fstest.NewMirror(t, a.Program, "copy")
			check(t, os.RemoveAll(copied.Path(".silvermirror")))
			run(t, how[0], append(how[1:], a.Dir+"/.", copied.Dir)...)
			head := c.Head()
			copied.Mount()
			copied.Run("wait", "--committed")
			if got := copied.Head(); got != head && how[0] == "cp" { // rsync may round a link's time
				t.Errorf("the copy has other files: %s", copied.Git("show", "--stat", "--raw", got))
			}
			a.Mount()
			for _, m := range []*fstest.Mirror{a, copied, c} {
				write(t, m.Path("d/by-"+string(m.Dir[len(m.Dir)-1])), "text")
			}
			meet(t, a, copied, c)
			check(t, os.Remove(copied.Path("d/f")))
			write(t, a.Path("link2"), "at the same time")
			meet(t, a, copied, c)
			a.Run("sync")
			copied.Run("sync")
			check(t, sameAsHead(copied, nil))
			contains(t, copied.Run("tags", "d", "hard"), "work")

			copied.Run("peer", "remove", "b")
			copied.Run("peer", "add", "original", host.URL(a.Dir), "--command", a.Program.Path)
			write(t, copied.Path("direct"), "text")
			meet(t, a, copied, c)
		})
	}
}
