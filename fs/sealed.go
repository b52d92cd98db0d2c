package fs

import (
	"cmp"
	"context"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// sealed refuses every change of a node in a view, by default with EPERM. Never
// EXDEV: on that file managers copy, and then delete what they could not move.
type sealed struct{ errno syscall.Errno }

func (s sealed) refusal() syscall.Errno { return cmp.Or(s.errno, syscall.EPERM) }

// refusal is the answer to who would move or link something of a view.
func refusal(e fs.InodeEmbedder) syscall.Errno {
	if s, ok := e.(interface{ refusal() syscall.Errno }); ok {
		return s.refusal()
	}
	return syscall.EPERM
}

func (s sealed) Mkdir(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	return nil, s.refusal()
}

func (s sealed) Mknod(ctx context.Context, name string, mode, dev uint32, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	return nil, s.refusal()
}

func (s sealed) Symlink(ctx context.Context, target, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	return nil, s.refusal()
}

func (s sealed) Link(ctx context.Context, target fs.InodeEmbedder, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	return nil, s.refusal()
}

func (s sealed) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	return nil, nil, 0, s.refusal()
}

func (s sealed) Tmpfile(ctx context.Context, flags, mode uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	return nil, nil, 0, s.refusal()
}

func (s sealed) Unlink(ctx context.Context, name string) syscall.Errno { return s.refusal() }

func (s sealed) Rmdir(ctx context.Context, name string) syscall.Errno { return s.refusal() }

func (s sealed) Rename(ctx context.Context, name string, newParent fs.InodeEmbedder, newName string, flags uint32) syscall.Errno {
	return s.refusal()
}

func (s sealed) Setattr(ctx context.Context, f fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	return s.refusal()
}

func (s sealed) Setxattr(ctx context.Context, name string, data []byte, flags uint32) syscall.Errno {
	return s.refusal()
}

func (s sealed) Removexattr(ctx context.Context, name string) syscall.Errno {
	return cmp.Or(s.errno, syscall.ENODATA)
}
