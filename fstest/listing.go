package fstest

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Listing describes a tree by its paths. Names of one file say so by the first
// of them.
type Listing map[string]string

// Describe is what a name shows, but for its times.
func Describe(mode uint32, data []byte, xattrs map[string]string, first string) string {
	switch mode & unix.S_IFMT {
	case unix.S_IFLNK:
		return fmt.Sprintf("link -> %q", data)
	case unix.S_IFDIR:
		return fmt.Sprintf("dir %04o%s", mode&0o3777, attributesOf(xattrs))
	}
	return fmt.Sprintf("file %04o %d bytes %.8x, one with %q%s", mode&0o1777, len(data), sha256.Sum256(data), first, attributesOf(xattrs))
}

func attributesOf(xattrs map[string]string) string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(xattrs)) {
		fmt.Fprintf(&b, " %s=%q", k, xattrs[k])
	}
	return b.String()
}

// Shown describes what is on disk below dir. With times it says when files and
// links were changed.
func Shown(dir string, times bool, skip func(rel string) bool) (Listing, error) {
	out := Listing{}
	first := map[uint64]string{}
	err := filepath.WalkDir(dir, func(p string, e os.DirEntry, err error) error {
		if err != nil || p == dir {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		if skip != nil && skip(rel) {
			if e.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		out[rel], err = show(p, rel, times, first)
		return err
	})
	return out, err
}

func show(p, rel string, times bool, first map[uint64]string) (string, error) {
	var st unix.Stat_t
	if err := unix.Lstat(p, &st); err != nil {
		return "", err
	}
	var data []byte
	var err error
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		data, err = os.ReadFile(p)
	case unix.S_IFLNK:
		var target string
		target, err = os.Readlink(p)
		data = []byte(target)
	}
	if err != nil {
		return "", err
	}
	if _, ok := first[st.Ino]; !ok {
		first[st.Ino] = rel
	}
	line := Describe(st.Mode, data, userAttributes(p), first[st.Ino])
	if times && st.Mode&unix.S_IFMT != unix.S_IFDIR {
		line += fmt.Sprintf(" at %d", st.Mtim.Nano())
	}
	return line, nil
}

func userAttributes(p string) map[string]string {
	buf := make([]byte, 64<<10)
	n, err := unix.Llistxattr(p, buf)
	if err != nil {
		return nil
	}
	out := map[string]string{}
	value := make([]byte, 64<<10)
	for _, name := range strings.Split(strings.TrimRight(string(buf[:n]), "\x00"), "\x00") {
		if !strings.HasPrefix(name, "user.") || strings.HasPrefix(name, "user.smfs.") {
			continue
		}
		if n, err := unix.Lgetxattr(p, name, value); err == nil {
			out[name] = string(value[:n])
		}
	}
	return out
}

// Differences lists what two listings do not share, at most 20 lines of it.
func Differences(want, got Listing) string {
	var out []string
	for _, p := range slices.Sorted(maps.Keys(want)) {
		if g, ok := got[p]; !ok {
			out = append(out, fmt.Sprintf("- %q %s", p, want[p]))
		} else if g != want[p] {
			out = append(out, fmt.Sprintf("- %q %s\n+ %q %s", p, want[p], p, g))
		}
	}
	for _, p := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[p]; !ok {
			out = append(out, fmt.Sprintf("+ %q %s", p, got[p]))
		}
	}
	if len(out) > 20 {
		out = append(out[:20], fmt.Sprintf("and %d more", len(out)-20))
	}
	return strings.Join(out, "\n")
}
