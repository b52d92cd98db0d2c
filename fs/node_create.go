package fs

import (
	"context"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"github.com/silvermirror/smfs/journal"
	"golang.org/x/sys/unix"
)

// make creates a name that must not exist yet: act makes it, as the caller.
func (d *DirNode) make(ctx context.Context, kind journal.Kind, name string, out *fuse.EntryOut, act func(dirfd int) error) (*node, error) {
	if d.reserved(name) {
		return nil, unix.EPERM
	}
	if kind != journal.KindMkdir && d.isPlace(name) {
		return nil, unix.EBUSY
	}
	var n *node
	err := d.mutate(ctx, kind, name, journal.FileKey{}, func(dirfd int) error {
		if err := d.m.id.as(ctx, func() error { return act(dirfd) }); err != nil {
			return err
		}
		d.m.id.give(ctx, dirfd, name)
		var st unix.Statx_t
		if err := statAt(dirfd, name, &st); err != nil {
			return err
		}
		n = d.adoptNew(ctx, name, &st)
		n.entry(d, &st, out)
		return nil
	})
	return n, err
}

func (d *DirNode) made(n *node, err error) (*fs.Inode, syscall.Errno) {
	if err != nil {
		return nil, d.m.errno(err)
	}
	return &n.Inode, 0
}

// Mkdir makes a directory.
func (d *DirNode) Mkdir(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	return d.made(d.make(ctx, journal.KindMkdir, name, out, func(dirfd int) error {
		return unix.Mkdirat(dirfd, name, masked(dirfd, mode)&0o7777)
	}))
}

// Mknod makes a file, FIFO, socket or device.
func (d *DirNode) Mknod(ctx context.Context, name string, mode, dev uint32, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	return d.made(d.make(ctx, journal.KindCreate, name, out, func(dirfd int) error {
		return unix.Mknodat(dirfd, name, masked(dirfd, mode), int(dev))
	}))
}

// Symlink makes a symbolic link.
func (d *DirNode) Symlink(ctx context.Context, to, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	return d.made(d.make(ctx, journal.KindSymlink, name, out, func(dirfd int) error {
		return unix.Symlinkat(to, dirfd, name)
	}))
}

// Create makes a file and opens it. The kernel sends it for a name that it
// thinks is free; if it is not, and may exist, ESTALE makes the kernel look
// again and open what is there with all its checks.
func (d *DirNode) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	if d.reserved(name) {
		return nil, nil, 0, syscall.EPERM
	}
	if d.isPlace(name) {
		return nil, nil, 0, syscall.EBUSY
	}
	if err := d.m.handles.room(); err != nil {
		return nil, nil, 0, d.m.errno(err)
	}
	var n *node
	var h *fileHandle
	err := d.mutate(ctx, journal.KindCreate, name, journal.FileKey{}, func(dirfd int) error {
		fd, err := d.create(ctx, dirfd, name, flags|unix.O_EXCL, mode)
		if err == unix.EEXIST && flags&unix.O_EXCL == 0 {
			return unix.ESTALE
		}
		if err != nil {
			return err
		}
		n, h, err = d.opened(ctx, fd, name, flags, out)
		return err
	})
	if err != nil {
		return nil, nil, 0, d.m.errno(err)
	}
	return &n.Inode, h, h.openFlags(d.zone()), 0
}

// create opens a new file as the caller.
func (d *DirNode) create(ctx context.Context, dirfd int, name string, flags, mode uint32) (fd int, err error) {
	err = d.m.id.as(ctx, func() error {
		fd, err = unix.Openat(dirfd, name, backingFlags(flags)|unix.O_CREAT|unix.O_EXCL, masked(dirfd, mode)&0o7777)
		return err
	})
	if err == nil {
		d.m.id.give(ctx, dirfd, name)
	}
	return fd, err
}

// opened makes the node and the handle of a file that was just created. It
// takes over fd.
func (d *DirNode) opened(ctx context.Context, fd int, name string, flags uint32, out *fuse.EntryOut) (*node, *fileHandle, error) {
	var st unix.Statx_t
	if err := statFD(fd, &st); err != nil {
		unix.Close(fd)
		return nil, nil, err
	}
	n := d.adoptNew(ctx, name, &st)
	n.privileged.Store(st.Mode&(unix.S_ISUID|unix.S_ISGID) != 0)
	n.entry(d, &st, out)
	return n, n.newHandle(ctx, fd, flags), nil
}

// Tmpfile makes a file without a name (O_TMPFILE). It is journaled when it gets
// one, by Link.
func (d *DirNode) Tmpfile(ctx context.Context, flags, mode uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	if err := d.zone().refuses(); err != nil {
		return nil, nil, 0, d.m.errno(err)
	}
	if err := d.m.handles.room(); err != nil {
		return nil, nil, 0, d.m.errno(err)
	}
	ref, err := d.acquire()
	if err != nil {
		return nil, nil, 0, d.m.errno(err)
	}
	defer ref.release()
	fd := -1
	err = d.m.id.as(ctx, func() error {
		how := backingFlags(flags)&^unix.O_NOFOLLOW | unix.O_TMPFILE
		fd, err = unix.Openat(ref.fd, ".", how, masked(ref.fd, mode)&0o7777)
		return err
	})
	if err != nil {
		return nil, nil, 0, d.m.errno(err)
	}
	n, h, err := d.opened(ctx, fd, "", flags, out)
	if err != nil {
		return nil, nil, 0, d.m.errno(err)
	}
	return &n.Inode, h, h.openFlags(d.zone()), 0
}
