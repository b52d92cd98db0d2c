package backend_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// TestLinksAfterANewIndex takes names of a hard link apart while no engine runs,
// and the index away: what is one file stays one, what is not gets an identity
// of its own, and a peer has the same.
func TestLinksAfterANewIndex(t *testing.T) {
	for i, apart := range [][]string{{"h1"}, {"h2"}, {"h3"}, {"h1", "h2"}, {"h2", "h3"}, {"h1", "h2", "h3"}} {
		t.Run(fmt.Sprint(apart), func(t *testing.T) {
			a, b := openMirror(t, t.TempDir()), openMirror(t, t.TempDir())
			a.write("h1", "one")
			must(t, os.Link(a.dir+"/h1", a.dir+"/h2"))
			must(t, os.Mkdir(a.dir+"/d", 0o755))
			must(t, os.Link(a.dir+"/h1", a.dir+"/d/h3"))
			a.meet(b)
			a.tag("h1", "work")
			a.meet(b)
			a.stop()
			must(t, os.RemoveAll(filepath.Join(a.dir, ".silvermirror/index")))
			for _, name := range apart {
				if name == "h3" {
					name = "d/h3"
				}
				a.write(name+".new", fmt.Sprint("edited ", i, name))
				must(t, os.Rename(a.dir+"/"+name+".new", a.dir+"/"+name))
			}
			want := a.list()
			a = openMirror(t, a.dir)
			a.meet(b)
			if got := a.list(); got != want {
				t.Errorf("the disk was\n%s\nand is\n%s", want, got)
			}
			same(t, a, b)
			a.wantSettled()
			b.wantSettled()
			for _, name := range []string{"h1", "h2", "d/h3"} {
				if got := a.tagsOf(name); got != "work" {
					t.Errorf("tags of %s: %q", name, got)
				}
			}
		})
	}
}
