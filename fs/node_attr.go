package fs

import (
	"context"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"github.com/silvermirror/smfs/journal"
	"golang.org/x/sys/unix"
)

// fill converts what statx said. Inode numbers of other volumes than the
// base's are salted.
func (n *node) fill(st *unix.Statx_t, a *fuse.Attr) {
	a.Ino = n.vol.ino(st.Ino)
	a.Size, a.Blocks, a.Blksize = st.Size, st.Blocks, st.Blksize
	a.Mode, a.Nlink = uint32(st.Mode), st.Nlink
	a.Uid, a.Gid = st.Uid, st.Gid
	a.Rdev = encodeDev(st.Rdev_major, st.Rdev_minor)
	a.Atime, a.Atimensec = uint64(st.Atime.Sec), st.Atime.Nsec
	a.Mtime, a.Mtimensec = uint64(st.Mtime.Sec), st.Mtime.Nsec
	a.Ctime, a.Ctimensec = uint64(st.Ctime.Sec), st.Ctime.Nsec
}

// encodeDev is the kernel's 32-bit form of a device number, as in FUSE.
func encodeDev(major, minor uint32) uint32 {
	return minor&0xff | major<<8 | minor&^0xff<<12
}

// stat asks for the attributes: of a handle in use, else by name, else of what
// still refers to an inode without names.
func (n *node) stat(f fs.FileHandle, st *unix.Statx_t) error {
	if h, ok := f.(*fileHandle); ok {
		return statFD(h.fd, st)
	}
	err := n.at(func(dirfd int, l link) error {
		if err := statAt(dirfd, l.name, st); err != nil {
			return err
		}
		return n.is(st)
	})
	if err != unix.ESTALE {
		return err
	}
	ref, err := n.nameless()
	if err != nil {
		return err
	}
	defer ref.release()
	return statFD(ref.fd, st)
}

// Access is access(2), where the kernel does not check by itself: root asks.
func (n *node) Access(ctx context.Context, mask uint32) syscall.Errno {
	ref, err := n.reach()
	if err != nil {
		return n.m.errno(err)
	}
	defer ref.release()
	return n.m.errno(unix.Faccessat(unix.AT_FDCWD, procPath(ref.fd), mask, unix.AT_EACCESS))
}

// ttl is how long the kernel may keep the attributes.
func (n *node) ttl() time.Duration {
	if l, ok := n.link(); ok {
		return l.dir.zone().ttl
	}
	return 0
}

// Getattr answers stat(2); it does not follow a symlink.
func (n *node) Getattr(ctx context.Context, f fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	var st unix.Statx_t
	if err := n.stat(f, &st); err != nil {
		return n.m.errno(err)
	}
	n.fill(&st, &out.Attr)
	out.SetTimeout(n.ttl())
	return 0
}

// Statx answers statx(2) where it asks for more than stat(2) does: birth time.
func (n *node) Statx(ctx context.Context, f fs.FileHandle, flags, mask uint32, out *fuse.StatxOut) syscall.Errno {
	var st unix.Statx_t
	if err := n.stat(f, &st); err != nil {
		return n.m.errno(err)
	}
	out.FromStatx(&st)
	out.Ino = n.vol.ino(st.Ino)
	out.SetTimeout(n.ttl())
	return 0
}

// Getattr of a directory uses its own fd: it may have lost its name.
func (d *DirNode) Getattr(ctx context.Context, f fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	var st unix.Statx_t
	if err := d.stat(&st); err != nil {
		return d.m.errno(err)
	}
	d.fill(&st, &out.Attr)
	out.SetTimeout(d.zone().ttl)
	return 0
}

// Statx is as for other nodes.
func (d *DirNode) Statx(ctx context.Context, f fs.FileHandle, flags, mask uint32, out *fuse.StatxOut) syscall.Errno {
	var st unix.Statx_t
	if err := d.stat(&st); err != nil {
		return d.m.errno(err)
	}
	out.FromStatx(&st)
	out.Ino = d.vol.ino(st.Ino)
	out.SetTimeout(d.zone().ttl)
	return 0
}

func (d *DirNode) stat(st *unix.Statx_t) error {
	ref, err := d.acquire()
	if err != nil {
		return err
	}
	defer ref.release()
	return statFD(ref.fd, st)
}

// Setattr changes mode, owner, size and times, on a handle where the kernel
// passes one, also of an inode that has no name any more. With nothing to set
// it is a chown to the owner that it has, or about to be written to by another
// user than root, which clears the same.
func (n *node) Setattr(ctx context.Context, f fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	h, _ := f.(*fileHandle)
	var st unix.Statx_t
	r := journal.Record{Kind: journal.KindAttr, Frees: n.shrinks(f, in)}
	err := n.change(ctx, r, func(t target) error {
		if h != nil {
			t = target{fd: h.fd}
		}
		if err := n.setattr(ctx, t, h != nil && h.writable, in); err != nil {
			return err
		}
		return statFD(t.fd, &st)
	})
	if err != nil {
		return n.m.errno(err)
	}
	n.fill(&st, &out.Attr)
	out.SetTimeout(n.ttl())
	return 0
}

// shrinks tells whether the size is about to get smaller.
func (n *node) shrinks(f fs.FileHandle, in *fuse.SetAttrIn) bool {
	size, ok := in.GetSize()
	var st unix.Statx_t
	return ok && n.stat(f, &st) == nil && size < st.Size
}

// setattr acts on an open file. Owner before mode, because chown clears
// setuid; size before times, because truncate moves them.
func (n *node) setattr(ctx context.Context, t target, writable bool, in *fuse.SetAttrIn) error {
	const sets = fuse.FATTR_MODE | fuse.FATTR_UID | fuse.FATTR_GID | fuse.FATTR_SIZE |
		fuse.FATTR_ATIME | fuse.FATTR_MTIME
	if in.Valid&sets == 0 || in.Valid&fuse.FATTR_KILL_SUIDGID != 0 {
		if err := n.clearPrivileges(ctx, t); err != nil {
			return err
		}
	}
	if in.Valid&sets == 0 {
		return t.chown(-1, -1) // which moves ctime
	}
	if err := n.setOwner(t, in); err != nil {
		return err
	}
	if mode, ok := in.GetMode(); ok {
		err := t.chmod(mode)
		n.privileged.Store(true)
		if err != nil {
			return err
		}
	}
	if size, ok := in.GetSize(); ok {
		if err := t.truncate(int64(size), writable); err != nil {
			return err
		}
	}
	return setTimes(t, in)
}

func (n *node) setOwner(t target, in *fuse.SetAttrIn) error {
	uid, hasUID := in.GetUID()
	gid, hasGID := in.GetGID()
	if !hasUID && !hasGID {
		return nil
	}
	u, g := -1, -1
	if hasUID {
		u = int(uid)
	}
	if hasGID {
		g = int(gid)
	}
	return t.chown(u, g)
}

func setTimes(t target, in *fuse.SetAttrIn) error {
	if in.Valid&(fuse.FATTR_ATIME|fuse.FATTR_MTIME) == 0 {
		return nil
	}
	times := []unix.Timespec{
		timeOf(in.Valid, fuse.FATTR_ATIME, fuse.FATTR_ATIME_NOW, in.Atime, in.Atimensec),
		timeOf(in.Valid, fuse.FATTR_MTIME, fuse.FATTR_MTIME_NOW, in.Mtime, in.Mtimensec),
	}
	return t.utimes(times)
}

func timeOf(valid, set, now uint32, sec uint64, nsec uint32) unix.Timespec {
	switch {
	case valid&set == 0:
		return unix.Timespec{Nsec: unix.UTIME_OMIT}
	case valid&now != 0:
		return unix.Timespec{Nsec: unix.UTIME_NOW}
	}
	return unix.Timespec{Sec: int64(sec), Nsec: int64(nsec)}
}

// clearPrivilegesFor is clearPrivileges for a caller who writes, unless it is root.
func (n *node) clearPrivilegesFor(ctx context.Context, t target) error {
	if isRoot(ctx) {
		return nil
	}
	return n.clearPrivileges(ctx, t)
}

// clearPrivileges takes setuid, setgid and file capabilities away, as the kernel
// does by itself at a write of an ordinary user's daemon. The mark goes first and
// a chmod sets it last, so that of two at once none is missed.
func (n *node) clearPrivileges(ctx context.Context, t target) error {
	if !n.m.id.root || n.Mode() != unix.S_IFREG || !n.privileged.Swap(false) {
		return nil
	}
	err := strip(ctx, t)
	if err != nil {
		n.privileged.Store(true)
	}
	return err
}

// strip leaves setgid to root and to who is in the group, of what the group may
// not execute.
func strip(ctx context.Context, t target) error {
	var st unix.Statx_t
	if err := statFD(t.fd, &st); err != nil {
		return err
	}
	mode := uint32(st.Mode) & 0o7777
	drop := mode & unix.S_ISUID
	if mode&unix.S_ISGID != 0 && (mode&unix.S_IXGRP != 0 || !isRoot(ctx) && !inGroup(ctx, st.Gid)) {
		drop |= unix.S_ISGID
	}
	if drop != 0 {
		if err := t.chmod(mode &^ drop); err != nil {
			return err
		}
	}
	if _, err := t.getxattr(capabilityAttr, nil); err != nil {
		return nil // there are none, or no filesystem for them
	}
	return t.removexattr(capabilityAttr)
}

func clearSetgid(t target) error {
	var st unix.Statx_t
	if err := statFD(t.fd, &st); err != nil || st.Mode&unix.S_ISGID == 0 {
		return err
	}
	return t.chmod(uint32(st.Mode) & 0o7777 &^ unix.S_ISGID)
}

// Statfs reports on the filesystem that holds the node.
func (n *node) Statfs(ctx context.Context, out *fuse.StatfsOut) syscall.Errno {
	ref, err := n.reach()
	if err != nil {
		return n.m.errno(err)
	}
	defer ref.release()
	var st syscall.Statfs_t
	if err := syscall.Fstatfs(ref.fd, &st); err != nil {
		return n.m.errno(err)
	}
	out.FromStatfsT(&st)
	return 0
}
