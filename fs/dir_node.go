package fs

import (
	"context"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"github.com/silvermirror/smfs/fs/tree"
	"golang.org/x/sys/unix"
)

// maxDepth bounds walks up the links. The kernel's paths are shorter.
const maxDepth = 1 << 16

// DirNode is a directory of the backing filesystem.
type DirNode struct {
	node
	place *place // nil: neither the root of a zone nor above one
	own   *zone  // not nil: a zone begins here
	fixed *dirFD // not nil: reached by this fd, not through its parent
	fd    *dirFD // guarded by dirFDs.mu

	plain plainNames // foresight's
}

// newDir makes the node of a directory found as name in d.
func (d *DirNode) newDir(name string, st *unix.Statx_t) *DirNode {
	c := &DirNode{place: d.place.child(name)}
	if c.place != nil {
		c.own = c.place.zone
	}
	if res := c.place.external(); res != nil {
		c.fixed = &dirFD{dir: c, fd: res.tree.RootFD(), refs: 1}
	}
	if c.own == nil && (st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0 || devOf(st) != d.vol.dev) {
		c.own = foreignZone()
	}
	return c
}

// acquire opens the directory (O_PATH) through its parent, unless it is open.
func (d *DirNode) acquire() (dirRef, error) {
	if ref, ok := d.m.dirs.get(d); ok {
		return ref, nil
	}
	var ref dirRef
	err := d.at(func(dirfd int, l link) error {
		fd, err := unix.Openat(dirfd, l.name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		var st unix.Statx_t
		if err = statFD(fd, &st); err == nil {
			err = d.is(&st)
		}
		if err != nil {
			unix.Close(fd)
			return err
		}
		ref = d.m.dirs.put(d, fd)
		return nil
	})
	return ref, err
}

// where is the zone that the directory is in, and its path from there. !ok: it
// is no longer anywhere.
func (d *DirNode) where() (z *zone, path string, ok bool) {
	var names []string
	for c := d; len(names) < maxDepth; {
		if c.own != nil {
			slices.Reverse(names)
			return c.own, strings.Join(names, "/"), true
		}
		l, ok := c.link()
		if !ok {
			break
		}
		names = append(names, l.name)
		c = l.dir
	}
	return nil, "", false
}

// zone is the zone that the directory is in; a directory that is nowhere any
// more is in none that caches or keeps anything.
func (d *DirNode) zone() *zone {
	for c, depth := d, 0; depth < maxDepth; depth++ {
		if c.own != nil {
			return c.own
		}
		l, ok := c.link()
		if !ok {
			break
		}
		c = l.dir
	}
	return &zone{}
}

// shows reports whether a name of the directory is visible in the mount.
func (d *DirNode) shows(name string) bool {
	if tree.IsTemp(name) {
		return false
	}
	return d.own == nil || d.own.shows == nil || d.own.shows(name)
}

// find looks a name up in the backing directory, following nothing.
func (d *DirNode) find(ctx context.Context, name string, st *unix.Statx_t) (*node, error) {
	if !d.shows(name) {
		return nil, unix.ENOENT
	}
	if res := d.place.child(name).external(); res != nil {
		if err := statFD(res.tree.RootFD(), st); err != nil {
			return nil, err
		}
		return d.adopt(ctx, name, st), nil
	}
	ref, err := d.acquire()
	if err != nil {
		return nil, err
	}
	defer ref.release()
	if err := statAt(ref.fd, name, st); err != nil {
		return nil, err
	}
	return d.adopt(ctx, name, st), nil
}

// Lookup finds a name; it does not follow a symlink.
func (d *DirNode) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	n, errno := d.lookup(ctx, name, out)
	if errno == 0 {
		d.m.foresight.found(d)
	}
	return n, errno
}

func (d *DirNode) lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	if d.IsRoot() {
		if n, errno, ok := d.m.views.lookup(ctx, name, out); ok {
			return n, errno
		}
	}
	if n := d.m.gate.leaving(ctx, d, name); n != nil {
		n.leave(out)
		return &n.Inode, 0
	}
	var st unix.Statx_t
	n, err := d.find(ctx, name, &st)
	if err != nil {
		if d.zone().ttl != forever {
			neverCache(out)
		}
		return nil, d.m.errno(err)
	}
	n.entry(d, &st, out)
	return &n.Inode, 0
}

// entry fills the answer for a node found in d.
func (n *node) entry(d *DirNode, st *unix.Statx_t, out *fuse.EntryOut) {
	n.fill(st, &out.Attr)
	z := d.zone()
	if c, ok := n.Operations().(*DirNode); ok && c.own != nil {
		z = c.own
	}
	out.SetEntryTimeout(z.ttl)
	out.SetAttrTimeout(z.ttl)
}

// neverCache makes go-fuse answer a plain ENOENT, which the kernel forgets.
func neverCache(out *fuse.EntryOut) { out.SetEntryTimeout(time.Nanosecond) }

// OnForget closes the directory: the kernel knows nothing in it any more.
func (d *DirNode) OnForget() {
	d.node.OnForget()
	d.m.dirs.drop(d)
}
