package tree

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Temp is what is going to fill a slot, made beside it under a hidden name.
// It ends by Place, which consumes it on success, or by Discard; both leave
// nothing open. It is not for concurrent use.
type Temp struct {
	t       *Tree
	dir     *dirRef
	name    string      // "" once it is placed or discarded
	fd      int         // read-write; -1 for links and once sealed
	content *HoleWriter // onto fd
	info    Info        // as of sealing
	mode    uint32
	// mtime is set last, since everything else may move it; nil: leave it.
	mtime *int64
}

var _ io.Writer = (*Temp)(nil)

// NewTemp makes an empty file in the directory dir. It gets the owner of like,
// the inode it is to replace, or, where like is nil, dir's owner, as far as
// the process may give files away; mode (permissions) is set when it is
// placed.
func (t *Tree) NewTemp(dir string, mode uint32, like *Info) (*Temp, error) {
	tmp, err := t.newTemp(dir, func(dirfd int, name string) (int, error) {
		return unix.Openat(dirfd, name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	})
	if err != nil {
		return nil, err
	}
	tmp.mode = mode
	if err := giveTo(tmp.fd, "", unix.AT_EMPTY_PATH, tmp.dir, like); err != nil {
		return nil, errors.Join(t.fail("give away temporary in", dir, err), tmp.Discard())
	}
	return tmp, nil
}

// NewTempSymlink makes a symlink, to be placed where something is to be
// replaced by it. mtime is in ns since 1970.
func (t *Tree) NewTempSymlink(dir, target string, mtime int64, like *Info) (*Temp, error) {
	tmp, err := t.newTemp(dir, func(dirfd int, name string) (int, error) {
		return -1, unix.Symlinkat(target, dirfd, name)
	})
	if err != nil {
		return nil, err
	}
	err = giveTo(tmp.dir.FD(), tmp.name, unix.AT_SYMLINK_NOFOLLOW, tmp.dir, like)
	if err == nil {
		err = unix.UtimesNanoAt(tmp.dir.FD(), tmp.name, timesFor(mtime), unix.AT_SYMLINK_NOFOLLOW)
	}
	if err != nil {
		return nil, errors.Join(t.fail("make symlink in", dir, err), tmp.Discard())
	}
	return tmp, nil
}

// NewTempLink makes another name of the file at from, which must be as
// expected, to be placed where something is to be replaced by it.
func (t *Tree) NewTempLink(dir string, from Slot, want Expect) (*Temp, error) {
	src, name, err := t.openSlot("link", from)
	if err != nil {
		return nil, err
	}
	defer src.Release()
	if err := t.compare(src, name, want); err != nil {
		return nil, t.fail("link", from.Path, err)
	}
	tmp, err := t.newTemp(dir, func(dirfd int, temp string) (int, error) {
		return -1, unix.Linkat(src.FD(), name, dirfd, temp, 0)
	})
	if err != nil {
		return nil, err
	}
	got, err := t.statAt(tmp.dir.FD(), tmp.name)
	if err == nil && !want.sameContent(got) {
		err = ErrChanged
	}
	if err != nil {
		return nil, errors.Join(t.fail("link", from.Path, err), tmp.Discard())
	}
	return tmp, nil
}

// newTemp makes something under a fresh temp name in dir.
func (t *Tree) newTemp(dir string, create func(dirfd int, name string) (int, error)) (*Temp, error) {
	const op = "make temporary in"
	ref, err := t.openDir(op, dir)
	if err != nil {
		return nil, err
	}
	name := t.reserve()
	fd, err := create(ref.FD(), name)
	if err != nil {
		t.forgetTemp(name)
		ref.Release()
		return nil, t.fail(op, dir, err)
	}
	return &Temp{t: t, dir: ref, name: name, fd: fd, content: NewHoleWriter(fd)}, nil
}

// reserve makes a temp name up and remembers that it is this process's.
func (t *Tree) reserve() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	name := TempPrefix + hex.EncodeToString(b[:])
	t.mu.Lock()
	defer t.mu.Unlock()
	t.temps[name] = true
	return name
}

func (t *Tree) forgetTemp(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.temps, ownName(name))
}

// giveTo sets owner and group to like's or the directory's. A process that may
// not give files away keeps them.
func giveTo(dirfd int, name string, flags int, dir *dirRef, like *Info) error {
	uid, gid := dir.info.UID, dir.info.GID
	if like != nil {
		uid, gid = like.UID, like.GID
	}
	if os.Geteuid() != 0 && int(uid) == os.Geteuid() {
		uid = ^uint32(0) // leave it
	}
	err := unix.Fchownat(dirfd, name, int(int32(uid)), int(int32(gid)), flags)
	if err == unix.EPERM || err == unix.EINVAL {
		return nil
	}
	return err
}

func timesFor(mtime int64) []unix.Timespec {
	return []unix.Timespec{{Nsec: unix.UTIME_OMIT}, unix.NsecToTimespec(mtime)}
}

// Write appends to the file.
func (tmp *Temp) Write(p []byte) (int, error) {
	n, err := tmp.content.Write(p)
	if err != nil {
		return n, fmt.Errorf("temporary: %w", err)
	}
	return n, nil
}

// SetXattrs makes the user.* attributes exactly list. ErrUnsupported: the
// filesystem has none.
func (tmp *Temp) SetXattrs(list []Xattr) error {
	return tmp.t.fail("set attributes of", tmp.name, setXattrs(tmp.fd, list))
}

// SetMtime sets the mtime, in ns since 1970, that the file is placed with.
func (tmp *Temp) SetMtime(ns int64) error {
	tmp.mtime = &ns
	return nil
}

func (tmp *Temp) setAttributes() error {
	if err := tmp.content.End(); err != nil {
		return err
	}
	if err := unix.Fchmod(tmp.fd, tmp.mode); err != nil {
		return fmt.Errorf("set mode of temporary: %w", err)
	}
	if tmp.mtime == nil {
		return nil
	}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, procFD(tmp.fd), timesFor(*tmp.mtime), 0); err != nil {
		return fmt.Errorf("set mtime of temporary: %w", err)
	}
	return nil
}

// seal closes the writable handle, so that the placed file has no writer, and
// remembers how it is then.
func (tmp *Temp) seal() error {
	if tmp.fd >= 0 {
		if err := tmp.setAttributes(); err != nil {
			return err
		}
		fd := tmp.fd
		tmp.fd = -1
		if err := unix.Close(fd); err != nil {
			return fmt.Errorf("close temporary: %w", err)
		}
	}
	info, err := tmp.t.statAt(tmp.dir.FD(), tmp.name)
	if err != nil {
		return fmt.Errorf("stat temporary: %w", err)
	}
	tmp.info = info
	return nil
}

// Discard removes the temp. It does nothing after Place or Discard.
func (tmp *Temp) Discard() error {
	if tmp.name == "" {
		return nil
	}
	err := unix.Unlinkat(tmp.dir.FD(), tmp.name, 0)
	if err == unix.ENOENT {
		err = nil
	}
	return errors.Join(tmp.t.fail("remove temporary", tmp.name, err), tmp.end())
}

// end releases everything but the file.
func (tmp *Temp) end() error {
	tmp.t.forgetTemp(tmp.name)
	tmp.name = ""
	tmp.dir.Release()
	if tmp.fd < 0 {
		return nil
	}
	fd := tmp.fd
	tmp.fd = -1
	return unix.Close(fd)
}
