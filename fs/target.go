package fs

import (
	"strconv"

	"golang.org/x/sys/unix"
)

// target is an inode by an fd: an open file, or an O_PATH fd of anything.
type target struct {
	fd   int
	path bool // O_PATH: some calls need the way through /proc
}

// procPath names the inode of an fd. It leads to the inode itself, also to a
// symlink or to a file without names; the text behind the link is never read.
func procPath(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

func (t target) chmod(mode uint32) error {
	if t.path {
		return unix.Chmod(procPath(t.fd), mode)
	}
	return unix.Fchmod(t.fd, mode)
}

func (t target) chown(uid, gid int) error {
	return unix.Fchownat(t.fd, "", uid, gid, unix.AT_EMPTY_PATH)
}

func (t target) truncate(size int64, writable bool) error {
	if writable {
		return unix.Ftruncate(t.fd, size)
	}
	return unix.Truncate(procPath(t.fd), size)
}

func (t target) utimes(times []unix.Timespec) error {
	return unix.UtimesNanoAt(unix.AT_FDCWD, procPath(t.fd), times, 0)
}

func (t target) getxattr(name string, dest []byte) (int, error) {
	if t.path {
		return unix.Getxattr(procPath(t.fd), name, dest)
	}
	return unix.Fgetxattr(t.fd, name, dest)
}

func (t target) listxattr(dest []byte) (int, error) {
	if t.path {
		return unix.Listxattr(procPath(t.fd), dest)
	}
	return unix.Flistxattr(t.fd, dest)
}

func (t target) setxattr(name string, data []byte, flags int) error {
	if t.path {
		return unix.Setxattr(procPath(t.fd), name, data, flags)
	}
	return unix.Fsetxattr(t.fd, name, data, flags)
}

func (t target) removexattr(name string) error {
	if t.path {
		return unix.Removexattr(procPath(t.fd), name)
	}
	return unix.Fremovexattr(t.fd, name)
}

// reached is a target in use.
type reached struct {
	target
	release func()
}

// openPath opens a name (O_PATH) and checks that it is this inode.
func (n *node) openPath(dirfd int, name string) (int, error) {
	fd, err := unix.Openat(dirfd, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	var st unix.Statx_t
	if err = statFD(fd, &st); err == nil {
		err = n.is(&st)
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// reach finds the inode by name, or else by what still refers to it.
func (n *node) reach() (reached, error) {
	if d, ok := n.Operations().(*DirNode); ok {
		ref, err := d.acquire()
		if err != nil {
			return reached{}, err
		}
		return reached{target{ref.fd, true}, ref.release}, nil
	}
	fd := -1
	err := n.at(func(dirfd int, l link) (err error) {
		fd, err = n.openPath(dirfd, l.name)
		return err
	})
	if err == unix.ESTALE {
		return n.nameless()
	}
	if err != nil {
		return reached{}, err
	}
	return reached{target{fd, true}, func() { unix.Close(fd) }}, nil
}

// nameless finds an inode that is under none of its names any more: by the fd
// that its removal left, or by a handle in use. ESTALE: there is neither.
func (n *node) nameless() (reached, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.pin >= 0 {
		return reached{target{n.pin, true}, func() {}}, nil
	}
	for _, h := range n.open {
		if h.closing.TryRLock() {
			return reached{target{fd: h.fd}, h.closing.RUnlock}, nil
		}
	}
	return reached{}, unix.ESTALE
}

// named tells whether the inode has a name left, as far as can be told.
func (n *node) named() bool {
	ref, err := n.reach()
	if err != nil {
		return !gone(err)
	}
	defer ref.release()
	var st unix.Statx_t
	return statFD(ref.fd, &st) != nil || st.Nlink > 0
}
