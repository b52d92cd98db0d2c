package fs

import (
	"context"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/silvermirror/smfs/journal"
	"golang.org/x/sys/unix"
)

// FileNode is a regular file of the backing filesystem.
type FileNode struct {
	node
}

// SpecialNode is a FIFO, socket or device: the kernel opens it by itself.
type SpecialNode struct {
	node
}

// LinkNode is a symbolic link.
type LinkNode struct {
	node
}

// Readlink reads the link's text.
func (l *LinkNode) Readlink(ctx context.Context) ([]byte, syscall.Errno) {
	ref, err := l.reach()
	if err != nil {
		return nil, l.m.errno(err)
	}
	defer ref.release()
	for size := 256; ; size *= 2 {
		buf := make([]byte, size)
		n, err := unix.Readlinkat(ref.fd, "", buf)
		if err != nil {
			return nil, l.m.errno(err)
		}
		if n < size {
			return buf[:n], 0
		}
	}
}

// backingFlags are the open flags for the backing file. The kernel above does
// O_APPEND itself, and hands over data in memory: neither O_APPEND nor O_DIRECT
// would be right below. O_NONBLOCK is for a FIFO that has come into the place,
// see openAt.
func backingFlags(flags uint32) int {
	const kept = unix.O_ACCMODE | unix.O_SYNC | unix.O_DSYNC | unix.O_EXCL | unix.O_NOATIME
	return int(flags)&kept | unix.O_NOFOLLOW | unix.O_CLOEXEC | unix.O_NONBLOCK
}

func writes(flags uint32) bool { return flags&(unix.O_ACCMODE|unix.O_TRUNC) != unix.O_RDONLY }

// Open opens the file. What is under its names must be this inode: else ESTALE,
// upon which the kernel looks the name up again.
func (f *FileNode) Open(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	flags &^= unix.O_EXCL
	var h *fileHandle
	err := f.m.enters(ctx)
	if err == nil {
		err = f.m.handles.room()
	}
	if err != nil {
		return nil, 0, f.m.errno(err)
	}
	if writes(flags) {
		h, err = f.openToWrite(ctx, flags)
	} else {
		h, err = f.openToRead(ctx, flags)
	}
	if err != nil {
		return nil, 0, f.m.errno(err)
	}
	return h, h.openFlags(f.zone()), 0
}

// openToRead opens the file by its name. Where that holds something else by now,
// the kernel has to look the name up again, although somebody may have this inode
// open: who opens a name wants what is there. Only an inode that has no name any
// more is opened by what refers to it.
func (f *FileNode) openToRead(ctx context.Context, flags uint32) (*fileHandle, error) {
	l, named := f.link()
	if !named {
		return f.reopen(ctx, flags)
	}
	dir, err := l.dir.acquire()
	if err != nil {
		return nil, err
	}
	defer dir.release()
	fd, err := f.openAt(dir.fd, l.name, flags)
	if gone(err) {
		f.dropLink(l)
		return nil, unix.ESTALE
	}
	if err != nil {
		return nil, err
	}
	return f.newHandle(ctx, fd, flags), nil
}

// openAt opens a name and checks that it is this inode. A probe for writers has
// a lease on the file for a moment, which makes O_NONBLOCK fail: then the inode
// itself is opened, which waits.
func (f *FileNode) openAt(dirfd int, name string, flags uint32) (int, error) {
	fd, err := unix.Openat(dirfd, name, backingFlags(flags), 0)
	if err == unix.EWOULDBLOCK {
		path, err := f.openPath(dirfd, name)
		if err != nil {
			return -1, err
		}
		defer unix.Close(path)
		return openInode(path, flags)
	}
	if err != nil {
		return -1, err
	}
	var st unix.Statx_t
	if err = statFD(fd, &st); err == nil {
		err = f.is(&st)
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// reopen opens a file that has no name any more, as /proc/PID/fd/N does.
func (f *FileNode) reopen(ctx context.Context, flags uint32) (*fileHandle, error) {
	ref, err := f.nameless()
	if err != nil {
		return nil, err
	}
	defer ref.release()
	fd, err := openInode(ref.fd, flags)
	if err != nil {
		return nil, err
	}
	return f.handle(ctx, fd, flags)
}

// openInode opens the regular file that an fd refers to.
func openInode(fd int, flags uint32) (int, error) {
	return unix.Open(procPath(fd), backingFlags(flags)&^(unix.O_NOFOLLOW|unix.O_NONBLOCK), 0)
}

// openToWrite is openToRead under the slot lock: apply must not replace the file
// between its look for writers and ours.
func (f *FileNode) openToWrite(ctx context.Context, flags uint32) (*fileHandle, error) {
	l, named := f.link()
	if !named {
		return f.reopen(ctx, flags)
	}
	h, err := f.openToWriteAt(ctx, l, flags)
	if gone(err) {
		f.dropLink(l)
		return nil, unix.ESTALE
	}
	return h, err
}

func (f *FileNode) openToWriteAt(ctx context.Context, l link, flags uint32) (h *fileHandle, err error) {
	z, release := l.dir.hold()
	defer release()
	if z.readonly {
		return nil, unix.EROFS
	}
	_, dir, ok := l.dir.where()
	if !ok {
		return nil, unix.ESTALE
	}
	ref, err := l.dir.acquire()
	if err != nil {
		return nil, err
	}
	defer ref.release()
	var st unix.Statx_t
	if err := statAt(ref.fd, l.name, &st); err != nil {
		return nil, err
	}
	if err := f.is(&st); err != nil {
		return nil, err
	}
	r := journal.Record{
		Kind: journal.KindOpen, Path: join(dir, l.name), Key: f.key, Linked: st.Nlink > 1,
		Frees: flags&unix.O_TRUNC != 0 && st.Size > 0,
	}
	err = f.m.journaled(ctx, z, r, func() error {
		fd, err := f.openAt(ref.fd, l.name, flags)
		if err == nil {
			h, err = f.handle(ctx, fd, flags)
		}
		return err
	})
	return h, err
}

// handle makes the handle of an open fd, which it takes over, and truncates the
// file if the open says so: the kernel leaves that to us.
func (f *FileNode) handle(ctx context.Context, fd int, flags uint32) (*fileHandle, error) {
	if flags&unix.O_TRUNC != 0 {
		if err := f.empty(ctx, fd, flags); err != nil {
			unix.Close(fd)
			return nil, err
		}
	}
	return f.newHandle(ctx, fd, flags), nil
}

func (f *FileNode) empty(ctx context.Context, fd int, flags uint32) error {
	if err := f.clearPrivilegesFor(ctx, target{fd: fd}); err != nil {
		return err
	}
	return target{fd: fd}.truncate(0, flags&unix.O_ACCMODE != unix.O_RDONLY)
}
