package conform

import (
	"crypto/sha256"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// p is the path of a name in the scene.
func (s *scene) p(name string) string {
	if name == "." {
		return s.dir
	}
	return s.dir + "/" + name // as it is: "d/." is not "d"
}

// open opens a name; it is closed when the check ends.
func (s *scene) open(name string, flags int, mode ...uint32) int {
	s.t.Helper()
	fd, err := unix.Open(s.p(name), flags|unix.O_CLOEXEC, append(mode, 0o644)[0])
	s.ok(err)
	s.fds = append(s.fds, fd)
	return fd
}

// close closes before the end what open has opened.
func (s *scene) close(fd int) {
	for i := range s.fds {
		if s.fds[i] == fd {
			s.fds = append(s.fds[:i], s.fds[i+1:]...)
			break
		}
	}
	s.ok(unix.Close(fd))
}

// opens tries to open a name.
func (s *scene) opens(name string, flags int) error {
	fd, err := unix.Open(s.p(name), flags|unix.O_CLOEXEC, 0o644)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

func (s *scene) write(name, text string) {
	s.t.Helper()
	s.ok(os.WriteFile(s.p(name), []byte(text), 0o644))
}

// files makes files that contain their own names.
func (s *scene) files(names ...string) {
	s.t.Helper()
	for _, name := range names {
		s.write(name, name)
	}
}

func (s *scene) mkdir(names ...string) {
	s.t.Helper()
	for _, name := range names {
		s.ok(os.Mkdir(s.p(name), 0o755))
	}
}

func (s *scene) symlink(to, name string) {
	s.t.Helper()
	s.ok(unix.Symlink(to, s.p(name)))
}

func (s *scene) link(from, to string) error { return unix.Link(s.p(from), s.p(to)) }

func (s *scene) rename(from, to string, flags ...uint) error {
	return unix.Renameat2(unix.AT_FDCWD, s.p(from), unix.AT_FDCWD, s.p(to), append(flags, 0)[0])
}

// read is what a file contains, or the errno.
func (s *scene) read(name string) string {
	data, err := os.ReadFile(s.p(name))
	if err != nil {
		return errno(err)
	}
	return text(data)
}

// text is data, or what tells it from other data where it is long.
func text(data []byte) string {
	if len(data) <= 100 {
		return fmt.Sprintf("%q", data)
	}
	return fmt.Sprintf("%d bytes %.8x", len(data), sha256.Sum256(data))
}

func (s *scene) readAt(fd, size int, off int64) string {
	s.t.Helper()
	buf := make([]byte, size)
	n, err := unix.Pread(fd, buf, off)
	s.ok(err)
	return text(buf[:n])
}

func (s *scene) writeAt(fd int, data string, off int64) {
	s.t.Helper()
	n, err := unix.Pwrite(fd, []byte(data), off)
	s.ok(err)
	if n != len(data) {
		s.t.Errorf("wrote %d bytes of %d", n, len(data))
	}
}

// stat does not follow symbolic links.
func (s *scene) stat(name string) *unix.Stat_t {
	s.t.Helper()
	var st unix.Stat_t
	s.ok(unix.Lstat(s.p(name), &st))
	return &st
}

func (s *scene) fstat(fd int) *unix.Stat_t {
	s.t.Helper()
	var st unix.Stat_t
	s.ok(unix.Fstat(fd, &st))
	return &st
}

// mode is all that chmod sets, as ls does not show it: "6755".
func (s *scene) mode(name string) string {
	s.t.Helper()
	return fmt.Sprintf("%04o", s.stat(name).Mode&0o7777)
}

// links are the link counts of names.
func (s *scene) links(names ...string) string {
	s.t.Helper()
	var out []string
	for _, name := range names {
		out = append(out, fmt.Sprintf("%s=%d", name, s.stat(name).Nlink))
	}
	return strings.Join(out, " ")
}

// same tells whether two names are one file.
func (s *scene) same(a, b string) bool {
	s.t.Helper()
	return s.stat(a).Ino == s.stat(b).Ino
}

// list is what a directory lists, in order of the names.
func (s *scene) list(name string) string {
	s.t.Helper()
	entries, err := os.ReadDir(s.p(name))
	s.ok(err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

// eventually waits for what comes by itself, a moment after a call.
func (s *scene) eventually(what string, is func() bool) {
	for range 10000 {
		if is() {
			break
		}
		time.Sleep(time.Millisecond)
	}
	s.is(what, is(), true)
}

// procPath is the way back to an open file.
func procPath(fd int) string { return fmt.Sprintf("/proc/self/fd/%d", fd) }

// give gives a file to a user and a group (-1: as it is).
func (s *scene) give(name string, uid, gid int) {
	s.t.Helper()
	s.ok(unix.Lchown(s.p(name), uid, gid))
}

// chmod sets what umask, and os.FileMode, would keep off.
func (s *scene) chmod(name string, mode uint32) {
	s.t.Helper()
	s.ok(unix.Chmod(s.p(name), mode))
}
