package fs

import (
	"context"
	"runtime"
	"sync"
	"weak"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/silvermirror/smfs/journal"
	"golang.org/x/sys/unix"
)

// table finds the one node of an inode. It holds nodes weakly: a node lives as
// long as go-fuse, a child or a handle refers to it. So a look-up can never
// meet a node whose bookkeeping a FORGET on another goroutine has just ended.
type table struct {
	mu    sync.Mutex // guards the rest
	nodes map[tableKey]weak.Pointer[node]
	max   int    // nodes that there should be at most
	next  int    // as many nodes are too many
	full  func() // called then, under mu
}

type tableKey struct {
	vol *volume
	key journal.FileKey
}

// find returns the node, or nil.
func (t *table) find(vol *volume, key journal.FileKey) *node {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.nodes[tableKey{vol, key}].Value()
}

// findOrAdd returns the node, made by make where there is none yet.
func (t *table) findOrAdd(vol *volume, key journal.FileKey, make func() *node) *node {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := tableKey{vol, key}
	if n := t.nodes[k].Value(); n != nil {
		n.forgotten.Store(false)
		return n
	}
	return t.addLocked(k, make())
}

func (t *table) addLocked(k tableKey, n *node) *node {
	if t.nodes == nil {
		t.nodes = make(map[tableKey]weak.Pointer[node])
	}
	t.nodes[k] = weak.Make(n)
	runtime.AddCleanup(n, t.collected, k)
	if t.full != nil && len(t.nodes) > t.next {
		t.next = len(t.nodes) + t.max/forgetShare // the collector will take some time to drop what is forgotten
		t.full()
	}
	return n
}

// limit has full called when there are too many nodes.
func (t *table) limit(max int, full func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.max, t.next, t.full = max, max, full
}

// all returns the nodes, in no order.
func (t *table) all() []*node {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := make([]*node, 0, len(t.nodes))
	for _, w := range t.nodes {
		if n := w.Value(); n != nil {
			list = append(list, n)
		}
	}
	return list
}

// collected runs some time after a node was collected; another may have taken
// its place.
func (t *table) collected(k tableKey) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if w, ok := t.nodes[k]; ok && w.Value() == nil {
		delete(t.nodes, k)
		t.next = max(t.max, len(t.nodes)+t.max/forgetShare)
	}
}

// remove drops the node of an inode that has lost its last name: its number
// may be used again, on a filesystem without birth times under the same key.
func (t *table) remove(n *node) {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := tableKey{n.vol, n.key}
	if t.nodes[k].Value() == n {
		delete(t.nodes, k)
	}
}

// adopt returns the node of what st describes, seen as name in d.
func (d *DirNode) adopt(ctx context.Context, name string, st *unix.Statx_t) *node {
	n := d.nodeFor(ctx, name, st)
	if name != "" {
		n.addLink(link{d, name})
	}
	return n
}

// adoptNew is adopt for an inode that was made just now. If there is a node under
// its key, that is of another inode, which had the number before and was made in
// the same tick of the filesystem's clock, as an O_TMPFILE that was closed without
// ever having a name.
func (d *DirNode) adoptNew(ctx context.Context, name string, st *unix.Statx_t) *node {
	if old := d.m.table.find(d.m.vols.get(devOf(st)), keyOf(st)); old != nil {
		d.m.table.remove(old)
	}
	return d.adopt(ctx, name, st)
}

// nodeFor finds or makes the node without giving it a name.
func (d *DirNode) nodeFor(ctx context.Context, name string, st *unix.Statx_t) *node {
	vol := d.m.vols.get(devOf(st))
	key := keyOf(st)
	return d.m.table.findOrAdd(vol, key, func() *node {
		e, n := d.newNode(name, st)
		n.init(d.m, vol, key)
		d.NewInode(ctx, e, fs.StableAttr{
			Mode: uint32(st.Mode) & unix.S_IFMT,
			Ino:  vol.ino(key.Ino),
			Gen:  key.Gen,
		})
		return n
	})
}

func (d *DirNode) newNode(name string, st *unix.Statx_t) (fs.InodeEmbedder, *node) {
	switch uint32(st.Mode) & unix.S_IFMT {
	case unix.S_IFDIR:
		c := d.newDir(name, st)
		return c, &c.node
	case unix.S_IFREG:
		c := &FileNode{}
		return c, &c.node
	case unix.S_IFLNK:
		c := &LinkNode{}
		return c, &c.node
	}
	c := &SpecialNode{}
	return c, &c.node
}
