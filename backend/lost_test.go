package backend_test

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/silvermirror/smfs/backend"
)

// TestLostHead: a store whose ref is gone finds its head again, with all that
// was committed: what came from peers, tags, and what the index has not seen.
func TestLostHead(t *testing.T) {
	for _, lost := range []string{"the ref", "the ref and the index"} {
		t.Run(lost, func(t *testing.T) {
			a, b := openMirror(t, t.TempDir()), openMirror(t, t.TempDir())
			a.write("f1", "one")
			a.sync()
			b.write("g", "other")
			b.sync()
			a.meet(b)
			a.write("f2", "two")
			a.sync()
			a.tag("f2", "work")
			head := a.engine.Head()
			a.stop()
			must(t, os.Remove(a.dir+"/.silvermirror/store/mirror.git/refs/heads/main"))
			if lost != "the ref" {
				must(t, os.RemoveAll(a.dir+"/.silvermirror/index"))
			}
			must(t, os.Remove(a.dir+"/f1")) // a deed, as far as the index is there to tell
			a = openMirror(t, a.dir)
			a.git("merge-base", "--is-ancestor", head, "main") // what was found to be gone may be committed by now
			a.sync()
			a.write("n", "new")
			a.sync()
			a.meet(b)
			same(t, a, b)
			if a.tagsOf("f2") != "work" || a.read("g") != "other" || b.read("n") != "new" {
				t.Errorf("f2 has tags %q, g is %q, n %q", a.tagsOf("f2"), a.read("g"), b.read("n"))
			}
			if _, err := os.Stat(b.dir + "/f1"); lost == "the ref" && !errors.Is(err, os.ErrNotExist) {
				t.Errorf("a file that was deleted is back (%v)", err)
			}
		})
	}
}

// TestLostHistory: a store that is empty where something was committed is not
// taken for a new one.
func TestLostHistory(t *testing.T) {
	a := openMirror(t, t.TempDir())
	a.write("f1", "one")
	a.sync()
	a.stop()
	git := a.dir + "/.silvermirror/store/mirror.git/"
	must(t, os.Remove(git+"refs/heads/main"))
	must(t, os.RemoveAll(git+"objects/pack"))
	must(t, os.Mkdir(git+"objects/pack", 0o755))
	_, _, err := openEngine(a.dir, slog.New(slog.DiscardHandler))
	if !errors.Is(err, backend.ErrDamaged) || !strings.Contains(err.Error(), "refs/heads/main") || backend.Hint(err) == "" {
		t.Errorf("opening it: %v", err)
	}
}

// TestLostNewest loses the newest commits and the index: what is on disk is an edit
// then, also where it is older by its time, and by another writer.
func TestLostNewest(t *testing.T) {
	for name, lose := range map[string]func(t *testing.T, ref, older, index string){
		"ref and all of the index": func(t *testing.T, ref, _, index string) {
			must(t, os.Remove(ref))
			must(t, os.RemoveAll(filepath.Dir(index)))
		},
		"a ref of an older commit": func(t *testing.T, ref, older, index string) {
			must(t, os.WriteFile(ref, []byte(older+"\n"), 0o600))
			must(t, os.Remove(index))
		},
		"a ref of an older commit, with the index": func(t *testing.T, ref, older, _ string) {
			must(t, os.WriteFile(ref, []byte(older+"\n"), 0o600))
		},
		"a mark that cannot be read": func(t *testing.T, ref, older, index string) {
			must(t, os.WriteFile(ref, []byte(older+"\n"), 0o600))
			must(t, os.Remove(index))
			must(t, os.WriteFile(index+".synced", nil, 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := openMirror(t, t.TempDir())
			a.write("f", "first")
			a.sync()
			a.write("f", "second")
			a.sync()
			git := a.dir + "/.silvermirror/store/mirror.git/"
			before, older := packsOf(t, git), a.git("rev-parse", "main")
			must(t, os.WriteFile(a.dir+"/.new", []byte("precious"), 0o644))
			must(t, os.Chtimes(a.dir+"/.new", time.Time{}, time.Now().Add(-time.Hour)))
			must(t, os.Rename(a.dir+"/.new", a.dir+"/f"))
			a.sync()
			writer := a.git("log", "-1", "--format=%(trailers:key=Smfs-Writer,valueonly)", "main")
			a.stop()
			for _, name := range packsOf(t, git) {
				if !slices.Contains(before, name) {
					must(t, os.Remove(name))
				}
			}
			lose(t, git+"refs/heads/main", older, a.dir+"/"+indexFile)

			a = openMirror(t, a.dir)
			a.sync()
			if got, head := a.read("f"), a.git("show", "main:f"); got != "precious" || head != "precious" {
				t.Errorf("f reads %q, in the head %q", got, head)
			}
			if now := a.git("log", "-1", "--format=%(trailers:key=Smfs-Writer,valueonly)", "main"); now == writer {
				t.Errorf("it goes on as %s, whose commits are lost", now)
			}
		})
	}
}

func packsOf(t *testing.T, git string) []string {
	t.Helper()
	names, err := filepath.Glob(git + "objects/pack/pack-*")
	must(t, err)
	return names
}
