package fs

import (
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// rawFS carries what the kernel says of a request and go-fuse does not pass on
// to nodes, in bits of the arguments that are free.
type rawFS struct{ fuse.RawFileSystem }

const (
	// umaskShift is where the caller's umask is in a mode: above the type.
	umaskShift = 16
	// killSetgid, in the flags of Setxattr, says that the caller may not leave
	// setgid on.
	killSetgid = 1 << 31
)

func withUmask(mode, umask uint32) uint32 { return mode | umask&0o777<<umaskShift }

func (f rawFS) Create(cancel <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	in.Mode = withUmask(in.Mode, in.Umask)
	return f.RawFileSystem.Create(cancel, in, name, out)
}

func (f rawFS) Tmpfile(cancel <-chan struct{}, in *fuse.CreateIn, out *fuse.CreateOut) fuse.Status {
	in.Mode = withUmask(in.Mode, in.Umask)
	return f.RawFileSystem.Tmpfile(cancel, in, out)
}

func (f rawFS) Mkdir(cancel <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	in.Mode = withUmask(in.Mode, in.Umask)
	return f.RawFileSystem.Mkdir(cancel, in, name, out)
}

func (f rawFS) Mknod(cancel <-chan struct{}, in *fuse.MknodIn, name string, out *fuse.EntryOut) fuse.Status {
	in.Mode = withUmask(in.Mode, in.Umask)
	return f.RawFileSystem.Mknod(cancel, in, name, out)
}

func (f rawFS) SetXAttr(cancel <-chan struct{}, in *fuse.SetXAttrIn, name string, data []byte) fuse.Status {
	if in.SetXAttrFlags&fuse.SETXATTR_ACL_KILL_SGID != 0 {
		in.Flags |= killSetgid
	}
	return f.RawFileSystem.SetXAttr(cancel, in, name, data)
}

// Statx answers for nodes that have no more to tell than GetAttr does, those of the
// views: at one ENOSYS the kernel would ask for the birth time of no file any more.
func (f rawFS) Statx(cancel <-chan struct{}, in *fuse.StatxIn, out *fuse.StatxOut) fuse.Status {
	if status := f.RawFileSystem.Statx(cancel, in, out); status != fuse.ENOSYS {
		return status
	}
	get := fuse.GetAttrIn{InHeader: in.InHeader}
	var got fuse.AttrOut
	status := f.RawFileSystem.GetAttr(cancel, &get, &got)
	a, x := &got.Attr, &out.Statx
	x.Mask = unix.STATX_BASIC_STATS
	x.Ino, x.Mode, x.Nlink, x.Uid, x.Gid = a.Ino, uint16(a.Mode), a.Nlink, a.Uid, a.Gid
	x.Size, x.Blocks, x.Blksize = a.Size, a.Blocks, a.Blksize
	x.Atime = fuse.SxTime{Sec: a.Atime, Nsec: a.Atimensec}
	x.Mtime = fuse.SxTime{Sec: a.Mtime, Nsec: a.Mtimensec}
	x.Ctime = fuse.SxTime{Sec: a.Ctime, Nsec: a.Ctimensec}
	out.SetTimeout(got.Timeout())
	return status
}

const (
	accessACL  = "system.posix_acl_access"
	defaultACL = "system.posix_acl_default"
)

// masked applies the umask in a mode, unless the directory has a default ACL:
// then that says what is allowed, and the filesystem below looks at it.
func masked(dirfd int, mode uint32) uint32 {
	umask := mode >> umaskShift
	mode &= 1<<umaskShift - 1
	if umask == 0 {
		return mode
	}
	if _, err := (target{dirfd, true}).getxattr(defaultACL, nil); err == nil {
		return mode
	}
	return mode &^ umask
}
