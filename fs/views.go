package fs

import (
	"context"
	"hash/fnv"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// views are what exists in the mount alone: @tags and @history, which are listed,
// and .smfs, which is not, with the two views and the control file in it. All of it is
// the mirror's owner's alone. The kernel keeps the ways in and what is below a time in
// the history, and nothing else of it.
type views struct {
	m        *Mount
	tags     TagView
	history  *historyView // nil: there is none
	control  string
	uid, gid uint32 // the mirror's owner
	born     uint64 // seconds since 1970: their times
}

// viewIno is the inode number of a thing in a view: no backing filesystem goes
// that high.
func viewIno(name string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(name))
	return h.Sum64() | 1<<63
}

// entries are the view's part of the root's listing.
func (v *views) entries() []fuse.DirEntry {
	var list []fuse.DirEntry
	for _, name := range []string{tagsName, historyName} {
		if _, ok := v.link(name); ok {
			list = append(list, fuse.DirEntry{Name: name, Mode: unix.S_IFLNK, Ino: viewIno(name)})
		}
	}
	return list
}

// link is the text of a symlink at the root that leads to a view.
func (v *views) link(name string) (text string, ok bool) {
	switch name {
	case tagsName:
		return smfsName + "/" + tagsDirName, v.tags != nil
	case historyName:
		return smfsName + "/" + historyDirName, v.history != nil
	}
	return "", false
}

// hides reports an entry of the backing root that a reserved name covers.
func (v *views) hides(e *fuse.DirEntry) bool {
	switch e.Name {
	case smfsName:
		return true
	case tagsName, historyName:
		_, ok := v.link(e.Name)
		return !ok || e.Ino != viewIno(e.Name)
	}
	return false
}

// lookup answers the root's look-up of a reserved name; !ok: it is none.
func (v *views) lookup(ctx context.Context, name string, out *fuse.EntryOut) (n *fs.Inode, errno syscall.Errno, ok bool) {
	root := &v.m.root.Inode
	text, shown := v.link(name)
	switch {
	case name == smfsName:
		keep(out)
		return v.enter(ctx, root, &smfsDir{v: v}, smfsName, unix.S_IFDIR|0o700, out), 0, true
	case shown:
		keep(out)
		return v.enter(ctx, root, &viewLink{v: v, text: text}, name, unix.S_IFLNK|0o777, out), 0, true
	case name == tagsName || name == historyName:
		neverCache(out)
		return nil, syscall.ENOENT, true
	}
	return nil, 0, false
}

// keep lets the kernel keep what is there as long as the mount is: each way into a
// view leads over it.
func keep(out *fuse.EntryOut) {
	out.SetEntryTimeout(forever)
	out.SetAttrTimeout(forever)
}

// enter makes the inode of a thing in a view and answers its look-up.
func (v *views) enter(ctx context.Context, parent *fs.Inode, e fs.InodeEmbedder, id string, mode uint32, out *fuse.EntryOut) *fs.Inode {
	n := parent.NewInode(ctx, e, fs.StableAttr{Mode: mode & unix.S_IFMT, Ino: viewIno(id), Gen: 1})
	var a fuse.AttrOut
	if g, ok := e.(fs.NodeGetattrer); ok {
		g.Getattr(ctx, nil, &a)
	}
	out.Attr = a.Attr
	return n
}

// fill answers stat for a thing in a view.
func (v *views) fill(mode uint32, size int, a *fuse.Attr) {
	a.Mode, a.Size, a.Nlink = mode, uint64(size), 1
	if mode&unix.S_IFMT == unix.S_IFDIR {
		a.Nlink = 2
	}
	a.Uid, a.Gid = v.uid, v.gid
	a.Atime, a.Mtime, a.Ctime = v.born, v.born, v.born
	a.Blksize = 4096
}

// smfsDir is .smfs.
type smfsDir struct {
	fs.Inode
	sealed
	v *views
}

const (
	tagsDirName    = "tags"
	historyDirName = "history"
	controlName    = "control"
)

func (d *smfsDir) Getattr(ctx context.Context, f fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	d.v.fill(unix.S_IFDIR|0o700, 0, &out.Attr)
	return 0
}

func (d *smfsDir) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	switch {
	case name == controlName:
		return d.v.enter(ctx, &d.Inode, &controlFile{v: d.v}, controlName, unix.S_IFREG|0o400, out), 0
	case name == tagsDirName && d.v.tags != nil:
		return d.v.enter(ctx, &d.Inode, &tagDir{v: d.v}, tagsDirName, unix.S_IFDIR|0o700, out), 0
	case name == historyDirName && d.v.history != nil:
		keep(out)
		return d.v.enter(ctx, &d.Inode, d.v.history.newDir(), historyDirName, unix.S_IFDIR, out), 0
	}
	neverCache(out)
	return nil, syscall.ENOENT
}

func (d *smfsDir) Readdir(ctx context.Context) (fs.DirStream, syscall.Errno) {
	entries := []fuse.DirEntry{{Name: controlName, Mode: unix.S_IFREG, Ino: viewIno(controlName)}}
	if d.v.tags != nil {
		entries = append(entries, fuse.DirEntry{Name: tagsDirName, Mode: unix.S_IFDIR, Ino: viewIno(tagsDirName)})
	}
	if d.v.history != nil {
		entries = append(entries, fuse.DirEntry{Name: historyDirName, Mode: unix.S_IFDIR, Ino: viewIno(historyDirName)})
	}
	return fs.NewListDirStream(entries), 0
}

// controlFile is .smfs/control: where the engine's socket is. (A socket or a
// lock does not work through a mount.)
type controlFile struct {
	fs.Inode
	sealed
	v *views
}

func (c *controlFile) text() string { return c.v.control + "\n" }

func (c *controlFile) Getattr(ctx context.Context, f fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	c.v.fill(unix.S_IFREG|0o400, len(c.text()), &out.Attr)
	return 0
}

func (c *controlFile) Open(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	if writes(flags) {
		return nil, 0, syscall.EPERM
	}
	return nil, fuse.FOPEN_DIRECT_IO | fuse.FOPEN_NOFLUSH, 0
}

func (c *controlFile) Read(ctx context.Context, f fs.FileHandle, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	text := c.text()
	from := min(int(off), len(text))
	return fuse.ReadResultData([]byte(text[from:min(from+len(dest), len(text))])), 0
}

// viewLink is a symlink in a view. Its inode number depends on its text, so
// the text never changes.
type viewLink struct {
	fs.Inode
	sealed
	v    *views
	text string
}

func (l *viewLink) Getattr(ctx context.Context, f fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	l.v.fill(unix.S_IFLNK|0o777, len(l.text), &out.Attr)
	return 0
}

func (l *viewLink) Readlink(ctx context.Context) ([]byte, syscall.Errno) { return []byte(l.text), 0 }
