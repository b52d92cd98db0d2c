package fs

import (
	"os"
	"testing"
)

func programs() map[string]func([]string) error { return nil }

func TestSmoke(t *testing.T) {
	eachPath(t, func(w *world) {
		w.write("a", "hello")
		if got := w.read("a"); got != "hello" {
			t.Fatalf("%q", got)
		}
		must(t, os.Mkdir(w.path("d"), 0o755))
		must(t, os.Rename(w.path("a"), w.path("d/b")))
		if got := w.readBelow("d/b"); got != "hello" {
			t.Fatalf("%q", got)
		}
		des, err := os.ReadDir(w.dir)
		must(t, err)
		t.Log(des)
		for _, r := range w.journal.take() {
			t.Logf("%v %q %q %v", r.Kind, r.Path, r.To, r.Actor)
		}
	})
}
