package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// commons is the directory in which all writers work on the same few names, so
// that operations race with each other. Nobody can say what it should hold; it
// is what the head must hold.
const commons = "commons"

// mess makes one change there. That others were faster is no failure.
func (w *writer) mess() error {
	if w.doubt != nil || w.err != nil {
		return errStopped
	}
	err := w.messOnce()
	var errno unix.Errno
	if err == nil || !w.killed.Load() && errors.As(err, &errno) && lost(errno) {
		return nil
	}
	if !w.killed.Load() {
		w.err = fmt.Errorf("%s in the commons: %w", w.name, err)
	}
	return err
}

// lost tells whether an error is what comes of a race for a name.
func lost(e unix.Errno) bool {
	switch e {
	case unix.ENOENT, unix.EEXIST, unix.ENOTEMPTY, unix.ENOTDIR, unix.EISDIR, unix.EINVAL, unix.ELOOP, unix.EPERM:
		return true
	}
	return false
}

func (w *writer) messOnce() error {
	names := []string{"1", "2", "3", "4", "d", "d/1", "d/2", "d/e", "d/e/1", "f", "f/1", "f/e"}
	a, b := w.common(pick(w, names)), w.common(pick(w, names))
	switch w.random.IntN(10) {
	case 0, 1:
		return os.WriteFile(a, w.content(), 0o644)
	case 2:
		return os.Mkdir(a, 0o755)
	case 3, 4:
		return unix.Rename(a, b)
	case 5:
		return os.Remove(a)
	case 6:
		return os.Link(a, b)
	case 7:
		return os.Symlink("1", a)
	case 8:
		return unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
	}
	tmp := fmt.Sprint(a, ".", w.name)
	if err := os.WriteFile(tmp, w.content(), 0o600); err != nil {
		return err
	}
	return unix.Rename(tmp, a)
}

func (w *writer) common(name string) string { return filepath.Join(w.dir, commons, name) }
