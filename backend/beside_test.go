package backend_test

import (
	"context"
	"crypto/sha1"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/silvermirror/smfs/backend"
)

// eventually returns once something is so that no call waits for.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !is(); {
		if time.Now().After(end) {
			t.Fatalf("never came: %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// committed waits until the head is what the directory holds, and calls nothing
// that looks for changes.
func (m *mirror) committed() {
	m.t.Helper()
	start := time.Now()
	want := m.onDisk()
	eventually(m.t, fmt.Sprintf("a head with %d files as on disk", len(want)), func() bool { return slices.Equal(m.inHead(), want) })
	m.t.Logf("in the head after %s", time.Since(start))
}

// onDisk lists the files with their ids in git.
func (m *mirror) onDisk() []string {
	m.t.Helper()
	var out []string
	must(m.t, filepath.WalkDir(m.dir, func(path string, d os.DirEntry, err error) error {
		rel := strings.TrimPrefix(path, m.dir+"/")
		switch {
		case err != nil:
			return err
		case rel == ".silvermirror":
			return filepath.SkipDir
		case d.IsDir():
			return nil
		}
		data, err := os.ReadFile(path)
		out = append(out, fmt.Sprintf("%s=%x", rel, sha1.Sum(fmt.Appendf(nil, "blob %d\x00%s", len(data), data))))
		return err
	}))
	slices.Sort(out)
	return out
}

func (m *mirror) inHead() []string {
	m.t.Helper()
	head := m.engine.Head()
	if strings.Trim(head, "0") == "" {
		return nil
	}
	var out []string
	for line := range strings.Lines(m.git("ls-tree", "-r", "--format=%(path)=%(objectname)", head) + "\n") {
		if path := strings.TrimSuffix(line, "\n"); !slices.Contains(strings.Split(path, "/"), ".smfs") {
			out = append(out, path)
		}
	}
	slices.Sort(out)
	return out
}

// TestChangedBeside changes a directory that is not mounted, and nobody calls
// the engine.
func TestChangedBeside(t *testing.T) {
	ctx := context.Background()
	m := openMirror(t, t.TempDir())
	must(t, m.engine.Wait(ctx, backend.WaitOptions{}))
	at := func(rel string) string { return filepath.Join(m.dir, rel) }

	m.write("f", "one")
	m.committed()
	m.write("f", "two")
	m.committed()
	m.write("d/e/g", "deep")
	m.committed()
	m.write("d/e/h", "in a directory that was made meanwhile")
	m.committed()
	must(t, m.engine.Tag(ctx, backend.TagOptions{Paths: []string{"f", "d/e/g"}, Tags: []string{"work"}}))

	must(t, os.Rename(at("f"), at("renamed")))
	m.committed()
	must(t, os.Mkdir(at("n"), 0o755))
	must(t, os.Rename(at("d"), at("n/d")))
	m.committed()
	m.write("n/d/e/h", "below a directory that was moved")
	m.committed()
	must(t, os.Remove(at("n/d/e/h")))
	m.committed()
	m.write("new", "saved by a rename")
	must(t, os.Rename(at("new"), at("renamed")))
	m.committed()
	files, err := m.engine.TaggedFiles("work")
	must(t, err)
	var paths []string
	for _, f := range files {
		paths = append(paths, f.Path)
	}
	slices.Sort(paths)
	if got, want := strings.Join(paths, " "), "n/d/e/g renamed"; got != want {
		t.Errorf("tagged are %s, want %s", got, want)
	}

	for i := range 300 {
		m.write(fmt.Sprintf("many/%d/f", i), fmt.Sprint(i))
	}
	m.committed()
	must(t, os.RemoveAll(at("many")))
	must(t, os.RemoveAll(at("n")))
	m.committed()
}

// TestAppliedIsNotChangedBeside: what the engine itself writes is not found
// again.
func TestAppliedIsNotChangedBeside(t *testing.T) {
	ctx := context.Background()
	a, b := openMirror(t, t.TempDir()), openMirror(t, t.TempDir())
	for i := range 20 {
		a.write(fmt.Sprintf("d%d/f", i), fmt.Sprint(i))
	}
	must(t, a.engine.Give(ctx, b.engine))
	must(t, os.RemoveAll(a.dir+"/d1"))
	must(t, os.Rename(a.dir+"/d2", a.dir+"/d3/d2"))
	a.write("d4/f", "edited")
	must(t, a.engine.Give(ctx, b.engine))
	head := a.engine.Head()
	for range 50 {
		s, err := b.engine.Status(ctx)
		must(t, err)
		if r := s.Resources[0]; r.Pending > 0 || r.Head != head || r.Problem != "" {
			t.Fatalf("after an apply of %s: %+v", head, r)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
