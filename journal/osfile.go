package journal

import (
	"errors"
	"io/fs"
	"os"
	"runtime/debug"

	"golang.org/x/sys/unix"
)

// osFile is a segment of the operating system. Bytes are not written but stored
// into a shared mapping of the file: they survive the death of the process as
// those of a write do, and a record costs no system call. What is mapped has
// its room on the disk before, so that a full disk is an error of WriteAt and
// no fault. Until Close the file may end with zeros.
type osFile struct {
	*os.File
	mapped []byte // from offset start on; nil: nothing is
	start  int64
	end    int64 // of the last write
	plain  bool  // mapping it has failed: it is written
}

// windowSize is how much of a segment is mapped at once, in bytes.
const windowSize = 256 << 10

func openFile(path string, flags int) (file, error) {
	f, err := os.OpenFile(path, flags, 0o600)
	if err != nil {
		return nil, err
	}
	return &osFile{File: f}, nil
}

// WriteAt writes p. If the process dies meanwhile, a beginning of it is there,
// in whole records. Not safe for concurrent use.
func (f *osFile) WriteAt(p []byte, off int64) (int, error) {
	f.end = off + int64(len(p))
	if f.window(off) && f.store(p, off) {
		return len(p), nil
	}
	return f.File.WriteAt(p, off)
}

// window makes sure that what lies between off and end is mapped, and reports
// whether it is.
func (f *osFile) window(off int64) bool {
	if f.plain || off >= f.start && f.end <= f.start+int64(len(f.mapped)) {
		return !f.plain
	}
	start := off &^ int64(os.Getpagesize()-1)
	size := max(windowSize, f.end-start)
	f.unmap()
	err := unix.Fallocate(int(f.Fd()), 0, start, size)
	if err == nil {
		f.start = start
		f.mapped, err = unix.Mmap(int(f.Fd()), start, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	}
	f.plain = err != nil
	return !f.plain
}

// shortest is the size of the shortest record. Pieces of it that are stored one
// after another leave no later record whole where an earlier one is not.
const shortest = frameSize + fixedSize

// store copies p into the mapping. It is false where the kernel could not bring
// a page in or get it ready (the disk has failed, is read-only now, somebody
// has truncated the file): a write will say which.
func (f *osFile) store(p []byte, off int64) (ok bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		switch r := recover().(type) {
		case nil:
		case interface{ Addr() uintptr }: // a fault
			f.plain = true
			f.unmap()
		default:
			panic(r)
		}
	}()
	to := f.mapped[off-f.start:]
	for len(p) > 0 {
		n := copy(to, p[:min(len(p), shortest)])
		p, to = p[n:], to[n:]
	}
	return true
}

func (f *osFile) unmap() {
	if f.mapped != nil {
		_ = unix.Munmap(f.mapped) // it is a mapping of ours: nothing can fail
		f.mapped = nil
	}
}

// Truncate cuts the file off at size.
func (f *osFile) Truncate(size int64) error {
	f.unmap()
	return f.File.Truncate(size)
}

// Datasync makes the content and the size durable.
func (f *osFile) Datasync() error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EINTR) {
			return &fs.PathError{Op: "fdatasync", Path: f.Name(), Err: err}
		}
	}
}

// Close cuts off the zeros after the last write. A crash before leaves them.
func (f *osFile) Close() error {
	var err error
	if f.mapped != nil {
		err = f.Truncate(f.end)
	}
	return errors.Join(err, f.File.Close())
}
