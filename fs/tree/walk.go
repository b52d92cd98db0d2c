package tree

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"golang.org/x/sys/unix"
)

const resolve = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV

// maxWalk is how many bytes of path one system call takes; PATH_MAX is 4096.
const maxWalk = 4000

func haveOpenat2(fd int) bool {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: resolve}
	got, err := unix.Openat2(fd, ".", &how)
	if err != nil {
		return false
	}
	unix.Close(got)
	return true
}

// open walks path from the root and opens it, never following a symlink and
// never leaving the root's mount. The caller closes the fd. Errors are the
// kernel's own.
func (t *Tree) open(path string, flags int) (int, error) {
	if err := CheckPath(path); err != nil {
		return -1, err
	}
	if path == "" {
		path = "."
	}
	dir := t.rootFD
	for len(path) > maxWalk {
		cut := strings.LastIndexByte(path[:maxWalk], '/')
		if cut < 0 {
			cut = strings.IndexByte(path, '/') // a name beyond any filesystem's limit
		}
		if cut < 0 {
			break
		}
		next, err := t.openBelow(dir, path[:cut], unix.O_PATH|unix.O_DIRECTORY)
		t.closeUnlessRoot(dir)
		if err != nil {
			return -1, err
		}
		dir, path = next, path[cut+1:]
	}
	fd, err := t.openBelow(dir, path, flags)
	t.closeUnlessRoot(dir)
	return fd, err
}

func (t *Tree) closeUnlessRoot(fd int) {
	if fd != t.rootFD {
		unix.Close(fd)
	}
}

// openBelow opens a path of at most maxWalk bytes below dirfd.
func (t *Tree) openBelow(dirfd int, path string, flags int) (int, error) {
	flags |= unix.O_NOFOLLOW | unix.O_CLOEXEC
	if t.beside {
		return t.openStepwise(dirfd, path, flags)
	}
	how := unix.OpenHow{Flags: uint64(flags), Resolve: resolve}
	for {
		fd, err := unix.Openat2(dirfd, path, &how)
		if err == unix.EINTR || err == unix.EAGAIN && flags&unix.O_NONBLOCK == 0 {
			continue // EAGAIN: a rename raced with the walk
		}
		return fd, err
	}
}

// openStepwise is openBelow without openat2.
func (t *Tree) openStepwise(dirfd int, path string, flags int) (int, error) {
	fd := dirfd
	for {
		name, rest, more := strings.Cut(path, "/")
		how := flags
		if more {
			how = unix.O_PATH | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
		}
		next, err := t.openStep(fd, name, how)
		if fd != dirfd {
			unix.Close(fd)
		}
		if err != nil || !more {
			return next, err
		}
		fd, path = next, rest
	}
}

func (t *Tree) openStep(dirfd int, name string, flags int) (int, error) {
	for {
		fd, err := unix.Openat(dirfd, name, flags, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return -1, err
		}
		m, err := mountOf(fd)
		if err == nil && m != t.mount {
			err = unix.EXDEV
		}
		if err != nil {
			unix.Close(fd)
			return -1, err
		}
		return fd, nil
	}
}

// mountID tells mounts apart: by the kernel's mount id where it gives one,
// else by device, which misses a bind mount of the same filesystem.
type mountID struct {
	id  uint64
	dev uint64
}

func mountOf(fd int) (mountID, error) {
	var st unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, StatxMask, &st); err != nil {
		return mountID{}, err
	}
	return mountFrom(&st), nil
}

func mountFrom(st *unix.Statx_t) mountID {
	if st.Mask&unix.STATX_MNT_ID != 0 {
		return mountID{id: st.Mnt_id}
	}
	return mountID{dev: unix.Mkdev(st.Dev_major, st.Dev_minor)}
}

// openEntry opens path itself, which must lie below a directory, and says in
// this package's terms why it could not.
func (t *Tree) openEntry(op, path string, flags int) (int, error) {
	fd, err := t.open(path, flags)
	if err == nil {
		return fd, nil
	}
	return -1, t.fail(op, path, t.provenAbsent(path, err))
}

// provenAbsent turns ELOOP and ENOTDIR of a walk into absence if a component
// above the last one is seen to be something other than a directory.
func (t *Tree) provenAbsent(path string, err error) error {
	if !errors.Is(err, unix.ELOOP) && !errors.Is(err, unix.ENOTDIR) {
		return err
	}
	for i := 0; i < len(path); i++ {
		if path[i] != '/' {
			continue
		}
		fd, e := t.open(path[:i], unix.O_PATH)
		if e != nil {
			return e // ENOENT: it went away meanwhile, which is absence too
		}
		info, e := StatFD(fd)
		unix.Close(fd)
		if e != nil {
			return e
		}
		if !info.IsDir() {
			return &absentBelow{parent: path[:i]}
		}
	}
	return err
}

// Stat looks at path without following it.
func (t *Tree) Stat(path string) (Info, error) {
	fd, err := t.openEntry("stat", path, unix.O_PATH)
	if err != nil {
		return Info{}, err
	}
	defer unix.Close(fd)
	info, err := StatFD(fd)
	if err != nil {
		return Info{}, t.fail("stat", path, err)
	}
	return info, nil
}

// StatIn looks at a slot. ErrChanged: its directory is not where the path says.
func (t *Tree) StatIn(at Slot) (Info, error) {
	const op = "stat"
	ref, name, err := t.openSlot(op, at)
	if errors.Is(err, fs.ErrNotExist) {
		return Info{}, fmt.Errorf("%s %q: its directory: %w", op, at.Path, ErrChanged)
	}
	if err != nil {
		return Info{}, err
	}
	defer ref.Release()
	info, err := t.statAt(ref.FD(), name)
	if err != nil {
		return Info{}, t.fail(op, at.Path, err)
	}
	return info, nil
}
