package tree

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// errNoLease: the filesystem has no leases, or the file belongs to somebody
// else and the process may not lease it.
var errNoLease = errors.New("no lease to be had")

// leaseRetry is how long to wait after a first EAGAIN: the kernel gives one
// now and then for a file nobody writes.
const leaseRetry = 50 * time.Microsecond

// takeLease takes a read lease on fd, opened read-only: while it is held no
// one else gets a writable handle. ErrBusy: a writable handle or mapping
// lives, be it one whose open still waits for a lease to go.
func takeLease(fd int) error {
	err := setLease(fd, unix.F_RDLCK)
	if err == unix.EAGAIN {
		time.Sleep(leaseRetry)
		err = setLease(fd, unix.F_RDLCK)
	}
	switch err {
	case nil:
		return nil
	case unix.EAGAIN:
		return ErrBusy
	case unix.EINVAL, unix.EACCES, unix.EPERM, unix.EOPNOTSUPP, unix.ENOSYS, unix.ENOLCK:
		return errNoLease
	}
	return err
}

func dropLease(fd int) error { return setLease(fd, unix.F_UNLCK) }

func setLease(fd, kind int) error {
	for {
		_, err := unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, kind)
		if err != unix.EINTR {
			return err
		}
	}
}
