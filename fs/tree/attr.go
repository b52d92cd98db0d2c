package tree

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Attr is what SetAttr sets; nil fields stay.
type Attr struct {
	Mode   *uint32  // permissions
	Mtime  *int64   // ns since 1970
	Xattrs *[]Xattr // all user.* attributes but the reserved ones
}

// SetAttr changes attributes of what is in a slot. A file's mtime is set only
// while nobody has it open for writing (else ErrBusy). ErrChanged: the slot is
// not as expected. The root is path "".
func (t *Tree) SetAttr(at Slot, want Expect, a Attr) (Info, error) {
	const op = "set attributes of"
	info, err := t.setAttr(op, at, want, a)
	if err != nil {
		return Info{}, err
	}
	t.notify(func(n Notifier) { n.Attr(info.Key) })
	return info, nil
}

func (t *Tree) setAttr(op string, at Slot, want Expect, a Attr) (Info, error) {
	dir, name, err := t.openSlotOrRoot(op, at)
	if err != nil {
		return Info{}, err
	}
	defer dir.Release()
	defer t.Lock(dir.Key())()
	fd, err := t.openBelow(dir.FD(), name, unix.O_PATH)
	if err == unix.ENOENT {
		err = ErrChanged
	}
	if err != nil {
		return Info{}, t.fail(op, at.Path, err)
	}
	defer unix.Close(fd)
	before, err := StatFD(fd)
	if err == nil && !want.matches(before) {
		err = ErrChanged
	}
	if err == nil {
		err = setInode(fd, before, want, a)
	}
	if err != nil {
		return Info{}, t.fail(op, at.Path, err)
	}
	info, err := StatFD(fd)
	return info, t.fail(op, at.Path, err)
}

// openSlotOrRoot is openSlot that has a slot for the root too: "." in itself.
func (t *Tree) openSlotOrRoot(op string, at Slot) (*dirRef, string, error) {
	if at.Path != "" {
		return t.openSlot(op, at)
	}
	dir, err := t.openDir(op, "")
	return dir, ".", err
}

func setInode(fd int, before Info, want Expect, a Attr) error {
	if a.Mtime != nil && before.IsRegular() {
		g, err := holdInode(fd, want)
		if err != nil {
			return err
		}
		defer g.release()
	}
	if a.Xattrs != nil {
		if err := setXattrsAnyway(fd, before, *a.Xattrs); err != nil {
			return err
		}
	}
	if a.Mode != nil && !before.IsSymlink() {
		if err := unix.Chmod(procFD(fd), *a.Mode); err != nil {
			return fmt.Errorf("mode: %w", err)
		}
	}
	if a.Mtime != nil {
		return setMtime(fd, *a.Mtime)
	}
	return nil
}

// setMtime works for O_PATH fds of symlinks too.
func setMtime(fd int, ns int64) error {
	err := unix.UtimesNanoAt(fd, "", timesFor(ns), unix.AT_EMPTY_PATH)
	if err == unix.EINVAL || err == unix.ENOENT { // before Linux 5.8
		err = unix.UtimesNanoAt(unix.AT_FDCWD, procFD(fd), timesFor(ns), 0)
	}
	if err != nil {
		return fmt.Errorf("mtime: %w", err)
	}
	return nil
}

// setXattrsAnyway lets an ordinary user set attributes of a read-only file of
// their own, as a change of mode would.
func setXattrsAnyway(fd int, before Info, list []Xattr) error {
	err := setXattrs(fd, list)
	if !errors.Is(err, unix.EACCES) || int(before.UID) != os.Geteuid() {
		return err
	}
	if err := unix.Chmod(procFD(fd), before.Perm()|0o600); err != nil {
		return fmt.Errorf("mode: %w", err)
	}
	err = setXattrs(fd, list)
	return errors.Join(err, unix.Chmod(procFD(fd), before.Perm()))
}
