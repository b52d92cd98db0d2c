package backend

import (
	"errors"
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/silvermirror/smfs/backend/index"
	"github.com/silvermirror/smfs/backend/object"
	"github.com/silvermirror/smfs/fs/tree"
)

// maxSymlink is the longest target of a symbolic link, in bytes (PATH_MAX).
const maxSymlink = 4096

// splitPath parts a path into its directory and its last name.
func splitPath(path string) (dir, name string) {
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return "", path
	}
	return path[:i], path[i+1:]
}

// within tells whether path is dir or below it.
func within(path, dir string) bool {
	return dir == "" || path == dir || strings.HasPrefix(path, dir+"/")
}

// reserved tells whether a path of a resource is smfs's own: temporaries
// anywhere, and the names that the mirror's root uses itself.
func reserved(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	switch first {
	case "@tags", "@history", ".smfs", ".silvermirror":
		return true
	}
	for name := range strings.SplitSeq(path, "/") {
		if tree.IsTemp(name) {
			return true
		}
	}
	return false
}

// isAbsent tells that a name is not there; see package tree on absence.
func isAbsent(err error) bool { return errors.Is(err, os.ErrNotExist) }

// isLocal tells an error that concerns one file and not the engine.
func isLocal(err error) bool {
	for _, e := range []error{
		unix.EIO, unix.EUCLEAN, unix.EBADMSG, // the last two are how filesystems report damage of their own
		unix.EACCES, unix.EPERM, unix.ELOOP, unix.EXDEV, unix.ESTALE, unix.ENXIO, unix.EOVERFLOW,
		tree.ErrForeignMount, tree.ErrUnsupported,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// mirroredMode is the part of a mode that peers get: permissions and sticky
// bit, for directories setgid, never setuid.
func mirroredMode(mode uint32, kind object.Kind) uint32 {
	switch kind {
	case object.Dir:
		return mode & 0o3777
	case object.File:
		return mode & 0o1777
	}
	return 0
}

func withName(e object.Entry, name string) object.Entry {
	e.Name = name
	return e
}

func treeXattrs(list []object.Xattr) []tree.Xattr {
	out := make([]tree.Xattr, len(list))
	for i, x := range list {
		out[i] = tree.Xattr{Name: x.Name, Value: x.Value}
	}
	return out
}

// xattrs reads the extended attributes that are mirrored, and says of which
// inode they are.
func (r *resource) xattrs(path string) ([]object.Xattr, tree.Info, error) {
	list, info, err := r.tree.Xattrs(path)
	if errors.Is(err, tree.ErrUnsupported) || len(list) == 0 && err == nil {
		return nil, info, nil
	}
	if err != nil {
		return nil, info, err
	}
	out := make([]object.Xattr, len(list))
	for i, x := range list {
		out[i] = object.Xattr{Name: x.Name, Value: x.Value}
	}
	return out, info, nil
}

// expectNode is what the index says is at a name.
func expectNode(n index.Node) tree.Expect { return tree.Exactly(diskInfo(n)) }

// diskInfo is the stat that the index has of a node. The Mode of an index node
// is the disk's; what of it is mirrored, mirroredMode says.
func diskInfo(n index.Node) tree.Info {
	info := tree.Info{Key: n.Key, Size: n.Size, Mtime: n.Entry.Mtime, Ctime: n.Ctime}
	switch n.Kind {
	case object.Dir:
		info.Mode = unix.S_IFDIR | n.Mode
	case object.Symlink:
		info.Mode = unix.S_IFLNK | 0o777
	default:
		info.Mode = unix.S_IFREG | n.Mode
	}
	return info
}

// findEntry returns the entry at a path of a tree, nil where there is none.
func findEntry(src finder, root object.TreeID, path string) (*object.Entry, error) {
	id := root
	for path != "" {
		name, rest, _ := strings.Cut(path, "/")
		if id.IsZero() {
			return nil, nil
		}
		e, err := src.Lookup(id, name)
		if err != nil || e == nil || rest == "" {
			return e, err
		}
		if e.Kind != object.Dir {
			return nil, nil
		}
		id, path = e.Tree, rest
	}
	return &object.Entry{Kind: object.Dir, Tree: root}, nil
}

// pathSet is a set of paths, safe for concurrent use.
type pathSet struct {
	mu  sync.Mutex
	set map[string]bool
}

func (p *pathSet) add(path string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.set == nil {
		p.set = map[string]bool{}
	}
	p.set[path] = true
}

func (p *pathSet) remove(path string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.set, path)
}
