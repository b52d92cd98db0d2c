package fs

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// latestName is the time that moves with every commit.
const latestName = "latest"

// historyView is .smfs/history: below it a directory for each time that somebody asks
// for. What such a name stands for may change, so it is looked up again after a
// second at most; all that is below is kept by the kernel for ever, since the
// directory at a name is another inode once it stands for something else.
type historyView struct {
	v *views
	h History

	max   int
	known atomic.Int64 // nodes in memory
	next  atomic.Int64 // as many are too many
	wake  chan struct{}
	ended chan struct{}
	runs  sync.WaitGroup

	mu    sync.Mutex // guards the rest
	dir   *fs.Inode  // .smfs/history, once somebody was there
	times map[string]*pastTime
	told  map[string]bool // what the log has of failures
}

func newHistoryView(v *views, o Options) *historyView {
	return &historyView{v: v, h: o.History, max: o.maxPast, times: make(map[string]*pastTime), told: make(map[string]bool)}
}

// maxTold bounds the failures that are remembered; beyond, they may be told again.
const maxTold = 1000

// errno is what a caller gets of an error. The log tells each failure once: one
// damaged file is read again and again.
func (h *historyView) errno(err error) syscall.Errno {
	var e syscall.Errno
	switch {
	case err == nil:
		return 0
	case errors.Is(err, os.ErrNotExist):
		return syscall.ENOENT
	case errors.Is(err, context.Canceled):
		return syscall.EINTR
	case errors.As(err, &e):
		return e
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.told[err.Error()] {
		if len(h.told) == maxTold {
			clear(h.told)
		}
		h.told[err.Error()] = true
		h.v.m.log.Error("history cannot be read", slog.Any("error", err))
	}
	return syscall.EIO
}

const historyMode = unix.S_IFDIR | 0o500

// historyDir is .smfs/history.
type historyDir struct {
	fs.Inode
	sealed
	h *historyView
}

func (h *historyView) newDir() *historyDir {
	return &historyDir{sealed: sealed{syscall.EROFS}, h: h}
}

func (d *historyDir) Getattr(ctx context.Context, f fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	d.h.v.fill(historyMode, 0, &out.Attr)
	return 0
}

func (d *historyDir) Statfs(ctx context.Context, out *fuse.StatfsOut) syscall.Errno {
	return d.h.v.m.root.Statfs(ctx, out)
}

// Lookup finds what the mirror was at a time. Its inode number goes by the name, its
// generation by what the name stands for now.
func (d *historyDir) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	p, err := d.h.h.At(ctx, name)
	if err != nil {
		neverCache(out)
		return nil, d.h.errno(err)
	}
	t := d.h.use(&d.Inode, name)
	_, gen := pastIno(p.Info().ID)
	n := d.h.enter(ctx, &d.Inode, name, p, fs.StableAttr{Mode: unix.S_IFDIR, Ino: timeIno(name), Gen: gen}, t, out)
	out.SetEntryTimeout(0)
	if name != latestName {
		out.SetEntryTimeout(beside)
	}
	return n, 0
}

func timeIno(name string) uint64 { return viewIno(historyDirName + "/" + name) }

// pastIno is the inode number of something of the past, and a generation: together
// they are the identity.
func pastIno(id [16]byte) (ino, gen uint64) {
	return binary.BigEndian.Uint64(id[:]) | 1<<63, binary.BigEndian.Uint64(id[8:])
}

// Readdir lists the times that are worth a look.
func (d *historyDir) Readdir(ctx context.Context) (fs.DirStream, syscall.Errno) {
	names, err := d.h.h.Times(ctx)
	if err != nil {
		return nil, d.h.errno(err)
	}
	list := make([]fuse.DirEntry, len(names))
	for i, name := range names {
		list[i] = fuse.DirEntry{Name: name, Mode: unix.S_IFDIR, Ino: timeIno(name)}
	}
	return fs.NewListDirStream(list), 0
}

// pastNode is what all nodes of the past share.
type pastNode struct {
	fs.Inode
	sealed
	h    *historyView
	p    Past
	time *pastTime // through which it was found first
	info PastInfo
}

// node is for what has a pastNode in it.
func (n *pastNode) node() *pastNode { return n }

type pastEmbedder interface {
	fs.InodeEmbedder
	node() *pastNode
}

// enter answers the look-up of something of the past. What the kernel knows at the
// name already is taken, if that is the same.
func (h *historyView) enter(ctx context.Context, parent *fs.Inode, name string, p Past, id fs.StableAttr, t *pastTime, out *fuse.EntryOut) *fs.Inode {
	if c := parent.GetChild(name); c != nil && c.StableAttr() == id {
		c.Operations().(pastEmbedder).node().entry(out)
		return c
	}
	var e pastEmbedder
	switch id.Mode {
	case unix.S_IFDIR:
		e = &pastDir{}
	case unix.S_IFLNK:
		e = &pastLink{}
	default:
		e = &pastFile{}
	}
	n := e.node()
	n.sealed, n.h, n.p, n.time, n.info = sealed{syscall.EROFS}, h, p, t, p.Info()
	h.count(n)
	c := parent.NewInode(ctx, e, id)
	n.entry(out)
	return c
}

// entry fills the answer to a look-up: nothing of it ever changes.
func (n *pastNode) entry(out *fuse.EntryOut) {
	n.fill(&out.Attr)
	keep(out)
}

func (n *pastNode) fill(a *fuse.Attr) {
	const write = 0o222
	a.Ino = n.StableAttr().Ino
	a.Mode = n.info.Mode &^ write
	if a.Mode&unix.S_IFMT == unix.S_IFLNK {
		a.Mode = unix.S_IFLNK | 0o777
	}
	a.Nlink = 1 // which others there are would be a search through all directories
	a.Size, a.Blocks, a.Blksize = uint64(n.info.Size), uint64(n.info.Size+511)/512, 4096
	a.Uid, a.Gid = n.h.v.uid, n.h.v.gid
	t := time.Unix(0, n.info.Mtime)
	a.SetTimes(&t, &t, &t)
}

func (n *pastNode) Getattr(ctx context.Context, f fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	n.fill(&out.Attr)
	out.SetTimeout(forever)
	return 0
}

func (n *pastNode) Statfs(ctx context.Context, out *fuse.StatfsOut) syscall.Errno {
	return n.h.v.m.root.Statfs(ctx, out)
}

// Access is access(2), where root asks.
func (n *pastNode) Access(ctx context.Context, mask uint32) syscall.Errno {
	if mask&unix.W_OK != 0 {
		return syscall.EROFS
	}
	if mask&unix.X_OK != 0 && n.Mode() != unix.S_IFDIR && n.info.Mode&0o111 == 0 {
		return syscall.EACCES
	}
	return n.h.v.m.errno(n.h.v.m.enters(ctx))
}

func (n *pastNode) Getxattr(ctx context.Context, name string, dest []byte) (uint32, syscall.Errno) {
	for _, x := range n.info.Xattrs {
		if x.Name == name {
			return answerXattr(x.Value, dest)
		}
	}
	if name == labelAttr && !hasLabels() {
		return 0, syscall.EOPNOTSUPP // as for other nodes
	}
	return 0, syscall.ENODATA
}

func (n *pastNode) Listxattr(ctx context.Context, dest []byte) (uint32, syscall.Errno) {
	var names strings.Builder
	for _, x := range n.info.Xattrs {
		names.WriteString(x.Name + "\x00")
	}
	return answerXattr(names.String(), dest)
}

func answerXattr(value string, dest []byte) (uint32, syscall.Errno) {
	if len(dest) > 0 && len(dest) < len(value) {
		return uint32(len(value)), syscall.ERANGE
	}
	copy(dest, value)
	return uint32(len(value)), 0
}

// pastDir is a directory of the past.
type pastDir struct{ pastNode }

// Lookup finds a name. What the kernel knows of it already is still right.
func (d *pastDir) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	if c := d.GetChild(name); c != nil {
		c.Operations().(pastEmbedder).node().entry(out)
		return c, 0
	}
	p, err := d.p.Lookup(name)
	if err != nil {
		return nil, d.h.errno(err)
	}
	info := p.Info()
	ino, gen := pastIno(info.ID)
	return d.h.enter(ctx, &d.Inode, name, p, fs.StableAttr{Mode: info.Mode & unix.S_IFMT, Ino: ino, Gen: gen}, d.time, out), 0
}

// OpendirHandle lists the directory, once for the kernel.
func (d *pastDir) OpendirHandle(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	if err := d.h.v.m.enters(ctx); err != nil {
		return nil, 0, d.h.errno(err)
	}
	return &pastDirHandle{d: d}, fuse.FOPEN_CACHE_DIR | fuse.FOPEN_KEEP_CACHE, 0
}

// pastDirHandle is one open of a pastDir. The directory is read with the first name:
// often the kernel has them.
type pastDirHandle struct {
	d *pastDir

	mu     sync.Mutex // guards the rest
	listed bool
	names  []PastName
	next   int
}

// Readdirent returns the next name.
func (h *pastDirHandle) Readdirent(ctx context.Context) (*fuse.DirEntry, syscall.Errno) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if errno := h.list(); errno != 0 || h.next == len(h.names) {
		return nil, errno
	}
	n := &h.names[h.next]
	h.next++
	e := &fuse.DirEntry{Name: n.Name, Mode: n.Mode & unix.S_IFMT, Off: uint64(h.next)}
	e.Ino, _ = pastIno(n.ID)
	if n.Name == "." || n.Name == ".." {
		e.Ino = h.d.StableAttr().Ino
	}
	return e, 0
}

func (h *pastDirHandle) list() syscall.Errno {
	if h.listed {
		return 0
	}
	names, err := h.d.p.List()
	if err != nil {
		return h.d.h.errno(err)
	}
	h.names = append([]PastName{{Name: ".", Mode: unix.S_IFDIR}, {Name: "..", Mode: unix.S_IFDIR}}, names...)
	h.listed = true
	return 0
}

// mostWithAttributes is how many names a directory has at most whose attributes a
// listing brings along: more would push each other out of what the kernel may know.
const mostWithAttributes = maxPast / 10

// Lookup brings the attributes of a name that was just listed along, or not: the
// kernel takes an error for that.
func (h *pastDirHandle) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	h.mu.Lock()
	many := len(h.names) > mostWithAttributes
	h.mu.Unlock()
	if many {
		return nil, syscall.EAGAIN
	}
	return h.d.Lookup(ctx, name, out)
}

// Seekdir continues after the entry that carried off.
func (h *pastDirHandle) Seekdir(ctx context.Context, off uint64) syscall.Errno {
	h.mu.Lock()
	defer h.mu.Unlock()
	if errno := h.list(); errno != 0 {
		return errno
	}
	if off > uint64(len(h.names)) {
		return syscall.EINVAL
	}
	h.next = int(off)
	return 0
}

// pastLink is a symbolic link of the past.
type pastLink struct{ pastNode }

func (l *pastLink) Readlink(ctx context.Context) ([]byte, syscall.Errno) {
	text, err := l.p.Readlink()
	return text, l.h.errno(err)
}

// pastFile is a regular file of the past.
type pastFile struct{ pastNode }

// Open opens the file to read. What the kernel has of it stays right.
func (f *pastFile) Open(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	if writes(flags) {
		return nil, 0, syscall.EROFS
	}
	if err := f.h.v.m.enters(ctx); err != nil {
		return nil, 0, f.h.errno(err)
	}
	content, err := f.p.Open()
	if err != nil {
		return nil, 0, f.h.errno(err)
	}
	return &pastHandle{h: f.h, content: content}, fuse.FOPEN_KEEP_CACHE | fuse.FOPEN_NOFLUSH, 0
}

// pastHandle is one open of a pastFile.
type pastHandle struct {
	h       *historyView
	content PastFile
}

func (h *pastHandle) Read(ctx context.Context, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	n, err := h.content.ReadAt(dest, off)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, h.h.errno(err)
	}
	return fuse.ReadResultData(dest[:n]), 0
}

// Fsync has nothing to do; programs call it on what they have read.
func (h *pastHandle) Fsync(ctx context.Context, flags uint32) syscall.Errno { return 0 }

func (h *pastHandle) Release(ctx context.Context) syscall.Errno {
	return h.h.errno(h.content.Close())
}
