package fs

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// The times of access are those of the files beneath, so what is asked of the
// mount about them must hold there.

// openBacking returns a new fd of the base: where the options of the mount say how
// times of access move, in a mount of it that nobody else sees and that does the
// same. Where that cannot be had the times move as they do beneath. To a directory
// elsewhere (External) a rename is EXDEV then, as to another filesystem.
func openBacking(o Options) (int, error) {
	if attrs, asked := atimeAttrs(o.Flags); asked {
		if fd, err := cloneMount(o.Base, attrs); err == nil {
			return fd, nil
		}
	}
	fd, err := unix.FcntlInt(uintptr(o.Base), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("duplicate the base's fd: %w", err)
	}
	return fd, nil
}

// atimeAttrs tells how times of access move with generic options: not at all in a
// mount that is read-only.
func atimeAttrs(names []string) (attrs uint64, asked bool) {
	bits := mountFlagBits(names)
	switch {
	case bits&unix.MS_RDONLY != 0:
		attrs = unix.MOUNT_ATTR_NOATIME
	case bits&unix.MS_STRICTATIME != 0: // as for mount(2) it wins
		attrs = unix.MOUNT_ATTR_STRICTATIME
	case bits&unix.MS_NOATIME != 0:
		attrs = unix.MOUNT_ATTR_NOATIME
	}
	if bits&unix.MS_NODIRATIME != 0 {
		attrs |= unix.MOUNT_ATTR_NODIRATIME
	}
	return attrs, attrs != 0 || bits&unix.MS_RELATIME != 0
}

// cloneMount makes a mount of the directory, with all that is mounted in it, which
// lasts as long as the fd. It takes CAP_SYS_ADMIN and Linux 5.12.
func cloneMount(dir int, attrs uint64) (int, error) {
	const openTreeClone = 1
	fd, err := unix.OpenTree(dir, "", openTreeClone|unix.O_CLOEXEC|unix.AT_EMPTY_PATH|unix.AT_RECURSIVE)
	if err != nil {
		return -1, err
	}
	err = unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &unix.MountAttr{
		Attr_set: attrs,
		Attr_clr: unix.MOUNT_ATTR__ATIME | unix.MOUNT_ATTR_NODIRATIME,
	})
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}
