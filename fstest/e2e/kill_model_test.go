package e2e

import (
	"maps"
	"path"
	"slices"

	"github.com/silvermirror/smfs/fstest"
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

// recorded describes what a record holds.
func recorded(root *inode) fstest.Listing {
	out := fstest.Listing{}
	first := map[*inode]string{}
	for _, p := range places(root, "", anything) {
		n := p.node
		if _, ok := first[n]; !ok {
			first[n] = p.path
		}
		out[p.path] = fstest.Describe(n.kind|n.mode, n.data, n.xattrs, first[n])
	}
	return out
}
