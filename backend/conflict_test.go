package backend_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/silvermirror/smfs/backend"
)

// TestNameConflict: a file, and a directory, that both sides rename has one of
// the two names, and both are told.
func TestNameConflict(t *testing.T) {
	ctx := context.Background()
	a, b := openMirror(t, t.TempDir()), openMirror(t, t.TempDir())
	a.write("f", "text")
	a.write("d/in", "the directory")
	a.meet(b)
	for _, m := range []*mirror{a, b} {
		for _, name := range []string{"f", "d"} {
			to := map[*mirror]string{a: name + "-A", b: name + "-B"}[m]
			must(t, os.Rename(filepath.Join(m.dir, name), filepath.Join(m.dir, to)))
		}
		m.sync()
	}
	a.meet(b)
	a.write("later", "is no part of it")
	a.meet(b)
	for _, m := range []*mirror{a, b} {
		list, err := m.engine.Conflicts(ctx)
		must(t, err)
		if len(list) != 2 {
			t.Fatalf("conflicts: %+v", list)
		}
		for i, name := range []string{"d", "f"} {
			c := list[i]
			if c.Kind != backend.NameConflict || c.Time.IsZero() ||
				!(c.Path == name+"-A" && c.Of == name+"-B" || c.Path == name+"-B" && c.Of == name+"-A") {
				t.Errorf("conflict: %+v", c)
			}
			if _, err := os.Lstat(filepath.Join(m.dir, c.Path)); err != nil {
				t.Error(err)
			}
		}
	}
}
