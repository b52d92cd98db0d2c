package tree

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"
)

var (
	// ErrChanged: the slot does not hold what was expected. Nothing was done.
	// Where the slot was seen to be empty the error matches os.ErrNotExist too.
	ErrChanged = errors.New("changed on disk")
	// ErrBusy: a writable handle or mapping of the file exists. Nothing was done.
	ErrBusy = errors.New("open for writing")
	// ErrNotEmpty: the directory holds entries.
	ErrNotEmpty = errors.New("directory not empty")
	// ErrForeignMount: another filesystem is mounted at the path or above it.
	ErrForeignMount = errors.New("another filesystem is mounted there")
	// ErrNotDirectory: something other than a directory is where one is needed.
	ErrNotDirectory = errors.New("not a directory")
	// ErrNotRegular: the path is not a regular file.
	ErrNotRegular = errors.New("not a regular file")
	// ErrRootGone: the root itself was deleted; nothing is known about what was in it.
	ErrRootGone = errors.New("root directory was deleted")
	// ErrUnhealthy: the root is not the one that was marked.
	ErrUnhealthy = errors.New("root directory is not the marked one")
	// ErrPath: the path is not one ("", "..", "a//b", a NUL byte).
	ErrPath = errors.New("invalid path")
	// ErrUnsupported: the filesystem cannot do it (extended attributes, links).
	ErrUnsupported = errors.New("not supported by the filesystem")
	// ErrClosed: the Tree was closed.
	ErrClosed = errors.New("tree is closed")
)

// absentBelow says that a path is absent because Parent, above it, is no
// directory. It matches both os.ErrNotExist and ErrNotDirectory.
type absentBelow struct{ parent string }

func (e *absentBelow) Error() string { return fmt.Sprintf("%q is not a directory", e.parent) }

func (e *absentBelow) Is(target error) bool {
	return target == fs.ErrNotExist || target == ErrNotDirectory
}

// emptySlot is ErrChanged of a slot that was seen to be empty.
type emptySlot struct{}

func (emptySlot) Error() string { return "nothing is there" }

func (emptySlot) Is(target error) bool { return target == fs.ErrNotExist || target == ErrChanged }

// fail wraps err of an operation on path, translating what the kernel says
// into this package's terms. ENOENT passes as absence only if the root lives.
func (t *Tree) fail(op, path string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ENOENT):
		if gone := t.rootGone(); gone != nil {
			err = gone
		}
	case errors.Is(err, unix.EXDEV):
		err = ErrForeignMount
	case errors.Is(err, unix.ENOTEMPTY):
		err = ErrNotEmpty
	case errors.Is(err, unix.ENOTSUP):
		err = fmt.Errorf("%w (%w)", ErrUnsupported, err)
	}
	return &Error{Op: op, Path: path, Err: err}
}

// Error is a failed operation on a path.
type Error struct {
	Op   string
	Path string // relative to the root; raw bytes
	Err  error
}

func (e *Error) Error() string { return fmt.Sprintf("%s %q: %v", e.Op, e.Path, e.Err) }
func (e *Error) Unwrap() error { return e.Err }

// rootGone returns ErrRootGone (or why it cannot tell) unless the root is
// still linked: below a deleted directory every name is ENOENT.
func (t *Tree) rootGone() error {
	var st unix.Stat_t
	if err := unix.Fstat(t.rootFD, &st); err != nil {
		return fmt.Errorf("stat root: %w", err)
	}
	if st.Nlink == 0 {
		return ErrRootGone
	}
	return nil
}
