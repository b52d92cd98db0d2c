package tree

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// File is a regular file open for reading. It is not for concurrent use.
type File struct {
	Info // as of OpenFile

	t    *Tree
	path string
	fd   int
	look Info // the last look Quiet took
}

var _ io.ReadCloser = (*File)(nil)
var _ io.ReaderAt = (*File)(nil)

// OpenFile opens a regular file for reading, leaving its access time alone
// where that is allowed. ErrNotRegular: it is something else; nothing but its
// inode was touched then.
func (t *Tree) OpenFile(path string) (*File, error) {
	const op = "open"
	at, err := t.openEntry(op, path, unix.O_PATH)
	if err != nil {
		return nil, err
	}
	defer unix.Close(at)
	info, err := StatFD(at)
	if err != nil {
		return nil, t.fail(op, path, err)
	}
	if !info.IsRegular() {
		return nil, t.fail(op, path, ErrNotRegular)
	}
	fd, err := reopen(at, unix.O_RDONLY)
	if err != nil {
		return nil, t.fail(op, path, err)
	}
	if info, err = StatFD(fd); err != nil {
		unix.Close(fd)
		return nil, t.fail(op, path, err)
	}
	return &File{Info: info, t: t, path: path, fd: fd, look: info}, nil
}

// reopen opens the inode behind an O_PATH fd. O_NONBLOCK keeps a lease of
// somebody else's from blocking it.
func reopen(fd, flags int) (int, error) {
	flags |= unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC
	got, err := openRetry(procFD(fd), flags|unix.O_NOATIME)
	if err == unix.EPERM {
		got, err = openRetry(procFD(fd), flags)
	}
	if err == unix.EAGAIN {
		err = ErrBusy
	}
	return got, err
}

func openRetry(path string, flags int) (int, error) {
	for {
		fd, err := unix.Open(path, flags, 0)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// procFD names the inode behind fd for calls that take no fd. The kernel goes
// to the inode at once; the text of the link is never looked at.
func procFD(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

func (f *File) Read(p []byte) (int, error) {
	for {
		n, err := unix.Read(f.fd, p)
		if err == unix.EINTR {
			continue
		}
		return f.result(n, len(p), err)
	}
}

func (f *File) ReadAt(p []byte, off int64) (int, error) {
	done := 0
	for done < len(p) {
		n, err := unix.Pread(f.fd, p[done:], off+int64(done))
		if err == unix.EINTR {
			continue
		}
		if n, err = f.result(n, len(p)-done, err); err != nil {
			return done + n, err
		}
		done += n
	}
	return done, nil
}

func (f *File) result(n, want int, err error) (int, error) {
	switch {
	case err != nil:
		return 0, fmt.Errorf("read %q: %w", f.path, err)
	case n == 0 && want > 0:
		return 0, io.EOF
	}
	return n, nil
}

// Stat looks at the open inode again.
func (f *File) Stat() (Info, error) {
	info, err := StatFD(f.fd)
	if err != nil {
		return Info{}, fmt.Errorf("stat open %q: %w", f.path, err)
	}
	return info, nil
}

// Quiet reports whether nobody holds a writable handle or mapping of the file
// now; it may block for 50 µs. It says nothing about before: whoever has read
// the file compares Stat with Info too.
//
// Where leases cannot be had (some network filesystems, files of other users),
// Quiet reports instead whether the inode is as it was at the Quiet before, or
// at OpenFile, and was last written 2 s ago or more: two looks with no change
// between. A mapping that is written between may be missed.
func (f *File) Quiet() (bool, error) {
	err := takeLease(f.fd)
	switch err {
	case nil:
		return true, f.wrap("drop lease of", dropLease(f.fd))
	case ErrBusy:
		return false, nil
	case errNoLease:
		return f.twoLooks(time.Now())
	}
	return false, f.wrap("lease", err)
}

// settled is how long ago a file must have been written to pass for quiet
// where there are no leases.
const settled = 2 * time.Second

func (f *File) twoLooks(now time.Time) (bool, error) {
	look, err := f.Stat()
	if err != nil {
		return false, err
	}
	same := Exactly(f.look).matches(look)
	f.look = look
	age := now.Sub(time.Unix(0, look.Mtime)).Abs() // an mtime far ahead says nothing
	return same && age >= settled, nil
}

func (f *File) wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %q: %w", op, f.path, err)
}

// Close closes the file. A second Close returns os.ErrClosed.
func (f *File) Close() error {
	if f.fd < 0 {
		return f.wrap("close", os.ErrClosed)
	}
	fd := f.fd
	f.fd = -1
	return f.wrap("close", unix.Close(fd))
}
