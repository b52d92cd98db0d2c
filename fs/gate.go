package fs

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// gate stands between the kernel and the nodes and answers the announcer, whose
// operations happen in the kernel alone: it may look, and whatever else it asks
// for is either the announcement under way, and answered without anything being
// done, or refused. What it makes, opens and removes are ghosts: inodes that
// nobody else gets to see, since the kernel may not keep their names.
type gate struct {
	fuse.RawFileSystem

	announcer atomic.Uint32 // its process, whose first thread acts; 0: there is none
	removing  atomic.Bool   // verbDelete is under way

	mu     sync.Mutex // guards the rest
	now    raising
	ghosts uint64 // how many there have been
	proven bool   // the announcer has looked for the name that it was last told
}

// raising is the announcement under way.
type raising struct {
	verb  verb
	in    uint64 // the inode number of the directory that the name is in; of verbTouch and verbAttr: of what is touched
	name  string
	mode  uint32 // type of what is made, changed or removed
	ghost uint64 // node that stands for it
	done  bool   // it is made, or gone
	gone  *node  // of verbLeave: what has lost its last name
	met   bool   // of verbDelete: the kernel may have learnt of something real at the name
}

// firstGhost is above all nodes that go-fuse numbers.
const firstGhost = 1 << 62

func isGhost(node uint64) bool { return node >= firstGhost }

// begin says what the announcer is about to do.
func (g *gate) begin(r raising) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ghosts++
	r.ghost = firstGhost + g.ghosts
	g.now, g.proven = r, false
	g.removing.Store(r.verb == verbDelete)
}

// end makes all that the announcer asks for from now on be refused.
func (g *gate) end() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.now = raising{}
	g.removing.Store(false)
}

// meets notes that anybody but the announcer is about to be told what a name of a
// directory holds, or any name of it (""). A removal that the kernel sends after that
// may be of something real, which would be dead there, for good: neither UNLINK nor
// RMDIR says what is removed. The kernel holds the directory while it waits for the
// answer to either, so all requests that told of names have been here by then. (A
// removal is preceded by a look that puts the ghost into place of what was known before.)
func (g *gate) meets(h *fuse.InHeader, dir uint64, name string) {
	if !g.removing.Load() || g.isAnnouncer(h) {
		return
	}
	g.mu.Lock()
	r := g.now
	g.mu.Unlock()
	if r.verb != verbDelete || name != "" && name != r.name || g.inode(dir) != r.in {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.now.ghost == r.ghost {
		g.now.met = true
	}
}

// isProven tells whether the announcer has looked for what it was to, in this mount.
func (g *gate) isProven() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.proven
}

// stops tells whether a request is not for the nodes, and the answer to it,
// unless the caller knows a better one.
func (g *gate) stops(h *fuse.InHeader) (fuse.Status, bool) {
	if isGhost(h.NodeId) {
		return fuse.Status(unix.ESTALE), true
	}
	if pid := g.announcer.Load(); pid != 0 && h.Pid == pid {
		return fuse.EPERM, true
	}
	return fuse.OK, false
}

// isAnnouncer tells whether the announcer asks.
func (g *gate) isAnnouncer(h *fuse.InHeader) bool {
	pid := g.announcer.Load()
	return pid != 0 && h.Pid == pid
}

// inode is the inode number of a node that is none of the ghosts; 0: it is gone.
func (g *gate) inode(node uint64) uint64 {
	in := fuse.GetAttrIn{InHeader: fuse.InHeader{NodeId: node}}
	var out fuse.AttrOut
	if isGhost(node) || !g.RawFileSystem.GetAttr(nil, &in, &out).Ok() {
		return 0
	}
	return out.Ino
}

// at reports the announcement under way, if a request is about its name. It does
// not hold mu while it asks for the directory.
func (g *gate) at(h *fuse.InHeader, name string) (raising, bool) {
	g.mu.Lock()
	r := g.now
	g.mu.Unlock()
	if !g.isAnnouncer(h) || !r.verb.byName() || r.name != name {
		return raising{}, false
	}
	return r, g.inode(h.NodeId) == r.in
}

// finish notes that what is announced has been done, once.
func (g *gate) finish(r raising) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.now != r || r.done {
		return false
	}
	g.now.done = true
	return true
}

// attr are a ghost's attributes: it belongs to who announces.
func (r raising) attr(h *fuse.InHeader, a *fuse.Attr) {
	*a = fuse.Attr{Ino: r.ghost, Mode: r.mode | 0o700, Nlink: 1, Owner: h.Owner}
	if r.mode == unix.S_IFDIR {
		a.Nlink = 2
	}
}

// entry answers with the ghost. Without a timeout the kernel asks again whoever
// meets its name.
func (r raising) entry(h *fuse.InHeader, out *fuse.EntryOut) fuse.Status {
	*out = fuse.EntryOut{NodeId: r.ghost, Generation: 1}
	r.attr(h, &out.Attr)
	return fuse.OK
}

// ghost reports the announcement whose ghost a request of the announcer is about.
func (g *gate) ghost(h *fuse.InHeader) (raising, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.now, g.isAnnouncer(h) && g.now.verb.byName() && g.now.ghost == h.NodeId
}

// prove notes that the announcer looks for what it was told to.
func (g *gate) prove(h *fuse.InHeader, name string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.isAnnouncer(h) || g.now.verb != verbProve || g.now.name != name || h.NodeId != fuse.FUSE_ROOT_ID {
		return false
	}
	g.proven = true
	return true
}

// Lookup shows the announcer a ghost where something was changed or removed, and
// nothing where something was made.
func (g *gate) Lookup(cancel <-chan struct{}, h *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	if isGhost(h.NodeId) {
		return fuse.Status(unix.ESTALE)
	}
	if g.prove(h, name) {
		return fuse.ENOENT
	}
	g.meets(h, h.NodeId, name)
	r, ok := g.at(h, name)
	switch {
	case !ok:
		return g.RawFileSystem.Lookup(cancel, h, name, out)
	case r.verb == verbCreate && !r.done, r.verb == verbDelete && r.done:
		return fuse.ENOENT
	}
	return r.entry(h, out)
}

// leaving is what the announcer shall meet once more at a name that it has left;
// nil for everybody else.
func (g *gate) leaving(ctx context.Context, dir *DirNode, name string) *node {
	c, ok := fuse.FromContext(ctx)
	if pid := g.announcer.Load(); !ok || pid == 0 || c.Pid != pid {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if r := g.now; r.verb == verbLeave && r.name == name && r.in == dir.StableAttr().Ino {
		return r.gone
	}
	return nil
}

// leave answers the look-up of an inode without names: when the kernel drops what
// it then has of the name, which it may not keep, the inode ends, and its watches.
func (n *node) leave(out *fuse.EntryOut) {
	out.Attr = fuse.Attr{Mode: n.Mode() | 0o600}
	var st unix.Statx_t
	if ref, err := n.nameless(); err == nil { // who has it open sees it as it is
		if statFD(ref.fd, &st) == nil {
			n.fill(&st, &out.Attr)
		}
		ref.release()
	}
	out.Nlink = 0
}

// made answers for what the announcer makes.
func (g *gate) made(h *fuse.InHeader, name string, mode uint32, out *fuse.EntryOut) fuse.Status {
	r, ok := g.at(h, name)
	if !ok || r.verb != verbCreate || r.mode != mode || !g.finish(r) {
		return fuse.EPERM
	}
	return r.entry(h, out)
}

func (g *gate) Create(cancel <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	if _, stop := g.stops(&in.InHeader); stop {
		out.OpenFlags = ghostFlags
		return g.made(&in.InHeader, name, unix.S_IFREG, &out.EntryOut)
	}
	g.meets(&in.InHeader, in.NodeId, name)
	return g.RawFileSystem.Create(cancel, in, name, out)
}

func (g *gate) Mkdir(cancel <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	if _, stop := g.stops(&in.InHeader); stop {
		return g.made(&in.InHeader, name, unix.S_IFDIR, out)
	}
	g.meets(&in.InHeader, in.NodeId, name)
	return g.RawFileSystem.Mkdir(cancel, in, name, out)
}

func (g *gate) Symlink(cancel <-chan struct{}, h *fuse.InHeader, target, name string, out *fuse.EntryOut) fuse.Status {
	if _, stop := g.stops(h); stop {
		return g.made(h, name, unix.S_IFLNK, out)
	}
	g.meets(h, h.NodeId, name)
	return g.RawFileSystem.Symlink(cancel, h, target, name, out)
}

// removed answers for what the announcer removes.
func (g *gate) removed(h *fuse.InHeader, name string, dir bool) fuse.Status {
	r, ok := g.at(h, name)
	if !ok || r.verb != verbDelete || r.met || dir != (r.mode == unix.S_IFDIR) || !g.finish(r) {
		return fuse.EPERM
	}
	return fuse.OK
}

func (g *gate) Unlink(cancel <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	if _, stop := g.stops(h); stop {
		return g.removed(h, name, false)
	}
	return g.RawFileSystem.Unlink(cancel, h, name)
}

func (g *gate) Rmdir(cancel <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	if _, stop := g.stops(h); stop {
		return g.removed(h, name, true)
	}
	return g.RawFileSystem.Rmdir(cancel, h, name)
}

// ghostFlags: the kernel caches nothing of a ghost, and closes it without asking.
const ghostFlags = fuse.FOPEN_DIRECT_IO | fuse.FOPEN_NOFLUSH

// Open opens ghosts alone. ESTALE for anything else makes the kernel look the
// name up again.
func (g *gate) Open(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	if _, stop := g.stops(&in.InHeader); !stop {
		return g.RawFileSystem.Open(cancel, in, out)
	}
	if r, ok := g.ghost(&in.InHeader); !ok || r.verb != verbModify {
		return fuse.Status(unix.ESTALE)
	}
	out.OpenFlags = ghostFlags
	return fuse.OK
}

// Release, as of directories, lets a ghost go.
func (g *gate) Release(cancel <-chan struct{}, in *fuse.ReleaseIn) {
	if !isGhost(in.NodeId) {
		g.RawFileSystem.Release(cancel, in)
	}
}

func (g *gate) ReleaseDir(in *fuse.ReleaseIn) {
	if !isGhost(in.NodeId) {
		g.RawFileSystem.ReleaseDir(in)
	}
}

func (g *gate) Forget(node, lookups uint64) {
	if !isGhost(node) {
		g.RawFileSystem.Forget(node, lookups)
	}
}

func (g *gate) GetAttr(cancel <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	if r, ok := g.ghost(&in.InHeader); ok {
		r.attr(&in.InHeader, &out.Attr)
		return fuse.OK
	}
	if isGhost(in.NodeId) {
		return fuse.Status(unix.ESTALE)
	}
	return g.RawFileSystem.GetAttr(cancel, in, out)
}

// SetAttr of the announcer sets nothing. Of an inode that it touches it says how
// it is; the kernel does not keep that, since an apply may overtake the answer.
func (g *gate) SetAttr(cancel <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	if _, stop := g.stops(&in.InHeader); !stop {
		return g.RawFileSystem.SetAttr(cancel, in, out)
	}
	if r, ok := g.ghost(&in.InHeader); ok {
		r.attr(&in.InHeader, &out.Attr)
		return fuse.OK
	}
	g.mu.Lock()
	r := g.now
	g.mu.Unlock()
	if !r.verb.byInode() || g.inode(in.NodeId) != r.in {
		return fuse.Status(unix.ESTALE)
	}
	get := fuse.GetAttrIn{InHeader: in.InHeader}
	status := g.RawFileSystem.GetAttr(cancel, &get, out)
	out.SetTimeout(0)
	return status
}
