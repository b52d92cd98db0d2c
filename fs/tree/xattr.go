package tree

import (
	"fmt"
	"sort"
	"strings"

	"golang.org/x/sys/unix"
)

// Xattr is one extended attribute.
type Xattr struct {
	Name  string // with its "user." prefix
	Value string
}

const (
	userPrefix = "user."
	// ReservedXattrs begins the attributes that smfs keeps for itself.
	ReservedXattrs = "user.smfs."
)

func mirrored(name string) bool {
	return strings.HasPrefix(name, userPrefix) && !strings.HasPrefix(name, ReservedXattrs)
}

// Xattrs returns the user.* attributes of path, sorted by name, without the
// reserved ones, and the inode that has them. Symlinks and special files have
// none, nor has anything on a filesystem without attributes.
func (t *Tree) Xattrs(path string) ([]Xattr, Info, error) {
	const op = "read attributes of"
	fd, err := t.openEntry(op, path, unix.O_PATH)
	if err != nil {
		return nil, Info{}, err
	}
	defer unix.Close(fd)
	info, err := StatFD(fd)
	if err != nil {
		return nil, info, t.fail(op, path, err)
	}
	if !info.IsRegular() && !info.IsDir() {
		return nil, info, nil
	}
	list, err := xattrsOf(fd)
	return list, info, t.fail(op, path, err)
}

// Xattrs is Tree.Xattrs of the open inode.
func (f *File) Xattrs() ([]Xattr, error) {
	list, err := xattrsOf(f.fd)
	return list, f.wrap("read attributes of", err)
}

// xattrsOf works for O_PATH fds too.
func xattrsOf(fd int) ([]Xattr, error) {
	names, err := xattrNames(fd)
	if err != nil {
		return nil, err
	}
	var list []Xattr
	for _, name := range names {
		value, err := getXattr(fd, name)
		if err == unix.ENODATA {
			continue // removed since
		}
		if err != nil {
			return nil, fmt.Errorf("attribute %q: %w", name, err)
		}
		list = append(list, Xattr{Name: name, Value: value})
	}
	return list, nil
}

func xattrNames(fd int) ([]string, error) {
	raw, err := readGrowing(func(buf []byte) (int, error) { return unix.Listxattr(procFD(fd), buf) })
	if err == unix.ENOTSUP {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var names []string
	for name := range strings.SplitSeq(raw, "\x00") {
		if mirrored(name) {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return names, nil
}

func getXattr(fd int, name string) (string, error) {
	return readGrowing(func(buf []byte) (int, error) { return unix.Getxattr(procFD(fd), name, buf) })
}

// readGrowing calls read with larger buffers until it no longer says ERANGE.
func readGrowing(read func([]byte) (int, error)) (string, error) {
	for size := 256; ; size *= 4 {
		buf := make([]byte, size)
		n, err := read(buf)
		if err == unix.ERANGE && size <= 1<<20 {
			continue
		}
		if err != nil {
			return "", err
		}
		return string(buf[:n]), nil
	}
}

// setXattrs makes the mirrored attributes of fd exactly list.
func setXattrs(fd int, list []Xattr) error {
	want := make(map[string]bool, len(list))
	for _, x := range list {
		if !mirrored(x.Name) {
			return fmt.Errorf("attribute %q is not for mirroring: %w", x.Name, unix.EPERM)
		}
		want[x.Name] = true
	}
	have, err := xattrsOf(fd)
	if err != nil {
		return err
	}
	is := make(map[string]string, len(have))
	for _, x := range have {
		is[x.Name] = x.Value
		if want[x.Name] {
			continue
		}
		if err := unix.Removexattr(procFD(fd), x.Name); err != nil && err != unix.ENODATA {
			return fmt.Errorf("remove attribute %q: %w", x.Name, err)
		}
	}
	for _, x := range list {
		if v, ok := is[x.Name]; ok && v == x.Value {
			continue
		}
		if err := unix.Setxattr(procFD(fd), x.Name, []byte(x.Value), 0); err != nil {
			return fmt.Errorf("set attribute %q: %w", x.Name, err)
		}
	}
	return nil
}
