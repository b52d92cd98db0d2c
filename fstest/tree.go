package fstest

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// List describes all that a directory shows, a line a name: type and mode,
// mtime, content, user.* attributes, which names are one file. Two mirrors that
// are equal have equal lists. smfs's own names are left out.
func List(t testing.TB, dir string) string {
	t.Helper()
	var lines []string
	inodes := map[uint64]string{}
	err := filepath.WalkDir(dir, func(p string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, p)
		switch rel {
		case ".":
			return nil
		case ".silvermirror":
			return filepath.SkipDir
		case "@tags", "@history":
			return nil
		}
		line, err := describe(p, rel, inodes)
		lines = append(lines, line)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	sort.Strings(lines)
	return strings.Join(lines, "\n")
}

func describe(p, rel string, inodes map[uint64]string) (string, error) {
	var st unix.Stat_t
	if err := unix.Lstat(p, &st); err != nil {
		return "", err
	}
	line := fmt.Sprintf("%q %o", rel, st.Mode)
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		target, err := os.Readlink(p)
		return line + " -> " + target, err
	case unix.S_IFREG:
		data, err := os.ReadFile(p)
		if err != nil {
			return "", err
		}
		if len(data) > 200 {
			data = fmt.Appendf(data[:200], "... %d bytes", len(data))
		}
		if _, ok := inodes[st.Ino]; !ok {
			inodes[st.Ino] = rel
		}
		line += fmt.Sprintf(" %d.%09d %q = %q", st.Mtim.Sec, st.Mtim.Nsec, data, inodes[st.Ino])
	}
	return line + attributes(p), nil
}

// attributes lists the user.* attributes.
func attributes(p string) string {
	names := make([]byte, 64<<10)
	n, err := unix.Llistxattr(p, names)
	if err != nil {
		return ""
	}
	var out []string
	for _, name := range strings.Split(strings.TrimRight(string(names[:n]), "\x00"), "\x00") {
		if !strings.HasPrefix(name, "user.") || strings.HasPrefix(name, "user.smfs.") {
			continue
		}
		value := make([]byte, 64<<10)
		if n, err := unix.Lgetxattr(p, name, value); err == nil {
			out = append(out, fmt.Sprintf(" %s=%q", name, value[:n]))
		}
	}
	sort.Strings(out)
	return strings.Join(out, "")
}

// Same fails the test unless two directories show the same.
func Same(t testing.TB, a, b string) {
	t.Helper()
	if x, y := List(t, a), List(t, b); x != y {
		t.Errorf("%s and %s differ:\n%s", a, b, difference(x, y))
	}
}

func difference(a, b string) string {
	count := map[string]int{}
	for _, l := range strings.Split(a, "\n") {
		count[l]++
	}
	for _, l := range strings.Split(b, "\n") {
		count[l]--
	}
	var out []string
	for l, n := range count {
		if n > 0 {
			out = append(out, "- "+l)
		} else if n < 0 {
			out = append(out, "+ "+l)
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i][2:] < out[j][2:] })
	return strings.Join(out, "\n")
}
