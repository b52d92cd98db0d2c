package fs

import (
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// PassthroughFd gives go-fuse an fd of the backing file, so that the kernel
// reads and writes it without us. An inode must take the same path for all of
// its opens, so this depends on the volume alone and never fails: go-fuse turns
// passthrough off for good at the first failure. An O_PATH fd is registered,
// not our own: the kernel keeps it while any handle is open, and a writable one
// would look like a writer to the lease probe.
func (h *fileHandle) PassthroughFd() (int, bool) {
	if !h.n.vol.passthrough {
		return -1, false
	}
	h.passMu.Lock()
	defer h.passMu.Unlock()
	if h.passFD < 0 {
		fd, err := unix.Open(procPath(h.fd), unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			return h.fd, true
		}
		h.passFD = fd
	}
	return h.passFD, true
}

func (h *fileHandle) dropPassthrough() {
	h.passMu.Lock()
	defer h.passMu.Unlock()
	if h.passFD >= 0 {
		unix.Close(h.passFD)
		h.passFD = -1
	}
}

// probePassthrough tries whether the kernel takes files of the filesystem that
// holds dir: it needs Linux 6.9, CAP_SYS_ADMIN, and a filesystem that is not
// stacked too deeply.
func probePassthrough(s *fuse.Server, dir int) bool {
	fd, err := unix.Openat(dir, ".", unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	path, err := unix.Open(procPath(fd), unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(path)
	id, errno := s.RegisterBackingFd(&fuse.BackingMap{Fd: int32(path)})
	if errno != 0 {
		return false
	}
	s.UnregisterBackingFd(id)
	return true
}
