package tree

import (
	"bytes"
	"encoding/binary"
	"sort"
	"sync"

	"golang.org/x/sys/unix"
)

// Name is one entry of a directory.
type Name struct {
	Name string
	Mode uint32 // S_IFMT bits alone
	Ino  uint64
}

// ReadDir lists a directory, sorted bytewise, without "." and ".." and this
// package's temps. ErrNotDirectory: it is none.
func (t *Tree) ReadDir(path string) ([]Name, error) {
	const op = "read directory"
	fd, err := toList(func(how int) (int, error) { return t.open(path, how) })
	if err == unix.ENOTDIR || err == unix.ELOOP {
		err = ErrNotDirectory
	}
	if err != nil {
		return nil, t.fail(op, path, err)
	}
	defer unix.Close(fd)
	names, _, err := t.readNames(fd)
	return names, t.fail(op, path, err)
}

// toList opens a directory to be listed; its time of access stays where that is
// allowed: nobody has looked.
func toList(open func(how int) (int, error)) (int, error) {
	const how = unix.O_RDONLY | unix.O_DIRECTORY
	fd, err := open(how | unix.O_NOATIME)
	if err == unix.EPERM { // it is somebody else's
		fd, err = open(how)
	}
	return fd, err
}

var direntBuffers = sync.Pool{New: func() any { return new([64 << 10]byte) }}

// readNames reads all of an open directory; temps come apart from the rest.
func (t *Tree) readNames(fd int) (names, temps []Name, err error) {
	buf := direntBuffers.Get().(*[64 << 10]byte)
	defer direntBuffers.Put(buf)
	for {
		n, err := unix.Getdents(fd, buf[:])
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		if n == 0 {
			break
		}
		names = appendNames(names, buf[:n])
	}
	if names, temps, err = t.completeNames(fd, names); err != nil {
		return nil, nil, err
	}
	sort.Slice(names, func(i, j int) bool { return names[i].Name < names[j].Name })
	return names, temps, nil
}

// appendNames decodes linux_dirent64 records: ino 8, off 8, length 2, type 1,
// name up to NUL.
func appendNames(names []Name, buf []byte) []Name {
	const header = 19
	for len(buf) > header {
		length := int(binary.NativeEndian.Uint16(buf[16:]))
		if length <= header || length > len(buf) {
			break
		}
		name := buf[header:length]
		if end := bytes.IndexByte(name, 0); end >= 0 {
			name = name[:end]
		}
		if s := string(name); s != "." && s != ".." && s != "" {
			names = append(names, Name{Name: s, Mode: uint32(buf[18]) << 12, Ino: binary.NativeEndian.Uint64(buf)})
		}
		buf = buf[length:]
	}
	return names
}

// completeNames takes temps out and asks for the types that the filesystem
// did not give. An entry that went meanwhile is left out.
func (t *Tree) completeNames(fd int, all []Name) (names, temps []Name, err error) {
	names = all[:0]
	for _, n := range all {
		if IsTemp(n.Name) {
			temps = append(temps, n)
			continue
		}
		if n.Mode == 0 {
			info, err := t.statAt(fd, n.Name)
			if err == unix.ENOENT {
				continue
			}
			if err != nil && err != unix.EXDEV {
				return nil, nil, err
			}
			n.Mode = info.Mode & unix.S_IFMT
			if err == unix.EXDEV {
				n.Mode = unix.S_IFDIR
			}
		}
		names = append(names, n)
	}
	return names, temps, nil
}

// Readlink returns a symlink's target, of any length the kernel allows, and the
// inode that has it.
func (t *Tree) Readlink(path string) (string, Info, error) {
	const op = "read link"
	fd, err := t.openEntry(op, path, unix.O_PATH)
	if err != nil {
		return "", Info{}, err
	}
	defer unix.Close(fd)
	target, err := readlinkFD(fd)
	if err != nil {
		return "", Info{}, t.fail(op, path, err)
	}
	info, err := StatFD(fd)
	return target, info, t.fail(op, path, err)
}

func readlinkFD(fd int) (string, error) {
	buf := make([]byte, 4097) // PATH_MAX and one to see truncation
	n, err := unix.Readlinkat(fd, "", buf)
	if err == unix.ENOENT { // what Linux says of an fd that is no symlink
		err = unix.EINVAL
	}
	if err != nil {
		return "", err
	}
	if n == len(buf) {
		return "", unix.ENAMETOOLONG
	}
	return string(buf[:n]), nil
}
