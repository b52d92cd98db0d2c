package fs

import (
	"errors"
	"log/slog"
	"os"
	"syscall"
)

// errno turns an error into what the caller of the system call gets. Errors
// that carry no errno are logged here, once, and become EIO.
func (m *Mount) errno(err error) syscall.Errno {
	if err == nil {
		return 0
	}
	var e syscall.Errno
	if errors.As(err, &e) {
		return e
	}
	switch {
	case errors.Is(err, os.ErrNotExist):
		return syscall.ENOENT
	case errors.Is(err, os.ErrPermission):
		return syscall.EPERM
	}
	m.log.Error("file operation failed", slog.Any("error", err))
	return syscall.EIO
}
