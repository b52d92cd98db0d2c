package backend_test

import (
	"context"
	"crypto/sha1"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

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

// TestRandomlyChangedBeside moves, makes, exchanges and removes directories and
// files as fast as it can.
func TestRandomlyChangedBeside(t *testing.T) {
	m := openMirror(t, t.TempDir())
	must(t, m.engine.Wait(context.Background(), backend.WaitOptions{}))
	seed := time.Now().UnixNano()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(uint64(seed), 0))
	any := func() string {
		path := m.dir
		for range 1 + random.IntN(3) {
			path = filepath.Join(path, fmt.Sprint("n", random.IntN(3)))
		}
		return path
	}
	for round := range 20 {
		for range 1 + random.IntN(200) { // most fail, as there is something else
			switch random.IntN(6) {
			case 0, 1:
				_ = os.Mkdir(any(), 0o755)
			case 2:
				_ = os.WriteFile(filepath.Join(any(), "f"), fmt.Append(nil, random.IntN(1000)), 0o644)
			case 3:
				_ = os.Rename(any(), any())
			case 4:
				_ = unix.Renameat2(unix.AT_FDCWD, any(), unix.AT_FDCWD, any(), unix.RENAME_EXCHANGE)
			case 5:
				_ = os.RemoveAll(any())
			}
		}
		if round%4 == 3 {
			m.committed()
		}
	}
	s, err := m.engine.Status(context.Background())
	must(t, err)
	if r := s.Resources[0]; r.Problem != "" {
		t.Errorf("status: %+v", r)
	}
}
