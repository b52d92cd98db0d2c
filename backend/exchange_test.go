package backend_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// give brings m's head to other.
func (m *mirror) give(other *mirror) {
	m.t.Helper()
	must(m.t, m.engine.Give(context.Background(), other.engine))
}

// meet exchanges heads until both have the same one.
func (m *mirror) meet(other *mirror) {
	m.t.Helper()
	for range 4 {
		m.give(other)
		other.give(m)
	}
	if a, b := m.engine.Head(), other.engine.Head(); a != b {
		m.t.Fatalf("heads differ: %s %s", a, b)
	}
}

// list describes all that a mirror shows: type, mode, mtime, xattrs, links,
// content. Inodes are numbered in the order of their first names.
func (m *mirror) list() string {
	m.t.Helper()
	var lines []string
	inodes := map[uint64]string{}
	err := filepath.WalkDir(m.dir, func(p string, d os.DirEntry, err error) error {
		must(m.t, err)
		rel, _ := filepath.Rel(m.dir, p)
		if rel == ".silvermirror" {
			return filepath.SkipDir
		}
		if rel == "." {
			return nil
		}
		var st unix.Stat_t
		must(m.t, unix.Lstat(p, &st))
		line := fmt.Sprintf("%q %o", rel, st.Mode)
		switch {
		case d.Type().IsRegular():
			data, err := os.ReadFile(p)
			must(m.t, err)
			first, ok := inodes[st.Ino]
			if !ok {
				inodes[st.Ino] = rel
				first = rel
			}
			line += fmt.Sprintf(" %d.%09d %q link of %q", st.Mtim.Sec, st.Mtim.Nsec, data, first)
			buf := make([]byte, 256)
			if n, err := unix.Lgetxattr(p, "user.test", buf); err == nil {
				line += fmt.Sprintf(" user.test=%q", buf[:n])
			}
		case d.Type()&os.ModeSymlink != 0:
			target, err := os.Readlink(p)
			must(m.t, err)
			line += " -> " + target
		}
		lines = append(lines, line)
		return nil
	})
	must(m.t, err)
	sort.Strings(lines)
	return strings.Join(lines, "\n")
}

func same(t *testing.T, a, b *mirror) {
	t.Helper()
	if x, y := a.list(), b.list(); x != y {
		t.Errorf("mirrors differ:\n%s\n--\n%s", x, y)
	}
}

func TestExchange(t *testing.T) {
	a, b := openMirror(t, t.TempDir()), openMirror(t, t.TempDir())
	p := func(m *mirror, path string) string { return filepath.Join(m.dir, path) }
	a.write("a.txt", "one")
	a.write("d/b.txt", "two")
	a.write("d/sub/c.txt", "three")
	must(t, os.Symlink("a.txt", p(a, "link")))
	must(t, os.Link(p(a, "a.txt"), p(a, "d/hard")))
	must(t, os.Mkdir(p(a, "empty"), 0o750))
	must(t, os.Chmod(p(a, "d/b.txt"), 0o640))
	must(t, unix.Setxattr(p(a, "a.txt"), "user.test", []byte("x\x00y"), 0))
	a.meet(b)
	same(t, a, b)

	must(t, os.Rename(p(b, "d"), p(b, "e")))
	b.write("e/new", "new")
	must(t, os.Remove(p(b, "e/sub/c.txt")))
	a.write("d/b.txt", "changed on a") // while b renames its directory
	a.meet(b)
	same(t, a, b)
	if data, _ := os.ReadFile(p(a, "e/b.txt")); string(data) != "changed on a" {
		t.Errorf("the edit did not follow the rename: %q", data)
	}

	a.write("a.txt", "edit on a")
	b.write("e/hard", "edit on b, through the other name")
	a.meet(b)
	same(t, a, b)
	conflicts, err := a.engine.Conflicts(context.Background())
	must(t, err)
	if len(conflicts) != 1 {
		t.Errorf("conflicts: %v", conflicts)
	}
	must(t, os.RemoveAll(p(a, "e")))
	a.meet(b)
	same(t, a, b)
	a.git("fsck", "--strict")
	for _, m := range []*mirror{a, b} {
		st, err := m.engine.Status(context.Background())
		must(t, err)
		if r := st.Resources[0]; r.Pending != 0 || r.Problem != "" || len(r.Waiting) != 0 {
			t.Errorf("status: %+v", r)
		}
	}
}
