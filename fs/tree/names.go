package tree

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Remove empties a slot that is not a directory. What was in it goes only if
// it was still as expected, without a writer, after it had left the slot.
// ErrChanged, ErrBusy: the slot is as it was.
func (t *Tree) Remove(at Slot, want Expect) error {
	const op = "remove"
	dir, name, err := t.openSlot(op, at)
	if err != nil {
		return err
	}
	defer dir.Release()
	defer t.Lock(dir.Key())()
	if err := t.remove(dir, name, want); err != nil {
		return t.fail(op, at.Path, err)
	}
	t.notify(func(n Notifier) {
		n.Changed(dir.Key(), name, want.info, Info{})
		n.Attr(want.info.Key) // it may have other names: how many, shows there
	})
	return nil
}

func (t *Tree) remove(dir *dirRef, name string, want Expect) error {
	if want.absent || want.info.IsDir() {
		return fmt.Errorf("only what is no directory is removed: %w", ErrChanged)
	}
	g, err := t.hold(dir, name, want)
	if err != nil {
		return err
	}
	defer g.release()
	temp := t.reserve() + swapSuffix
	defer t.forgetTemp(temp)
	if err := unix.Renameat(dir.FD(), name, dir.FD(), temp); err != nil {
		if err == unix.ENOENT {
			err = ErrChanged
		}
		return err
	}
	if err := t.displaced(dir, temp, want, g); err != nil {
		// An occupied slot is somebody's newer file: then this stays beside it.
		return errors.Join(err, t.renameNew(dir.FD(), temp, dir.FD(), name))
	}
	t.retire(dir, temp)
	return nil
}

// retire deletes what was displaced from a slot. The slot has changed by then,
// so a failure is only reported; RemoveTemps will list what stays.
func (t *Tree) retire(dir *dirRef, temp string) {
	if err := unix.Unlinkat(dir.FD(), temp, 0); err != nil && t.o.Problem != nil {
		t.o.Problem(temp, t.fail("remove displaced", temp, err))
	}
}

// Mkdir makes a directory with exactly that mode and the parent's owner.
// ErrChanged: the slot is not empty.
func (t *Tree) Mkdir(at Slot, mode uint32) (Info, error) {
	const op = "make directory"
	dir, name, err := t.openSlot(op, at)
	if err != nil {
		return Info{}, err
	}
	defer dir.Release()
	defer t.Lock(dir.Key())()
	info, err := t.mkdir(dir, name, mode)
	if err != nil {
		return Info{}, t.fail(op, at.Path, err)
	}
	t.notify(func(n Notifier) { n.Changed(dir.Key(), name, Info{}, info) })
	return info, nil
}

// mkdir finishes the directory under a temp name: whoever sees it in its slot
// sees it with its mode and owner.
func (t *Tree) mkdir(dir *dirRef, name string, mode uint32) (Info, error) {
	if err := t.compare(dir, name, Absent()); err != nil {
		return Info{}, err
	}
	temp := t.reserve()
	defer t.forgetTemp(temp)
	if err := unix.Mkdirat(dir.FD(), temp, 0o700); err != nil {
		return Info{}, err
	}
	err := t.finishDir(dir, temp, mode)
	if err == nil {
		err = t.renameNew(dir.FD(), temp, dir.FD(), name)
	}
	if err == unix.EEXIST {
		err = ErrChanged
	}
	if err != nil {
		return Info{}, errors.Join(err, unix.Unlinkat(dir.FD(), temp, unix.AT_REMOVEDIR))
	}
	return t.statAt(dir.FD(), name)
}

func (t *Tree) finishDir(dir *dirRef, name string, mode uint32) error {
	fd, err := t.openBelow(dir.FD(), name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := giveTo(fd, "", unix.AT_EMPTY_PATH, dir, nil); err != nil {
		return err
	}
	return unix.Fchmod(fd, mode)
}

// Rmdir removes an empty directory. ErrNotEmpty, ErrChanged.
func (t *Tree) Rmdir(at Slot, want Expect) error {
	const op = "remove directory"
	dir, name, err := t.openSlot(op, at)
	if err != nil {
		return err
	}
	defer dir.Release()
	defer t.Lock(dir.Key())()
	err = t.compare(dir, name, want)
	if err == nil {
		err = unix.Unlinkat(dir.FD(), name, unix.AT_REMOVEDIR)
	}
	if err == unix.ENOTDIR {
		err = ErrNotDirectory
	}
	if err != nil {
		return t.fail(op, at.Path, err)
	}
	t.notify(func(n Notifier) { n.Changed(dir.Key(), name, want.info, Info{}) })
	return nil
}

// Rename moves what is in one slot, which may be open for writing, to another
// slot, which must be empty. ErrChanged: the first is not as expected or the
// second not empty; both are as they were.
func (t *Tree) Rename(from, to Slot, want Expect) (Info, error) {
	const op = "rename"
	src, fromName, err := t.openSlot(op, from)
	if err != nil {
		return Info{}, err
	}
	defer src.Release()
	dst, toName, err := t.openSlot(op, to)
	if err != nil {
		return Info{}, err
	}
	defer dst.Release()
	defer t.Lock2(src.Key(), dst.Key())()
	info, err := t.rename(src, fromName, dst, toName, want)
	if err != nil {
		return Info{}, t.fail(op, from.Path, err)
	}
	t.notify(func(n Notifier) { n.Moved(src.Key(), fromName, dst.Key(), toName, info) })
	return info, nil
}

func (t *Tree) rename(src *dirRef, from string, dst *dirRef, to string, want Expect) (Info, error) {
	if want.absent {
		return Info{}, fmt.Errorf("nothing to rename: %w", ErrChanged)
	}
	if err := t.compare(src, from, want); err != nil {
		return Info{}, err
	}
	if err := t.renameNew(src.FD(), from, dst.FD(), to); err != nil {
		if err == unix.EEXIST || err == unix.ENOENT {
			err = ErrChanged
		}
		return Info{}, err
	}
	now, err := t.statAt(dst.FD(), to)
	if err == nil && now.Key != want.info.Key {
		err = ErrChanged
	}
	if err != nil {
		return Info{}, errors.Join(err, t.renameNew(dst.FD(), to, src.FD(), from))
	}
	return asExpected(now, want), nil
}

// Link fills an empty slot with another name of a file. ErrChanged: the file
// is not as expected, or the slot not empty.
func (t *Tree) Link(from, to Slot, want Expect) (Info, error) {
	const op = "link"
	src, fromName, err := t.openSlot(op, from)
	if err != nil {
		return Info{}, err
	}
	defer src.Release()
	dst, toName, err := t.openSlot(op, to)
	if err != nil {
		return Info{}, err
	}
	defer dst.Release()
	defer t.Lock2(src.Key(), dst.Key())()
	info, err := t.link(src, fromName, dst, toName, want)
	if err != nil {
		return Info{}, t.fail(op, from.Path, err)
	}
	t.notify(func(n Notifier) {
		n.Changed(dst.Key(), toName, Info{}, info)
		n.Attr(info.Key)
	})
	return info, nil
}

func (t *Tree) link(src *dirRef, from string, dst *dirRef, to string, want Expect) (Info, error) {
	if want.absent || want.info.IsDir() {
		return Info{}, fmt.Errorf("only what is no directory is linked: %w", ErrChanged)
	}
	if err := t.compare(src, from, want); err != nil {
		return Info{}, err
	}
	if err := unix.Linkat(src.FD(), from, dst.FD(), to, 0); err != nil {
		if err == unix.EEXIST || err == unix.ENOENT {
			err = ErrChanged
		}
		return Info{}, err
	}
	now, err := t.statAt(dst.FD(), to)
	if err == nil && now.Key != want.info.Key {
		err = errors.Join(ErrChanged, t.remove(dst, to, Exactly(now)))
	}
	if err != nil {
		return Info{}, err
	}
	return asExpected(now, want), nil
}

// asExpected makes an Info of what was written to meanwhile differ from the
// next look at it.
func asExpected(now Info, want Expect) Info {
	if !want.sameContent(now) {
		now.Size, now.Mtime, now.Ctime = want.info.Size, want.info.Mtime, want.info.Ctime
	}
	return now
}
