package e2e

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/silvermirror/smfs/fstest"
)

// twoStores makes a mirror with a history in two resources, and leaves it
// without an engine.
func twoStores(t *testing.T) *fstest.Mirror {
	t.Helper()
	m := fstest.NewMirror(t, fstest.Program{Path: fstest.Build(t)}, "M")
	configured(t, m, "[::SilverMirror::]", "[docs]", "[pictures]")
	m.Mount()
	for _, dir := range []string{"docs", "pictures"} {
		check(t, put(m, dir+"/one", "first version, long enough to be found\n"))
		m.Run("wait", "--committed")
		check(t, put(m, dir+"/one", "second version, long enough to be found\n"))
		m.Run("wait", "--committed")
	}
	m.Umount()
	return m
}

func flip(t *testing.T, file string, at int) {
	t.Helper()
	data, err := os.ReadFile(file)
	check(t, err)
	data[at] ^= 0xff
	check(t, os.Chmod(file, 0o600))
	check(t, os.WriteFile(file, data, 0o600))
}

func packs(t *testing.T, store, ext string) []string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(store, "objects/pack/*"+ext))
	if err != nil || len(list) == 0 {
		t.Fatalf("no %s in %s (%v)", ext, store, err)
	}
	return list
}

// damages are what can be wrong with a store so that its head cannot be used.
var damages = []struct {
	name string
	do   func(t *testing.T, store string)
	says string
}{
	{"a ref of garbage", func(t *testing.T, store string) {
		check(t, os.WriteFile(filepath.Join(store, "refs/heads/main"), []byte("nonsense\n"), 0o644))
	}, "refs/heads/main"},
	{"an empty ref", func(t *testing.T, store string) {
		check(t, os.Truncate(filepath.Join(store, "refs/heads/main"), 0))
	}, "refs/heads/main"},
	{"a ref to nothing", func(t *testing.T, store string) {
		check(t, os.WriteFile(filepath.Join(store, "refs/heads/main"), []byte(strings.Repeat("12", 20)+"\n"), 0o644))
	}, strings.Repeat("12", 20)},
	{"every object", func(t *testing.T, store string) {
		for _, file := range packs(t, store, ".pack") {
			data, err := os.ReadFile(file)
			check(t, err)
			for i := 12; i < len(data); i++ {
				data[i] ^= 0x55
			}
			check(t, os.Chmod(file, 0o600))
			check(t, os.WriteFile(file, data, 0o600))
		}
	}, "docs"},
	{"the description", func(t *testing.T, store string) {
		check(t, os.WriteFile(filepath.Join(store, "smfs"), []byte("{"), 0o644))
	}, "smfs"},
}

// TestDamagedStore starts with one store of two damaged: it says which and what
// is wrong, the files stay, and the other resource goes on.
func TestDamagedStore(t *testing.T) {
	t.Parallel()
	for _, d := range damages {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			m := twoStores(t)
			kept := filepath.Join(t.TempDir(), "kept")
			store := m.Path(".silvermirror/store/docs.git")
			check(t, os.CopyFS(kept, os.DirFS(store)))
			d.do(t, store)
			m.Mount()
			for _, r := range m.Status().Resources {
				if r.Name == "docs" {
					contains(t, r.Problem, "docs", "damaged", d.says)
				} else if r.Problem != "" {
					t.Errorf("%s: %s", r.Name, r.Problem)
				}
			}
			has("docs/one", "second version, long enough to be found\n")(t, m, "")
			check(t, put(m, "pictures/two", "2"))
			m.Run("wait", "--committed")
			contains(t, m.Run("log", m.Path("pictures/two")), "two")
			if code := exit(t, m, "log", m.Path("docs/one")); code != 11 {
				t.Errorf("log of a damaged resource: exit code %d", code)
			}
			refused(t, m, []string{"sync", "docs"}, "docs", "damaged")

			check(t, put(m, "docs/two", "written while the store was damaged"))
			refused(t, m, []string{"wait", "--committed"}, "docs", "damaged")
			exitsWith(t, m, exitDamaged, "docs: damaged", "umount", m.Dir)
			mended(t, m, store, kept)
		})
	}
}

// mended puts the store back: what was written meanwhile is committed.
func mended(t *testing.T, m *fstest.Mirror, store, kept string) {
	t.Helper()
	check(t, os.RemoveAll(store))
	check(t, os.CopyFS(store, os.DirFS(kept)))
	m.Mount()
	m.Run("wait", "--committed")
	contains(t, m.Run("log", m.Path("docs")), "two")
	contains(t, m.Run("log", m.Path("docs/one")), "one")
	if p := m.Status().Resources[0].Problem; p != "" {
		t.Errorf("still: %s", p)
	}
}

// TestAllStoresDamaged has nothing to go on with.
func TestAllStoresDamaged(t *testing.T) {
	t.Parallel()
	m := twoStores(t)
	for _, name := range []string{"docs", "pictures"} {
		damages[0].do(t, m.Path(".silvermirror/store/"+name+".git"))
	}
	refused(t, m, []string{"mount", m.Dir}, "docs", "pictures", "damaged", "refs/heads/main", "hint:")
	check(t, os.WriteFile(m.Path(".silvermirror/store/docs.git/smfs"), []byte("{"), 0o600))
	refused(t, m, []string{"mount", m.Dir}, m.Path(".silvermirror/store/docs.git"))
	if code := exit(t, m, "mount", m.Dir); code != 11 {
		t.Errorf("exit code %d", code)
	}
	has("docs/one", "second version, long enough to be found\n")(t, m, "")
}

// TestDamagedIdx has the index of a pack damaged or gone: it is made again.
func TestDamagedIdx(t *testing.T) {
	t.Parallel()
	m := twoStores(t)
	store := m.Path(".silvermirror/store/docs.git")
	list := packs(t, store, ".idx")
	flip(t, list[0], 1100)
	check(t, os.Remove(list[len(list)-1]))
	m.Mount()
	check(t, put(m, "docs/two", "2"))
	m.Run("wait", "--committed")
	contains(t, m.Run("log", m.Path("docs/one")), "add one")
	m.Run("restore", m.Path("docs/one"))
	has("docs/one", "first version, long enough to be found\n")(t, m, "")
}

// TestDamagedHistory has an object that only an old version needs damaged: all
// goes on but for that version, and the error names the object.
func TestDamagedHistory(t *testing.T) {
	t.Parallel()
	m := fstest.NewMirror(t, fstest.Program{Path: fstest.Build(t)}, "M")
	m.Mount()
	check(t, put(m, "one", strings.Repeat("first version\n", 1000)))
	m.Run("wait", "--committed")
	first := m.Git("rev-parse", "main:one")
	check(t, put(m, "one", "second version\n"))
	m.Run("wait", "--committed")
	m.Umount()
	damageObjects(t, m, first)
	m.Mount()
	check(t, put(m, "two", "2"))
	m.Run("wait", "--committed")
	refused(t, m, []string{"restore", m.Path("one")}, first)
	has("one", "second version\n")(t, m, "")
	check(t, put(m, "three", "3"))
	m.Run("wait", "--committed")
}

// TestDamagedTree has the tree of the head damaged: nothing is committed any
// more, which wait and umount tell, with the way out; and that leads out.
func TestDamagedTree(t *testing.T) {
	t.Parallel()
	m := fstest.NewMirror(t, fstest.Program{Path: fstest.Build(t)}, "M")
	m.Mount()
	check(t, put(m, "one", "1"))
	check(t, put(m, "two", "2"))
	m.Run("wait")
	m.Umount()
	damageObjects(t, m, m.Git("rev-parse", "main^{tree}"))
	m.Mount()
	check(t, put(m, "three", "3"))
	store, index := m.Store(), m.Path(".silvermirror/index/mirror")
	hint := "umount, move " + store + " and " + index + " away, mount"
	exitsWith(t, m, exitDamaged, hint, "wait")
	contains(t, m.Status().Resources[0].Problem, "damaged", hint)
	exitsWith(t, m, exitDamaged, hint, "umount", m.Dir)

	for _, name := range []string{store, index} {
		check(t, os.Rename(name, filepath.Join(t.TempDir(), "away")))
	}
	m.Mount()
	m.Run("wait")
	check(t, errors.Join(sameAsHead(m, nil), fsck(m)))
	has("one", "1")(t, m, "")
	m.Umount()
}

// damageObjects flips a byte in the middle of each of some packed objects.
func damageObjects(t *testing.T, m *fstest.Mirror, ids ...string) {
	t.Helper()
	var flips []func()
	for _, idx := range packs(t, m.Store(), ".idx") {
		for _, line := range strings.Split(m.Git("verify-pack", "-v", idx), "\n") {
			if f := strings.Fields(line); len(f) >= 5 && slices.Contains(ids, f[0]) {
				flips = append(flips, func() {
					flip(t, strings.TrimSuffix(idx, ".idx")+".pack", number(t, f[4])+number(t, f[3])/2)
				})
			}
		}
	}
	if len(flips) != len(ids) {
		t.Fatalf("the packs hold %d of %s", len(flips), ids)
	}
	for _, flip := range flips {
		flip()
	}
}

func number(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	check(t, err)
	return n
}
