package main

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/silvermirror/smfs/backend"
	"github.com/silvermirror/smfs/fs/tree"
)

// unpackTo writes what an engine sends of an old version to a path: a file or link,
// or a directory with all that was in it. It appears complete or not at all. A file
// takes the place of one; nothing else is replaced.
func unpackTo(to string, in io.Reader) error {
	t := tar.NewReader(in)
	h, err := t.Next()
	if err != nil {
		return fmt.Errorf("read the old version: %w", err)
	}
	if err := checkFree(to, h.Typeflag); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(to), ".smfs-restore-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	root, err := os.OpenRoot(tmp)
	if err != nil {
		return err
	}
	defer root.Close()
	u := &unpacker{root: root, tar: t}
	name := path.Clean(h.Name)
	for ; err == nil; h, err = t.Next() {
		if err := u.unpack(h); err != nil {
			return fmt.Errorf("write %s: %w", h.Name, err)
		}
	}
	if err != io.EOF {
		return fmt.Errorf("read the old version: %w", err)
	}
	if _, err := io.Copy(io.Discard, in); err != nil { // the engine has the last word
		return err
	}
	if err := u.finishDirs(); err != nil {
		return err
	}
	if err := unix.Rename(filepath.Join(tmp, name), to); err != nil { // os.Rename refuses an empty directory
		return fmt.Errorf("move the old version to %s: %w", to, err)
	}
	return nil
}

// checkFree refuses to replace what is not going to be.
func checkFree(to string, kind byte) error {
	info, err := os.Lstat(to)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	switch {
	case kind == tar.TypeDir && info.IsDir():
		list, err := os.ReadDir(to)
		if err == nil && len(list) > 0 {
			err = backend.WithHint(fmt.Errorf("%s is not empty: %w", to, backend.ErrRefused), "give a new directory: nothing is written over files there")
		}
		return err
	case kind == tar.TypeDir:
		return fmt.Errorf("write a directory to %s: not a directory: %w", to, backend.ErrInvalid)
	case !info.Mode().IsRegular():
		return fmt.Errorf("write to %s: not a regular file: %w", to, backend.ErrInvalid)
	}
	return nil
}

// unpacker writes the entries of an archive below a directory, out of which no name
// or link in it leads.
type unpacker struct {
	root *os.Root
	tar  *tar.Reader
	dirs []*tar.Header // whose modes are set once they are filled
}

func (u *unpacker) unpack(h *tar.Header) error {
	switch h.Typeflag {
	case tar.TypeDir:
		u.dirs = append(u.dirs, h)
		if path.Clean(h.Name) == "." {
			return nil
		}
		return u.root.Mkdir(path.Clean(h.Name), 0o700)
	case tar.TypeSymlink:
		return u.root.Symlink(h.Linkname, h.Name)
	case tar.TypeLink:
		return u.root.Link(h.Linkname, h.Name)
	case tar.TypeReg:
		return u.file(h)
	}
	return fmt.Errorf("entry of unknown kind %q: %w", h.Typeflag, backend.ErrDamaged)
}

func (u *unpacker) file(h *tar.Header) error {
	f, err := u.root.OpenFile(h.Name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	content := tree.NewHoleWriter(int(f.Fd()))
	if _, err := io.Copy(content, u.tar); err != nil {
		return err
	}
	if err := content.End(); err != nil {
		return err
	}
	if err := setXattrs(f, h); err != nil {
		return err
	}
	if err := f.Chmod(fileMode(h)); err != nil {
		return err
	}
	return errors.Join(f.Close(), u.root.Chtimes(h.Name, h.ModTime, h.ModTime))
}

// finishDirs sets attributes of directories, those below before those above.
func (u *unpacker) finishDirs() error {
	for i := len(u.dirs) - 1; i >= 0; i-- {
		h := u.dirs[i]
		f, err := u.root.Open(path.Clean(h.Name))
		if err != nil {
			return err
		}
		err = errors.Join(setXattrs(f, h), f.Chmod(fileMode(h)), f.Close())
		if err != nil {
			return fmt.Errorf("write %s: %w", h.Name, err)
		}
	}
	return nil
}

// fileMode is the mode of an entry: of the bits above the permissions, the sticky
// one, and for directories setgid.
func fileMode(h *tar.Header) os.FileMode {
	mode := os.FileMode(h.Mode).Perm()
	if h.Mode&unix.S_ISVTX != 0 {
		mode |= os.ModeSticky
	}
	if h.Mode&unix.S_ISGID != 0 {
		mode |= os.ModeSetgid
	}
	return mode
}

// setXattrs sets an entry's attributes, where the filesystem has any.
func setXattrs(f *os.File, h *tar.Header) error {
	for key, value := range h.PAXRecords {
		name, ok := strings.CutPrefix(key, "SCHILY.xattr.")
		if !ok {
			continue
		}
		if err := unix.Fsetxattr(int(f.Fd()), name, []byte(value), 0); err != nil && !errors.Is(err, unix.ENOTSUP) {
			return fmt.Errorf("set attribute %s: %w", name, err)
		}
	}
	return nil
}
