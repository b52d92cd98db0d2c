package fs

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"github.com/silvermirror/smfs/journal"
	"golang.org/x/sys/unix"
)

// fileHandle is one open of a regular file.
type fileHandle struct {
	n        *node
	fd       int
	opener   context.Context // who opened it: RELEASE does not say
	writable bool

	// closing is held shared by who uses fd without the kernel holding the
	// handle open, and alone while it is closed.
	closing sync.RWMutex

	passMu sync.Mutex // guards passFD
	passFD int        // O_PATH fd that was registered for passthrough, else -1
}

// newHandle makes the handle of an open fd, which it takes over.
func (n *node) newHandle(ctx context.Context, fd int, flags uint32) *fileHandle {
	h := &fileHandle{n: n, fd: fd, opener: opener(ctx), writable: writes(flags), passFD: -1}
	n.m.handles.open.Add(1)
	n.mu.Lock()
	n.open = append(n.open, h)
	n.mu.Unlock()
	if h.writable {
		n.m.writers.add(h)
	}
	return h
}

// opener is a context that outlives the request.
func opener(ctx context.Context) context.Context {
	c, ok := fuse.FromContext(ctx)
	if !ok {
		return context.Background()
	}
	caller := *c
	return fuse.NewContext(context.Background(), &caller)
}

// openFlags tells the kernel that close needs no round trip, and whether to keep
// what it has cached of the file.
func (h *fileHandle) openFlags(z *zone) uint32 {
	flags := uint32(fuse.FOPEN_NOFLUSH)
	if z.ttl == forever {
		flags |= fuse.FOPEN_KEEP_CACHE
	}
	return flags
}

// Read reads at an offset.
func (h *fileHandle) Read(ctx context.Context, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	return fuse.ReadResultFd(uintptr(h.fd), off, len(dest)), 0
}

// Write writes at an offset. The open was journaled.
func (h *fileHandle) Write(ctx context.Context, data []byte, off int64) (uint32, syscall.Errno) {
	if err := h.n.clearPrivilegesFor(ctx, target{fd: h.fd}); err != nil {
		return 0, h.n.m.errno(err)
	}
	written := 0
	for written < len(data) {
		n, err := unix.Pwrite(h.fd, data[written:], off+int64(written))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			if written > 0 {
				break
			}
			return 0, h.n.m.errno(err)
		}
		written += n
	}
	return uint32(written), 0
}

// Fsync makes the data durable, then the journal's record that it changed.
func (h *fileHandle) Fsync(ctx context.Context, flags uint32) syscall.Errno {
	const dataOnly = 1
	var err error
	if flags&dataOnly != 0 {
		err = unix.Fdatasync(h.fd)
	} else {
		err = unix.Fsync(h.fd)
	}
	if err != nil {
		return h.n.m.errno(err)
	}
	return h.n.m.syncJournal(h.n.zone())
}

// syncJournal makes what was announced in a zone durable.
func (m *Mount) syncJournal(z *zone) syscall.Errno {
	if z.res == nil {
		return 0
	}
	return m.errno(m.journal.Sync())
}

// zone is where the inode is.
func (n *node) zone() *zone {
	if l, ok := n.link(); ok {
		return l.dir.zone()
	}
	return &zone{}
}

// Lseek finds data and holes.
func (h *fileHandle) Lseek(ctx context.Context, off uint64, whence uint32) (uint64, syscall.Errno) {
	at, err := unix.Seek(h.fd, int64(off), int(whence))
	return uint64(at), h.n.m.errno(err)
}

// Allocate is fallocate(2).
func (h *fileHandle) Allocate(ctx context.Context, off, size uint64, mode uint32) syscall.Errno {
	return h.n.m.errno(h.changeData(ctx, func() error {
		return unix.Fallocate(h.fd, mode, int64(off), int64(size))
	}))
}

// changeData announces a change of data that does not come by write(2), in a
// file that is open for writing.
func (h *fileHandle) changeData(ctx context.Context, act func() error) error {
	op, err := h.announce(ctx, journal.KindWrite)
	if err != nil {
		return err
	}
	err = act()
	end(op, err)
	return err
}

// announce journals what is about to happen to the file, if it has a name. No
// directory's rename ends between the look for its path and the record.
func (h *fileHandle) announce(ctx context.Context, kind journal.Kind) (*journal.Op, error) {
	h.n.m.names.RLock()
	defer h.n.m.names.RUnlock()
	z, path, ok := h.n.where()
	if !ok {
		return nil, nil
	}
	return h.n.m.begin(ctx, z, journal.Record{Kind: kind, Path: path, Key: h.n.key, Linked: linked(h.fd)})
}

// where is the zone of the inode, and its path from there.
func (n *node) where() (z *zone, path string, ok bool) {
	l, ok := n.link()
	if !ok {
		return nil, "", false
	}
	z, dir, ok := l.dir.where()
	return z, join(dir, l.name), ok
}

// CopyFileRange copies within the backing filesystem.
func (f *FileNode) CopyFileRange(ctx context.Context, in fs.FileHandle, offIn uint64, _ *fs.Inode, out fs.FileHandle, offOut, size, flags uint64) (uint32, syscall.Errno) {
	from, okIn := in.(*fileHandle)
	to, okOut := out.(*fileHandle)
	if !okIn || !okOut {
		return 0, syscall.EXDEV
	}
	const most = 1 << 30 // the answer has 32 bits
	var copied int
	err := to.changeData(ctx, func() (err error) {
		r, w := int64(offIn), int64(offOut)
		copied, err = unix.CopyFileRange(from.fd, &r, to.fd, &w, int(min(size, most)), int(flags))
		return err
	})
	return uint32(max(copied, 0)), f.m.errno(err)
}

// Release closes the file. The kernel does not wait for it, nor learn of errors.
func (h *fileHandle) Release(ctx context.Context) syscall.Errno {
	if h.writable && !h.n.m.writers.remove(h) {
		return 0
	}
	h.close()
	return 0
}

// close closes the fd, between records if it could write.
func (h *fileHandle) close() {
	h.n.forgetHandle(h)
	var op *journal.Op
	if h.writable {
		var err error
		if op, err = h.announce(h.opener, journal.KindClose); err != nil {
			h.n.m.log.Error("close goes on without its record", slog.Any("error", err))
		}
	}
	h.closing.Lock()
	err := unix.Close(h.fd)
	h.dropPassthrough()
	h.closing.Unlock()
	h.n.m.handles.open.Add(-1)
	if h.writable {
		h.n.m.queue.sendAttr(h.n) // a mapping moved the times behind the kernel's back
	}
	end(op, err)
}

func (n *node) forgetHandle(h *fileHandle) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if i := slices.Index(n.open, h); i >= 0 {
		n.open = slices.Delete(n.open, i, i+1)
	}
}

// writers are the handles that can write: what is left of them when the mount
// ends is closed then, so that the journal hears of it.
type writers struct {
	mu  sync.Mutex // guards all
	all map[*fileHandle]struct{}
}

func (w *writers) add(h *fileHandle) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all == nil {
		w.all = make(map[*fileHandle]struct{})
	}
	w.all[h] = struct{}{}
}

// remove reports whether h was there.
func (w *writers) remove(h *fileHandle) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, ok := w.all[h]
	delete(w.all, h)
	return ok
}

func (w *writers) take() map[*fileHandle]struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.all
	w.all = nil
	return all
}
