package fs

import (
	"context"
	"sync"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// dirHandle is one open of a directory. The backing directory is opened when it
// is first read: often the kernel has the listing in its cache.
type dirHandle struct {
	d *DirNode

	mu     sync.Mutex // guards the rest
	fd     int        // -1: not open yet
	stream fs.DirStream

	plain int // names that were listed without attributes; foresight's
}

// OpendirHandle opens the directory for listing. The kernel keeps the listing
// until a name in it changes.
func (d *DirNode) OpendirHandle(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	var how uint32
	if err := d.m.enters(ctx); err != nil {
		return nil, 0, d.m.errno(err)
	}
	if d.zone().ttl == forever {
		how = fuse.FOPEN_CACHE_DIR | fuse.FOPEN_KEEP_CACHE
	}
	return &dirHandle{d: d, fd: -1}, how, 0
}

// open opens the backing directory once.
func (h *dirHandle) open() error {
	if h.fd >= 0 {
		return nil
	}
	ref, err := h.d.acquire()
	if err != nil {
		return err
	}
	defer ref.release()
	h.fd, err = unix.Openat(ref.fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	return err
}

func (h *dirHandle) start() syscall.Errno {
	if h.stream != nil {
		return 0
	}
	if err := h.open(); err != nil {
		return h.d.m.errno(err)
	}
	if extra := h.d.extra(); len(extra) > 0 {
		return h.snapshot(extra)
	}
	fd, err := unix.FcntlInt(uintptr(h.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return h.d.m.errno(err)
	}
	stream, errno := fs.NewLoopbackDirStreamFd(fd)
	h.stream = stream
	return errno
}

// extra are entries that are not in the backing directory, or stand for what is
// there: the view at the root, the roots of external resources.
func (d *DirNode) extra() []fuse.DirEntry {
	var extra []fuse.DirEntry
	if d.IsRoot() {
		extra = d.m.views.entries()
	}
	if d.place == nil {
		return extra
	}
	for name, p := range d.place.below {
		if res := p.external(); res != nil {
			var st unix.Statx_t
			if statFD(res.tree.RootFD(), &st) == nil {
				ino := d.m.vols.get(devOf(&st)).ino(st.Ino)
				extra = append(extra, fuse.DirEntry{Name: name, Mode: unix.S_IFDIR, Ino: ino})
			}
		}
	}
	return extra
}

// snapshot reads all of the directory at once, with the extra entries first:
// they have no place among the backing directory's offsets.
func (h *dirHandle) snapshot(extra []fuse.DirEntry) syscall.Errno {
	hides := make(map[string]bool)
	for _, e := range extra {
		hides[e.Name] = true
	}
	fd, err := unix.FcntlInt(uintptr(h.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return h.d.m.errno(err)
	}
	stream, errno := fs.NewLoopbackDirStreamFd(fd)
	if errno != 0 {
		return errno
	}
	defer stream.Close()
	for stream.HasNext() {
		e, errno := stream.Next()
		if errno != 0 {
			return errno
		}
		if !hides[e.Name] {
			extra = append(extra, e)
		}
	}
	h.stream = fs.NewListDirStream(extra)
	return 0
}

// Readdirent returns the next entry that the mount shows, nil at the end.
func (h *dirHandle) Readdirent(ctx context.Context) (*fuse.DirEntry, syscall.Errno) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if errno := h.start(); errno != 0 {
		return nil, errno
	}
	for h.stream.HasNext() {
		e, errno := h.stream.Next()
		if errno != 0 {
			return nil, errno
		}
		if e.Name == "." || e.Name == ".." {
			e.Ino = h.d.vol.ino(e.Ino)
			return &e, 0
		}
		if !h.d.shows(e.Name) || h.d.IsRoot() && h.d.m.views.hides(&e) {
			continue
		}
		if h.d.place.child(e.Name).external() == nil {
			e.Ino = h.d.vol.ino(e.Ino)
		}
		return &e, 0
	}
	return nil, 0
}

// Seekdir continues at an offset that an entry carried.
func (h *dirHandle) Seekdir(ctx context.Context, off uint64) syscall.Errno {
	h.mu.Lock()
	defer h.mu.Unlock()
	if off == 0 && h.stream != nil {
		h.stream.Close()
		h.stream = nil
		if _, err := unix.Seek(h.fd, 0, unix.SEEK_SET); err != nil {
			return h.d.m.errno(err)
		}
	}
	if errno := h.start(); errno != 0 {
		return errno
	}
	if off == 0 {
		return 0
	}
	return h.stream.(fs.FileSeekdirer).Seekdir(ctx, off)
}

// Fsyncdir makes the names durable, then their journal.
func (h *dirHandle) Fsyncdir(ctx context.Context, flags uint32) syscall.Errno {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.open(); err != nil {
		return h.d.m.errno(err)
	}
	if err := unix.Fsync(h.fd); err != nil {
		return h.d.m.errno(err)
	}
	return h.d.m.syncJournal(h.d.zone())
}

// Releasedir closes the directory.
func (h *dirHandle) Releasedir(ctx context.Context, flags uint32) {
	h.d.m.foresight.ended(h)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stream != nil {
		h.stream.Close()
	}
	if h.fd >= 0 {
		unix.Close(h.fd)
	}
}
