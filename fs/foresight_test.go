package fs

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestForesight walks through directories that the kernel does not know: after some
// of them, one who looks at all names has them looked up no more, and for one who
// looks at none no attributes are read.
func TestForesight(t *testing.T) {
	const files = 1000
	log := &requestLog{}
	s := setup{options: log.collect, prepare: func(dir string) {
		for d := range 14 {
			must(t, os.Mkdir(fmt.Sprintf("%s/d%d", dir, d), 0o755))
			for f := range files {
				must(t, os.WriteFile(fmt.Sprintf("%s/d%d/file%d", dir, d, f), nil, 0o644))
			}
		}
	}}
	eachPathWith(t, s, func(w *world) {
		next := 0
		walk := func(dirs int, looks bool) (lookups, known int) {
			for range dirs {
				log.take()
				before := w.known()
				dir := fmt.Sprint("d", next)
				next++
				names, err := os.ReadDir(w.path(dir))
				must(w.t, err)
				if len(names) != files {
					w.t.Fatalf("%d names", len(names))
				}
				for _, n := range names {
					if looks {
						must(w.t, w.stat(dir+"/"+n.Name()))
					}
				}
				lookups, known = strings.Count(log.take(), "LOOKUP"), w.known()-before
			}
			return lookups, known
		}
		if lookups, _ := walk(2, true); lookups > files/8 {
			w.t.Errorf("looking at %d files takes %d LOOKUPs at first", files, lookups)
		}
		if _, known := walk(9, false); known > files/8 {
			w.t.Errorf("the kernel knows %d of %d files that were listed alone", known, files)
		}
		if lookups, _ := walk(3, true); lookups > files/8 {
			w.t.Errorf("looking at %d files takes %d LOOKUPs in the end", files, lookups)
		}
	})
}
