package e2e

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// inode is a file, directory or symbolic link of the record that a writer
// keeps of what was acknowledged to it. Hard links are one inode at two names.
type inode struct {
	kind     uint32 // unix.S_IFREG, S_IFDIR, S_IFLNK
	mode     uint32
	data     []byte // of a link: its target; never changed in place
	noted    []byte // the data that states knows
	xattrs   map[string]string
	children map[string]*inode
}

func newDir(mode uint32) *inode {
	return &inode{kind: unix.S_IFDIR, mode: mode, children: map[string]*inode{}}
}

// place is one name in a record.
type place struct {
	dir  *inode
	name string
	path string
	node *inode // nil: free
}

// places lists the names below dir of which keep says yes, in order.
func places(dir *inode, at string, keep func(place) bool) []place {
	var out []place
	for _, name := range slices.Sorted(maps.Keys(dir.children)) {
		p := place{dir, name, path.Join(at, name), dir.children[name]}
		if keep(p) {
			out = append(out, p)
		}
		if p.node.kind == unix.S_IFDIR {
			out = append(out, places(p.node, p.path, keep)...)
		}
	}
	return out
}

func anything(place) bool { return true }

func isKind(kind uint32) func(place) bool {
	return func(p place) bool { return p.node.kind == kind }
}

// written is data after a write of b at off.
func written(data []byte, off int, b []byte) []byte {
	out := resized(data, max(len(data), off+len(b)))
	copy(out[off:], b)
	return out
}

// resized is a copy of data of another length, with zeros behind.
func resized(data []byte, size int) []byte {
	out := make([]byte, size)
	copy(out, data)
	return out
}

// listing describes a tree by its paths. Names of one file say so by the first
// of them.
type listing map[string]string

// recorded describes what a record holds.
func recorded(root *inode) listing {
	out := listing{}
	first := map[*inode]string{}
	for _, p := range places(root, "", anything) {
		n := p.node
		if _, ok := first[n]; !ok {
			first[n] = p.path
		}
		out[p.path] = description(n.kind|n.mode, n.data, n.xattrs, first[n])
	}
	return out
}

// description is what a name shows, but for its times.
func description(mode uint32, data []byte, xattrs map[string]string, first string) string {
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

// shown describes what is on disk below dir. With times it says when files and
// links were changed.
func shown(dir string, times bool, skip func(rel string) bool) (listing, error) {
	out := listing{}
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
	line := description(st.Mode, data, userAttributes(p), first[st.Ino])
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

// differences lists what two listings do not share, at most 20 lines of it.
func differences(want, got listing) string {
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
