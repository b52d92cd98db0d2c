package conform

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

func namelessChecks() []check {
	return []check{
		{name: "unlinked open file", do: unlinkedFile},
		{name: "unlinked open directory", do: unlinkedDirectory},
		{name: "one name, two files", do: nameAnew},
		{name: "numbers used again", do: numbersAgain},
		{name: "O_TMPFILE", do: tmpfile},
		{name: "O_TMPFILE with O_EXCL", do: tmpfileExclusive},
		{name: "O_TMPFILE never linked", do: tmpfileUnlinked},
	}
}

// unlink(2): a file that somebody has open stays until it is closed, and can do
// all that others can.
func unlinkedFile(s *scene) {
	s.files("f")
	fd, path := s.open("f", unix.O_RDWR), s.open("f", unix.O_PATH)
	ino := s.fstat(fd).Ino
	s.ok(unix.Unlink(s.p("f")))
	s.is("links", s.fstat(fd).Nlink, 0)
	s.is("inode", s.fstat(fd).Ino == ino, true)
	s.writeAt(fd, "written", 1)
	s.is("read", s.readAt(fd, 100, 0), `"fwritten"`)
	s.fails("fchmod", unix.Fchmod(fd, 0o641), done)
	s.fails("fchown", unix.Fchown(fd, -1, -1), done)
	s.fails("ftruncate", unix.Ftruncate(fd, 3), done)
	s.fails("fallocate", unix.Fallocate(fd, 0, 0, 5000), done)
	s.fails("fsetxattr", unix.Fsetxattr(fd, "user.k", []byte("v"), 0), done)
	buf := make([]byte, 100)
	n, err := unix.Fgetxattr(fd, "user.k", buf)
	s.fails("fgetxattr", err, done)
	s.is("value", text(buf[:n]), `"v"`)
	s.fails("fremovexattr", unix.Fremovexattr(fd, "user.k"), done)
	s.fails("futimens", unix.UtimesNanoAt(unix.AT_FDCWD, procPath(fd), []unix.Timespec{{Sec: 5}, {Sec: 6}}, 0), done)
	s.fails("fsync", unix.Fsync(fd), done)
	for _, fd := range []int{fd, path} {
		st := s.fstat(fd)
		s.is("seen", fmt.Sprintf("%o %d %d %d", st.Mode, st.Size, st.Mtim.Sec, st.Nlink), "100641 5000 6 0")
	}
	again, err := unix.Open(procPath(path), unix.O_RDWR|unix.O_CLOEXEC, 0)
	s.fails("open by /proc", err, done)
	s.fds = append(s.fds, again)
	s.writeAt(again, "twice", 0)
	s.is("read", s.readAt(fd, 5, 0), `"twice"`)
	err = unix.Linkat(unix.AT_FDCWD, procPath(fd), unix.AT_FDCWD, s.p("g"), unix.AT_SYMLINK_FOLLOW)
	s.fails("link again", err, unix.ENOENT) // only what O_TMPFILE made comes to a name
	s.is("left", s.list("."), "")
}

func unlinkedDirectory(s *scene) {
	s.mkdir("d")
	fd := s.open("d", unix.O_RDONLY|unix.O_DIRECTORY)
	s.ok(unix.Rmdir(s.p("d")))
	s.is("links", s.fstat(fd).Nlink, 0)
	s.fails("fchmod", unix.Fchmod(fd, 0o750), done)
	s.is("mode", fmt.Sprintf("%o", s.fstat(fd).Mode), "40750")
	s.fails("futimens", unix.UtimesNanoAt(unix.AT_FDCWD, procPath(fd), []unix.Timespec{{Sec: 5}, {Sec: 6}}, 0), done)
	s.is("mtime", s.fstat(fd).Mtim.Sec, 6)
	s.fails("fsync", unix.Fsync(fd), done)
	_, err := unix.Getdents(fd, make([]byte, 1000))
	s.fails("list", err, unix.ENOENT)
	_, err = unix.Openat(fd, "x", unix.O_CREAT|unix.O_WRONLY, 0o644)
	s.fails("create", err, unix.ENOENT)
	s.fails("mkdir", unix.Mkdirat(fd, "x", 0o755), unix.ENOENT)
	_, err = unix.Openat(fd, ".", unix.O_TMPFILE|unix.O_RDWR, 0o644)
	s.fails("O_TMPFILE", err, unix.EPERM) // ext4 refuses to make an inode there
	s.files("f")
	s.fails("link into", unix.Linkat(unix.AT_FDCWD, s.p("f"), fd, "x", 0), unix.ENOENT)
	s.fails("rename into", unix.Renameat(unix.AT_FDCWD, s.p("f"), fd, "x"), unix.ENOENT)
	s.is("left", s.list("."), "f")
}

// What is at a name after an unlink is another file, whatever is still cached.
func nameAnew(s *scene) {
	var fds []int
	for i := range 5 {
		s.write("f", fmt.Sprint("file ", i))
		s.ok(unix.Setxattr(s.p("f"), "user.i", fmt.Append(nil, i), 0))
		s.chmod("f", 0o600+uint32(i))
		fds = append(fds, s.open("f", unix.O_RDWR))
		s.ok(unix.Unlink(s.p("f")))
	}
	s.mkdir("f")
	s.is("now a directory", s.list("f"), "")
	s.ok(unix.Rmdir(s.p("f")))
	s.symlink("fds", "f")
	for i, fd := range fds {
		s.is("an old one", s.readAt(fd, 10, 0), fmt.Sprintf("%q", fmt.Sprint("file ", i)))
		s.is("its mode", fmt.Sprintf("%o", s.fstat(fd).Mode), fmt.Sprintf("%o", 0o100600+i))
	}
}

// An inode number is free when its file has gone, and the next file may have it at
// once, of whatever kind.
func numbersAgain(s *scene) {
	makers := []func(p string) error{
		func(p string) error { return unix.Mkdir(p, 0o755) },
		func(p string) error { return unix.Mkfifo(p, 0o644) },
		func(p string) error { return unix.Symlink("x", p) },
		func(p string) error { return unix.Mknod(p, unix.S_IFREG|0o644, 0) },
	}
	kinds := []uint32{unix.S_IFDIR, unix.S_IFIFO, unix.S_IFLNK, unix.S_IFREG}
	wrong := 0
	for i := range 200 {
		s.ok(s.opens(".", unix.O_TMPFILE|unix.O_RDWR))
		name := fmt.Sprint("new ", i%7)
		s.ok(makers[i%4](s.p(name)))
		if s.stat(name).Mode&unix.S_IFMT != kinds[i%4] {
			wrong++
		}
		if i%4 == 0 {
			s.ok(unix.Rmdir(s.p(name)))
		} else {
			s.ok(unix.Unlink(s.p(name)))
		}
	}
	s.is("of another kind", wrong, 0)
}

// open(2), O_TMPFILE; proc(5), /proc/self/fd.
func tmpfile(s *scene) {
	s.mkdir("d")
	fd := s.open("d", unix.O_TMPFILE|unix.O_RDWR, 0o640)
	s.is("links", s.fstat(fd).Nlink, 0)
	s.is("mode", fmt.Sprintf("%o", s.fstat(fd).Mode), "100640")
	s.is("listed", s.list("d"), "")
	s.writeAt(fd, strings.Repeat("x", 5000), 0)
	s.ok(unix.Fsetxattr(fd, "user.k", []byte("v"), 0))
	linkTo := func(name string) error {
		return unix.Linkat(unix.AT_FDCWD, procPath(fd), unix.AT_FDCWD, s.p(name), unix.AT_SYMLINK_FOLLOW)
	}
	s.files("taken")
	s.fails("link to a name that is taken", linkTo("taken"), unix.EEXIST)
	s.fails("link", linkTo("d/f"), done)
	s.fails("link again", linkTo("g"), done)
	s.is("links", s.links("d/f", "g"), "d/f=2 g=2")
	s.is("inode", s.stat("g").Ino == s.fstat(fd).Ino, true)
	s.writeAt(fd, "and on", 5000)
	s.is("size", s.stat("g").Size, 5006)
	s.is("read", s.read("d/f"), s.readAt(fd, 6000, 0))
	other := s.open(".", unix.O_TMPFILE|unix.O_WRONLY)
	err := unix.Linkat(other, "", unix.AT_FDCWD, s.p("h"), unix.AT_EMPTY_PATH)
	s.note("AT_EMPTY_PATH", errno(err)) // who may, depends on the kernel's version
}

func tmpfileExclusive(s *scene) {
	fd := s.open(".", unix.O_TMPFILE|unix.O_RDWR|unix.O_EXCL)
	s.writeAt(fd, "text", 0)
	err := unix.Linkat(unix.AT_FDCWD, procPath(fd), unix.AT_FDCWD, s.p("f"), unix.AT_SYMLINK_FOLLOW)
	s.fails("link", err, unix.ENOENT)
	s.is("left", s.list("."), "")
}

func tmpfileUnlinked(s *scene) {
	fd := s.open(".", unix.O_TMPFILE|unix.O_RDWR)
	s.writeAt(fd, "text", 0)
	s.fails("fchmod", unix.Fchmod(fd, 0o604), done)
	s.fails("ftruncate", unix.Ftruncate(fd, 2), done)
	s.fails("setxattr by /proc", unix.Setxattr(procPath(fd), "user.k", []byte("v"), 0), done)
	again, err := unix.Open(procPath(fd), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	s.fails("open by /proc", err, done)
	s.fds = append(s.fds, again)
	s.is("read", s.readAt(again, 10, 0), `"te"`)
	s.is("mode", fmt.Sprintf("%o", s.fstat(again).Mode), "100604")
	s.is("left", s.list("."), "")
}
