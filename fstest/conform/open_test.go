package conform

import (
	"golang.org/x/sys/unix"
)

func openChecks() []check {
	return []check{
		{name: "open flags", do: openFlags},
		{name: "create through links", do: createThroughLinks},
		{name: "openat2", do: openat2},
		{name: "O_PATH", do: openPath},
		{name: "file handles", do: fileHandles},
	}
}

// open(2), ERRORS.
func openFlags(s *scene) {
	s.files("file", "full")
	s.mkdir("dir")
	s.symlink("file", "link")
	s.symlink("dir", "dirlink")
	s.fails("O_DIRECTORY of a file", s.opens("file", unix.O_DIRECTORY), unix.ENOTDIR)
	s.fails("O_DIRECTORY of a link to a directory", s.opens("dirlink", unix.O_DIRECTORY), done)
	s.fails("O_DIRECTORY|O_NOFOLLOW of it", s.opens("dirlink", unix.O_DIRECTORY|unix.O_NOFOLLOW), unix.ENOTDIR)
	s.fails("O_WRONLY of a directory", s.opens("dir", unix.O_WRONLY), unix.EISDIR)
	s.fails("O_RDWR of a directory", s.opens("dir", unix.O_RDWR), unix.EISDIR)
	s.fails("O_TRUNC of a directory", s.opens("dir", unix.O_RDONLY|unix.O_TRUNC), unix.EISDIR)
	s.fails("O_CREAT of a directory", s.opens("dir", unix.O_RDONLY|unix.O_CREAT), unix.EISDIR)
	s.fails("O_CREAT|O_DIRECTORY", s.opens("new", unix.O_CREAT|unix.O_DIRECTORY), unix.EINVAL)
	s.fails("O_NOFOLLOW of a link", s.opens("link", unix.O_NOFOLLOW), unix.ELOOP)
	s.fails("O_NOFOLLOW of a file", s.opens("file", unix.O_NOFOLLOW), done)
	s.fails("O_TMPFILE to read", s.opens(".", unix.O_TMPFILE|unix.O_RDONLY), unix.EINVAL)
	s.fails("O_TMPFILE in a file", s.opens("file", unix.O_TMPFILE|unix.O_RDWR), unix.ENOTDIR)
	s.fails("O_TMPFILE in absent", s.opens("absent", unix.O_TMPFILE|unix.O_RDWR), unix.ENOENT)
	s.fails("O_EXCL without O_CREAT", s.opens("file", unix.O_EXCL), done)
	s.fails("O_CREAT of a file", s.opens("file", unix.O_CREAT|unix.O_RDWR), done)
	s.is("its content", s.read("file"), `"file"`)
	s.fails("O_RDONLY|O_TRUNC of a file", s.opens("full", unix.O_TRUNC), done) // unspecified by POSIX; Linux truncates
	s.is("its content", s.read("full"), `""`)
	s.fails("O_CREAT|O_TRUNC of a file", s.opens("file", unix.O_CREAT|unix.O_TRUNC|unix.O_WRONLY), done)
	s.is("its content", s.read("file"), `""`)
}

// O_CREAT follows a link that dangles; with O_EXCL it never does.
func createThroughLinks(s *scene) {
	s.mkdir("dir")
	s.symlink("dir/new", "to new")
	s.symlink("absent/new", "to nowhere")
	s.symlink("dir", "to dir")
	s.fails("O_EXCL", s.opens("to new", unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY), unix.EEXIST)
	s.fails("O_NOFOLLOW", s.opens("to new", unix.O_CREAT|unix.O_NOFOLLOW|unix.O_WRONLY), unix.ELOOP)
	s.is("created so far", s.list("dir"), "")
	s.fails("follow", s.opens("to new", unix.O_CREAT|unix.O_WRONLY), done)
	s.is("created", s.list("dir"), "new")
	s.fails("O_EXCL of what it leads to", s.opens("to new", unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY), unix.EEXIST)
	s.fails("to nowhere", s.opens("to nowhere", unix.O_CREAT|unix.O_WRONLY), unix.ENOENT)
	s.fails("mkdir", unix.Mkdir(s.p("to nowhere"), 0o755), unix.EEXIST)
	s.fails("in a link's directory", s.opens("to dir/x", unix.O_CREAT|unix.O_WRONLY), done)
}

// openat2(2), RESOLVE_*.
func openat2(s *scene) {
	s.mkdir("d", "d/e")
	s.files("outside", "d/file")
	s.symlink("file", "d/link")
	s.symlink("../outside", "d/out")
	s.symlink("/file", "d/absolute")
	d := s.open("d", unix.O_RDONLY|unix.O_DIRECTORY)
	try := func(path string, resolve uint64) error {
		fd, err := -1, error(unix.EAGAIN)
		for err == unix.EAGAIN { // somewhere on the machine something was renamed meanwhile
			fd, err = unix.Openat2(d, path, &unix.OpenHow{Flags: unix.O_RDONLY | unix.O_CLOEXEC, Resolve: resolve})
		}
		if err == nil {
			unix.Close(fd)
		}
		return err
	}
	s.fails("beneath", try("e/../file", unix.RESOLVE_BENEATH), done)
	s.fails("beneath, and out", try("../outside", unix.RESOLVE_BENEATH), unix.EXDEV)
	s.fails("beneath, and a link out", try("out", unix.RESOLVE_BENEATH), unix.EXDEV)
	s.fails("in a root, an absolute link", try("absolute", unix.RESOLVE_IN_ROOT), done)
	s.fails("in a root, a link out", try("out", unix.RESOLVE_IN_ROOT), unix.ENOENT)
	s.fails("no links", try("link", unix.RESOLVE_NO_SYMLINKS), unix.ELOOP)
	s.fails("one filesystem", try("out", unix.RESOLVE_NO_XDEV), done)
	s.fails("an unknown flag", try("file", 1<<60), unix.EINVAL)
}

// open(2), O_PATH: a place, not a file.
func openPath(s *scene) {
	s.files("file", "d.file")
	s.mkdir("d")
	s.symlink("file", "link")
	fd := s.open("file", unix.O_PATH)
	_, err := unix.Read(fd, make([]byte, 1))
	s.fails("read", err, unix.EBADF)
	s.fails("fchmod", unix.Fchmod(fd, 0o600), unix.EBADF)
	s.fails("ftruncate", unix.Ftruncate(fd, 0), unix.EBADF)
	_, err = unix.Fgetxattr(fd, "user.k", nil)
	s.fails("fgetxattr", err, unix.EBADF)
	s.is("fstat", s.fstat(fd).Ino == s.stat("file").Ino, true)
	s.fails("chmod by /proc", unix.Chmod(procPath(fd), 0o640), done)
	s.ok(s.rename("file", "d/moved"))
	again, err := unix.Open(procPath(fd), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	s.fails("open by /proc after a rename", err, done)
	s.fds = append(s.fds, again)
	s.is("read it", s.readAt(again, 10, 0), `"file"`)
	l := s.open("link", unix.O_PATH|unix.O_NOFOLLOW)
	buf := make([]byte, 10)
	n, err := unix.Readlinkat(l, "", buf)
	s.ok(err)
	s.is("readlink", text(buf[:n]), `"file"`)
	s.is("mode", s.mode("d/moved"), "0640")
}

// open_by_handle_at(2), which root may.
func fileHandles(s *scene) {
	s.files("f")
	fd := s.open("f", unix.O_RDONLY)
	handle, _, err := unix.NameToHandleAt(unix.AT_FDCWD, s.p("f"), 0)
	s.fails("name to handle", err, done)
	again, err := unix.OpenByHandleAt(fd, handle, unix.O_RDONLY|unix.O_CLOEXEC)
	s.fails("open by handle", err, s.unlessRoot(unix.EPERM))
	if err == nil {
		s.fds = append(s.fds, again)
		s.is("content", s.readAt(again, 10, 0), `"f"`)
	}
}
