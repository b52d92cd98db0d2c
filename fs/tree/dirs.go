package tree

import (
	"fmt"

	"github.com/silvermirror/smfs/journal"
	"golang.org/x/sys/unix"
)

// dirRef is an open directory: an O_PATH fd, good for *at calls and not for
// reading, until Release.
type dirRef struct {
	fd   int // -1 once released
	info Info
}

func (r *dirRef) FD() int { return r.fd }

// Key identifies the directory, and its slot lock.
func (r *dirRef) Key() journal.FileKey { return r.info.Key }

// Release closes the fd. It is idempotent.
func (r *dirRef) Release() {
	if r.fd >= 0 {
		unix.Close(r.fd)
		r.fd = -1
	}
}

// openDir walks to a directory.
func (t *Tree) openDir(op, path string) (*dirRef, error) {
	fd, err := t.open(path, unix.O_PATH|unix.O_DIRECTORY)
	if err == unix.ENOTDIR || err == unix.ELOOP {
		return nil, fmt.Errorf("%s %q: %w", op, path, ErrNotDirectory)
	}
	if err != nil {
		return nil, t.fail(op, path, err)
	}
	return t.refer(op, path, fd)
}

// openParent walks to the directory that holds path's slot. A parent that is
// proven to be no directory means that path is absent.
func (t *Tree) openParent(op, path string) (*dirRef, string, error) {
	dir, name, err := split(path)
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", op, err)
	}
	fd, err := t.open(dir, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return nil, "", t.fail(op, path, t.provenAbsent(path, err))
	}
	ref, err := t.refer(op, path, fd)
	return ref, name, err
}

// openSlot walks to the directory of a slot. ErrChanged, with the directory's
// path: the path leads to another one.
func (t *Tree) openSlot(op string, s Slot) (*dirRef, string, error) {
	dir, name, err := t.openParent(op, s.Path)
	if err == nil && s.Dir != (journal.FileKey{}) && dir.Key() != s.Dir {
		dir.Release()
		path, _, _ := split(s.Path)
		return nil, "", &Error{Op: op + " in", Path: path, Err: ErrChanged}
	}
	return dir, name, err
}

// refer takes over an fd.
func (t *Tree) refer(op, path string, fd int) (*dirRef, error) {
	info, err := StatFD(fd)
	if err != nil {
		unix.Close(fd)
		return nil, t.fail(op, path, err)
	}
	return &dirRef{fd: fd, info: info}, nil
}
