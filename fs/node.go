package fs

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/silvermirror/smfs/fs/tree"
	"github.com/silvermirror/smfs/journal"
	"golang.org/x/sys/unix"
)

// maxLinks bounds the names remembered of one inode. A name that was forgotten
// is looked up again when it is used: the kernel does so upon ESTALE.
const maxLinks = 16

// link is one name of an inode: where it was last seen.
type link struct {
	dir  *DirNode
	name string
}

// node is what all nodes on the backing directory share: one backing inode.
type node struct {
	fs.Inode
	m   *Mount
	vol *volume
	key journal.FileKey

	// forgotten is set once the kernel has forgotten the inode, until it looks it up
	// again.
	forgotten atomic.Bool

	// privileged is set while the inode may carry setuid, setgid or file
	// capabilities that a write by another user must clear.
	privileged atomic.Bool

	mu    sync.Mutex    // guards links, pin and open; held by a rename of this inode while it acts
	links []link        // most recent first
	pin   int           // O_PATH fd of an inode without names, else -1
	open  []*fileHandle // handles in use
}

// nodeOf is the node behind what go-fuse passes around; nil for a view.
func nodeOf(e fs.InodeEmbedder) *node {
	switch n := e.(type) {
	case *DirNode:
		return &n.node
	case *FileNode:
		return &n.node
	case *LinkNode:
		return &n.node
	case *SpecialNode:
		return &n.node
	}
	return nil
}

// init makes a node of a zeroed one.
func (n *node) init(m *Mount, vol *volume, key journal.FileKey) {
	n.m, n.vol, n.key, n.pin = m, vol, key, -1
	n.privileged.Store(true)
}

func (n *node) isDir() bool { return n.Mode() == unix.S_IFDIR }

// link is the most recent name.
func (n *node) link() (link, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.links) == 0 {
		return link{}, false
	}
	return n.links[0], true
}

// addLink makes l the most recent name. A directory has only one.
func (n *node) addLink(l link) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.addLinkLocked(l)
}

func (n *node) addLinkLocked(l link) {
	switch i := slices.Index(n.links, l); {
	case i == 0:
		return
	case n.isDir():
		n.links = append(n.links[:0], l)
		return
	case i > 0:
		n.links = slices.Delete(n.links, i, i+1)
	case len(n.links) == maxLinks:
		n.links = n.links[:maxLinks-1]
	}
	n.links = slices.Insert(n.links, 0, l)
}

// dropLink forgets a name that turned out to hold something else. It waits for
// a rename of this inode that is under way.
func (n *node) dropLink(l link) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dropLinkLocked(l)
}

func (n *node) dropLinkLocked(l link) {
	if i := slices.Index(n.links, l); i >= 0 {
		n.links = slices.Delete(n.links, i, i+1)
	}
}

// lockNodes takes the mu of up to two nodes, which may be nil or the same one,
// in the order of their keys.
func lockNodes(ns ...*node) (unlock func()) {
	ns = slices.DeleteFunc(ns, func(n *node) bool { return n == nil })
	slices.SortFunc(ns, func(a, b *node) int {
		return cmp.Or(cmp.Compare(a.key.Ino, b.key.Ino), cmp.Compare(a.key.Gen, b.key.Gen), cmp.Compare(a.vol.salt, b.vol.salt))
	})
	ns = slices.Compact(ns)
	for _, n := range ns {
		n.mu.Lock()
	}
	return func() {
		for _, n := range ns {
			n.mu.Unlock()
		}
	}
}

// gone reports whether err says that a name no longer holds what it held.
func gone(err error) bool {
	return err == unix.ENOENT || err == unix.ENOTDIR || err == unix.ELOOP || err == unix.ESTALE
}

// at calls fn with each directory fd and name under which the inode may be,
// until fn finds it there. fn answers an error that is gone() where it is not.
func (n *node) at(fn func(dirfd int, l link) error) error {
	for {
		l, ok := n.link()
		if !ok {
			return unix.ESTALE
		}
		dir, err := l.dir.acquire()
		if err != nil {
			return err
		}
		err = fn(dir.fd, l)
		dir.release()
		if !gone(err) {
			return err
		}
		n.dropLink(l)
	}
}

// is checks that st is of this inode.
func (n *node) is(st *unix.Statx_t) error {
	if keyOf(st) != n.key || devOf(st) != n.vol.dev {
		return unix.ESTALE
	}
	return nil
}

// keyOf is the identity of an inode.
func keyOf(st *unix.Statx_t) journal.FileKey {
	key := journal.FileKey{Ino: st.Ino}
	if st.Mask&unix.STATX_BTIME != 0 {
		key.Gen = uint64(st.Btime.Sec*1e9 + int64(st.Btime.Nsec))
	}
	return key
}

// statAt looks at a name without following it.
func statAt(dirfd int, name string, st *unix.Statx_t) error {
	return unix.Statx(dirfd, name, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT, tree.StatxMask, st)
}

// statFD looks at what an fd refers to.
func statFD(fd int, st *unix.Statx_t) error {
	return unix.Statx(fd, "", unix.AT_EMPTY_PATH, tree.StatxMask, st)
}

// linked reports whether a file has several names. One that cannot be asked
// counts as if it had.
func linked(fd int) bool {
	var st unix.Statx_t
	return statFD(fd, &st) != nil || st.Nlink > 1
}

// OnForget runs when the kernel has forgotten the inode: nobody holds it open
// any more, so an inode without names can go.
func (n *node) OnForget() {
	n.forgotten.Store(true)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.pin >= 0 {
		unix.Close(n.pin)
		n.pin = -1
	}
}
