package e2e

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// kill ends a process as a crash does and returns when it is gone.
func kill(pid int) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return fmt.Errorf("find daemon %d: %w", pid, err)
	}
	defer unix.Close(fd)
	if err := unix.PidfdSendSignal(fd, syscall.SIGKILL, nil, 0); err != nil {
		return fmt.Errorf("kill daemon %d: %w", pid, err)
	}
	return exited(fd)
}

// exited returns when the process of a pidfd has ended.
func exited(pidfd int) error {
	for {
		_, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, -1)
		if err != unix.EINTR {
			return err
		}
	}
}
