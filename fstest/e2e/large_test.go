package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/silvermirror/smfs/fstest"
)

// noise returns n bytes that do not shrink.
func noise(seed byte, n int) []byte {
	data := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(data) // which never fails
	return data
}

// insert puts text into a copy of data.
func insert(data []byte, at int, text string) []byte {
	return append(append(bytes.Clone(data[:at]), text...), data[at:]...)
}

func storeBytes(m *fstest.Mirror) int64 { return m.Status().Resources[0].StoreBytes }

// TestLargeFile takes a large file through what people do with files, on two
// mirrors. Of each change only what is new is kept and sent.
func TestLargeFile(t *testing.T) {
	t.Parallel()
	a, b, _ := mounted(t)
	const size = 40 << 20
	old := noise(1, size)
	check(t, os.WriteFile(a.Path("film"), old, 0o644))
	check(t, os.WriteFile(a.Path("small"), []byte("small"), 0o644))
	same(t, a, b)
	a.Run("tag", a.Path("film"), "seen")
	first := a.Head()

	edited := insert(old, size/2, "a scene more")
	for _, c := range []struct {
		what string
		do   func() error
		want map[string][]byte
	}{
		{"an edit", func() error { return os.WriteFile(a.Path("film"), edited, 0o644) }, map[string][]byte{"film": edited}},
		{"a copy", func() error { return os.WriteFile(a.Path("copy"), edited, 0o644) }, map[string][]byte{"film": edited, "copy": edited}},
		{"a move", func() error {
			return errors.Join(os.Mkdir(a.Path("d"), 0o755), os.Rename(a.Path("film"), a.Path("d/film")))
		}, map[string][]byte{"d/film": edited}},
		{"the old bytes", func() error { return os.WriteFile(a.Path("d/film"), old, 0o644) }, map[string][]byte{"d/film": old}},
		{"a smaller file", func() error { return os.WriteFile(a.Path("copy"), old[:1000], 0o644) }, map[string][]byte{"copy": old[:1000]}},
		{"a large one again", func() error { return os.WriteFile(a.Path("copy"), old[:size/2], 0o644) }, map[string][]byte{"copy": old[:size/2]}},
	} {
		was := max(storeBytes(a), storeBytes(b))
		check(t, c.do())
		same(t, a, b)
		for path, want := range c.want {
			for _, m := range []*fstest.Mirror{a, b} {
				if got, err := os.ReadFile(m.Path(path)); err != nil || !bytes.Equal(got, want) {
					t.Errorf("after %s %s holds %d bytes, not %d (%v)", c.what, m.Path(path), len(got), len(want), err)
				}
			}
		}
		if grown := max(storeBytes(a), storeBytes(b)) - was; grown > 9<<20 {
			t.Errorf("after %s the history takes %d bytes more", c.what, grown)
		}
	}
	contains(t, b.Run("tags", b.Path("d/film")), "seen")
	contains(t, b.Run("log", b.Path("d/film")), "film")

	out := filepath.Join(t.TempDir(), "out")
	b.Run("restore", b.Path("film"), "--at", first, "--to", out)
	if got, err := os.ReadFile(out); err != nil || !bytes.Equal(got, old) {
		t.Errorf("the first version is restored as %d bytes (%v)", len(got), err)
	}
	b.Run("restore", b.Path("copy"))
	same(t, a, b)
	if got, err := os.ReadFile(a.Path("copy")); err != nil || len(got) != 1000 {
		t.Errorf("the version before is restored as %d bytes (%v)", len(got), err)
	}
	for _, m := range []*fstest.Mirror{a, b} {
		clean(t, m)
		m.Umount()
		check(t, errors.Join(sameAsHead(m, nil), fsck(m)))
	}
}

// TestLargeConflict edits a large file on both sides: both versions are kept.
func TestLargeConflict(t *testing.T) {
	t.Parallel()
	a, b, host := mounted(t)
	old := noise(2, 5<<20)
	check(t, os.WriteFile(a.Path("film"), old, 0o644))
	same(t, a, b)
	host.Down()
	ours, theirs := insert(old, 1<<20, "ours"), insert(old, 4<<20, "theirs")
	check(t, os.WriteFile(a.Path("film"), ours, 0o644))
	check(t, os.WriteFile(b.Path("film"), theirs, 0o644))
	a.Run("wait", "--committed")
	b.Run("wait", "--committed")
	host.Up()
	meet(t, a, b)
	got := map[string]bool{}
	entries, err := filepath.Glob(a.Path("film*"))
	check(t, err)
	for _, path := range entries {
		data, err := os.ReadFile(path)
		check(t, err)
		got[string(data)] = true
	}
	if len(got) != 2 || !got[string(ours)] || !got[string(theirs)] {
		t.Errorf("of two versions there are %d, in %v", len(got), entries)
	}
}

// TestPointerFile has files in the mirror that read as the pointer of a large one,
// and one that is turned into the other.
func TestPointerFile(t *testing.T) {
	t.Parallel()
	a, b, _ := mounted(t)
	film := noise(3, 2<<20)
	check(t, os.WriteFile(a.Path("film"), film, 0o644))
	a.Run("wait", "--committed")
	pointer := []byte(a.Git("cat-file", "blob", "main:film"))
	if !bytes.HasPrefix(pointer, []byte("smfs large file 1\n")) {
		t.Fatalf("the pointer is %q", pointer)
	}
	if !bytes.HasSuffix(pointer, []byte("\n")) { // which our git helper takes off
		pointer = append(pointer, '\n')
	}
	check(t, os.WriteFile(a.Path("pointer"), pointer, 0o644))
	same(t, a, b)
	check(t, os.WriteFile(b.Path("film"), pointer, 0o644))
	check(t, os.WriteFile(b.Path("pointer"), film, 0o644))
	same(t, a, b)
	for path, want := range map[string][]byte{"film": pointer, "pointer": film} {
		if got, err := os.ReadFile(a.Path(path)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s holds %d bytes, not %d (%v)", path, len(got), len(want), err)
		}
	}
	for _, m := range []*fstest.Mirror{a, b} {
		m.Umount()
		check(t, errors.Join(sameAsHead(m, nil), fsck(m)))
	}
}

// TestLargeFileInClone rebuilds a large file from a clone as the README says.
func TestLargeFileInClone(t *testing.T) {
	t.Parallel()
	m := newMirror(t)
	m.Mount()
	film := noise(4, 60<<20)
	check(t, os.MkdirAll(m.Path("a dir"), 0o755))
	check(t, os.WriteFile(m.Path("a dir/film"), film, 0o644))
	m.Run("wait", "--committed")
	m.Umount()
	clone := filepath.Join(t.TempDir(), "clone")
	m.Git("clone", "-q", m.Store(), clone)
	pointer := content(t, filepath.Join(clone, "a dir/film"))
	_, command, ok := strings.Cut(pointer, "\n    find ")
	if !ok {
		t.Fatalf("no command in the pointer:\n%s", pointer)
	}
	cmd := exec.Command("sh", "-c", "find "+strings.ReplaceAll(command, "NAME", "film"))
	cmd.Dir = filepath.Join(clone, "a dir")
	if got, err := cmd.Output(); err != nil || !bytes.Equal(got, film) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// TestFsckLargeFile damages each kind of part that a large file has, and has it
// mended from the file, or where that has changed, from a peer.
func TestFsckLargeFile(t *testing.T) {
	t.Parallel()
	a, b, _ := mounted(t)
	film := noise(5, 50<<20)
	check(t, os.WriteFile(a.Path("film"), film, 0o644))
	same(t, a, b)
	parts := func() map[string]string {
		ids := map[string]string{"pointer": a.Git("rev-parse", "main:film"), "list": a.Git("rev-parse", "main:.smfs/chunks/film")}
		listing := a.Git("ls-tree", "-r", "-t", "main:.smfs/chunks/film")
		for line := range strings.Lines(listing) {
			f := strings.Fields(line)
			ids[f[1]] = f[2] // one of the chunks, and of the nodes below
		}
		return ids
	}()
	for _, from := range []string{"the files", "peer"} {
		for name, id := range parts {
			a.Umount()
			damageObjects(t, a, id)
			exitsWith(t, a, exitDamaged, `file "film"`, "fsck")
			a.Mount()
			a.Run("wait", "--mirrored", "--timeout", "60s")
			exitsWith(t, a, exitMended, "it is back, from "+from, "fsck", "--repair")
			clean(t, a)
			if t.Failed() {
				t.Fatalf("with the %s damaged, from %s", name, from)
			}
		}
		check(t, os.WriteFile(a.Path("film"), noise(6, 2<<20), 0o644)) // the old version is history's alone
		same(t, a, b)
	}
}

// TestLargeFileGrows appends to a large file while it is committed over and over:
// each commit holds a version that there was, and the history takes the ends alone.
func TestLargeFileGrows(t *testing.T) {
	t.Parallel()
	m := newMirror(t)
	m.Mount()
	data := noise(7, 12<<20)
	check(t, os.WriteFile(m.Path("log"), data, 0o644))
	m.Run("wait", "--committed")
	before := storeBytes(m)
	const times = 10
	for i := range times {
		f, err := os.OpenFile(m.Path("log"), os.O_WRONLY|os.O_APPEND, 0)
		check(t, err)
		line := fmt.Appendf(nil, "line %d\n", i)
		data = append(data, line...)
		_, err = f.Write(line)
		check(t, errors.Join(err, f.Close()))
		m.Run("wait", "--committed")
	}
	if grown := storeBytes(m) - before; grown > times*5<<20 {
		t.Errorf("%d appends of a line took %d bytes of history", times, grown)
	}
	m.Umount()
	if got, err := os.ReadFile(m.Path("log")); err != nil || !bytes.Equal(got, data) {
		t.Errorf("it holds %d bytes, not %d (%v)", len(got), len(data), err)
	}
	check(t, errors.Join(sameAsHead(m, nil), fsck(m)))
}
