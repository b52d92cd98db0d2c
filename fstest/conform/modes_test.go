package conform

import (
	"fmt"
	"maps"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

func modeChecks() []check {
	return []check{
		{name: "umask", do: umasks},
		{name: "modes at creation", do: modesAtCreation},
		{name: "chmod", do: chmods},
		{name: "chown", do: chowns},
		{name: "mode 000", do: noPermission},
		{name: "directory permissions", do: directoryPermissions},
		{name: "descriptors keep their rights", do: descriptorsKeep},
		{name: "access", do: access},
		{name: "own writes and setuid", do: ownWrites},
		{name: "setgid directories", do: setgidDirectories},
	}
}

func umasks(s *scene) {
	for _, mask := range []int{0, 0o022, 0o077, 0o777} {
		s.umask(mask, func() {
			for _, mode := range []uint32{0o666, 0o777, 0o604} {
				name := fmt.Sprintf("%03o-%03o", mask, mode)
				want := fmt.Sprintf("%04o", mode&^uint32(mask))
				fd, err := unix.Open(s.p("file "+name), unix.O_CREAT|unix.O_RDWR|unix.O_CLOEXEC, mode) // whatever the mode, this open may
				s.fails("open", err, done)
				s.fds = append(s.fds, fd)
				s.is("mode", s.mode("file "+name), want)
				s.ok(unix.Mkdir(s.p("dir "+name), mode))
				s.is("mkdir", s.mode("dir "+name), want)
				s.ok(unix.Mkfifo(s.p("fifo "+name), mode))
				s.is("mkfifo", s.mode("fifo "+name), want)
				s.ok(unix.Unlink(s.p("file " + name)))
				s.ok(unix.Rmdir(s.p("dir " + name)))
			}
		})
	}
}

// open(2) takes the special bits; mkdir(2) the sticky one alone.
func modesAtCreation(s *scene) {
	s.umask(0, func() {
		for _, mode := range []uint32{0o4755, 0o2755, 0o1755, 0o7777, 0o6000} {
			name := fmt.Sprintf("%04o", mode)
			fd, err := unix.Open(s.p("file "+name), unix.O_CREAT|unix.O_RDWR|unix.O_CLOEXEC, mode)
			s.ok(err)
			s.fds = append(s.fds, fd)
			s.is("open", s.mode("file "+name), name)
			s.ok(unix.Mkdir(s.p("dir "+name), mode))
			s.is("mkdir", s.mode("dir "+name), fmt.Sprintf("%04o", mode&0o1777))
			s.chmod("file "+name, 0o600)
			s.chmod("dir "+name, 0o700)
		}
	})
}

// chmod(2): all twelve bits; setgid only in a group of one's own.
func chmods(s *scene) {
	s.files("f")
	s.mkdir("d")
	s.symlink("f", "l")
	for _, mode := range []uint32{0, 0o777, 0o4711, 0o2644, 0o1600, 0o7777, 0o640} {
		for _, name := range []string{"f", "d"} {
			s.fails("chmod", unix.Chmod(s.p(name), mode), done)
			s.is(name, s.mode(name), fmt.Sprintf("%04o", mode))
		}
	}
	s.fails("bits above", unix.Chmod(s.p("f"), 0o100600|unix.S_IFDIR), done)
	s.is("mode", fmt.Sprintf("%o", s.stat("f").Mode), "100600")
	s.fails("a link", unix.Fchmodat(unix.AT_FDCWD, s.p("l"), 0o600, unix.AT_SYMLINK_NOFOLLOW), unix.EOPNOTSUPP)
	s.fails("through a link", unix.Chmod(s.p("l"), 0o644), done)
	s.is("mode", s.mode("f"), "0644")
	s.fails("absent", unix.Chmod(s.p("absent"), 0o600), unix.ENOENT)
	s.chmod("d", 0o755)
}

// chown(2): setuid and setgid of a file go, also where root does it.
func chowns(s *scene) {
	s.files("f")
	s.mkdir("d")
	s.symlink("f", "l")
	uid, gid := os.Getuid(), os.Getgid()
	for _, mode := range []uint32{0o6755, 0o6644, 0o2755} {
		for _, owner := range [][2]int{{uid, gid}, {uid, -1}, {-1, gid}, {-1, -1}} {
			s.chmod("f", mode)
			s.chmod("d", mode)
			s.fails("chown", unix.Chown(s.p("f"), owner[0], owner[1]), done)
			s.note("file", s.mode("f"))
			s.fails("chown", unix.Chown(s.p("d"), owner[0], owner[1]), done)
			s.is("directory", s.mode("d"), fmt.Sprintf("%04o", mode))
		}
	}
	s.chmod("d", 0o755)
	s.fails("another user", unix.Chown(s.p("f"), 61001, -1), s.unlessRoot(unix.EPERM))
	s.fails("another group", unix.Chown(s.p("f"), -1, 61001), s.unlessRoot(unix.EPERM))
	s.fails("the link", unix.Lchown(s.p("l"), 61001, 61002), s.unlessRoot(unix.EPERM))
	s.note("owners", fmt.Sprint(s.stat("f").Uid, s.stat("f").Gid, s.stat("l").Uid, s.stat("l").Gid))
}

// Without the bits the owner may not either; root may.
func noPermission(s *scene) {
	s.files("f")
	s.chmod("f", 0)
	s.fails("read", s.opens("f", unix.O_RDONLY), s.unlessRoot(unix.EACCES))
	s.fails("write", s.opens("f", unix.O_WRONLY), s.unlessRoot(unix.EACCES))
	s.fails("truncate", unix.Truncate(s.p("f"), 1), s.unlessRoot(unix.EACCES))
	s.fails("O_PATH", s.opens("f", unix.O_PATH), done)
	s.fails("utimes", unix.UtimesNanoAt(unix.AT_FDCWD, s.p("f"), []unix.Timespec{{Sec: 1}, {Sec: 2}}, 0), done)
	s.fails("rename", s.rename("f", "g"), done)
	s.fails("link", s.link("g", "h"), done) // the owner may, whatever protected_hardlinks says
	s.fails("unlink", unix.Unlink(s.p("h")), done)
	s.chmod("g", 0o200)
	s.fails("read and write", s.opens("g", unix.O_RDWR), s.unlessRoot(unix.EACCES))
	s.fails("write", s.opens("g", unix.O_WRONLY), done)
	s.chmod("g", 0o444)
	s.fails("O_TRUNC", s.opens("g", unix.O_RDONLY|unix.O_TRUNC), s.unlessRoot(unix.EACCES))
	s.chmod("g", 0o644)
}

// path_resolution(7): to list takes r, to go through x, to change names w and x.
func directoryPermissions(s *scene) {
	s.mkdir("d")
	s.files("d/f", "mine")
	for _, mode := range []uint32{0, 0o100, 0o200, 0o300, 0o400, 0o500, 0o600} {
		s.chmod("d", mode)
		try := func(what string, needs uint32, err error) {
			want := done
			if mode&needs != needs {
				want = s.unlessRoot(unix.EACCES)
			}
			s.fails(fmt.Sprintf("%03o %s", mode, what), err, want)
		}
		try("list", 0o400, s.opens("d", unix.O_RDONLY|unix.O_DIRECTORY))
		try("go through", 0o100, s.opens("d/f", unix.O_RDONLY))
		try("create", 0o300, s.opens("d/new", unix.O_CREAT|unix.O_WRONLY))
		try("mkdir", 0o300, unix.Mkdir(s.p("d/sub"), 0o755))
		try("symlink", 0o300, unix.Symlink("x", s.p("d/link")))
		try("rename into", 0o300, s.rename("mine", "d/mine"))
		try("O_TMPFILE", 0o300, s.opens("d", unix.O_TMPFILE|unix.O_WRONLY))
		try("chmod below", 0o100, unix.Chmod(s.p("d/f"), 0o644))
		s.chmod("d", 0o700)
		s.note("names", s.list("d"))
		for _, name := range []string{"d/new", "d/link"} {
			_ = unix.Unlink(s.p(name))
		}
		_ = unix.Rmdir(s.p("d/sub"))
		_ = s.rename("d/mine", "mine")
	}
}

// What a descriptor may is decided when it is opened.
func descriptorsKeep(s *scene) {
	s.files("f")
	fd := s.open("f", unix.O_RDWR)
	s.chmod("f", 0)
	s.writeAt(fd, "written", 0)
	s.is("read", s.readAt(fd, 10, 0), `"written"`)
	s.fails("ftruncate", unix.Ftruncate(fd, 5), done)
	s.fails("fallocate", unix.Fallocate(fd, 0, 0, 6), done)
	s.fails("fsync", unix.Fsync(fd), done)
	_, err := unix.Seek(fd, 0, unix.SEEK_DATA)
	s.fails("seek", err, done)
	s.fails("open by /proc", func() error {
		again, err := unix.Open(procPath(fd), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			unix.Close(again)
		}
		return err
	}(), s.unlessRoot(unix.EACCES))
	s.chmod("f", 0o644)
	created, err := unix.Open(s.p("new"), unix.O_CREAT|unix.O_RDWR|unix.O_CLOEXEC, 0)
	s.fails("create with mode 000", err, done)
	s.fds = append(s.fds, created)
	s.writeAt(created, "text", 0)
	s.fails("ftruncate", unix.Ftruncate(created, 2), done)
	s.fails("fchmod", unix.Fchmod(created, 0o600), done)
	s.is("content", s.read("new"), `"te"`)
}

// access(2): by the real ids, execution by any x.
func access(s *scene) {
	s.files("f")
	s.mkdir("d")
	for _, mode := range []uint32{0, 0o100, 0o200, 0o400, 0o700, 0o001, 0o077} {
		s.chmod("f", mode)
		s.chmod("d", mode)
		for _, name := range []string{"f", "d"} {
			for _, want := range []uint32{unix.F_OK, unix.R_OK, unix.W_OK, unix.X_OK, unix.R_OK | unix.W_OK | unix.X_OK} {
				s.note(fmt.Sprintf("%s %03o for %o", name, mode, want), errno(unix.Access(s.p(name), want)))
			}
		}
	}
	s.chmod("f", 0o644)
	s.chmod("d", 0o755)
	s.fails("absent", unix.Access(s.p("absent"), unix.F_OK), unix.ENOENT)
	s.fails("unknown", unix.Access(s.p("f"), 0o77), unix.EINVAL)
}

// write(2): setuid goes when who writes is not root.
func ownWrites(s *scene) {
	for _, what := range slices.Sorted(maps.Keys(changes)) {
		for _, mode := range []uint32{0o6755, 0o6644} {
			s.write("f", "text")
			s.chmod("f", mode)
			changes[what](s, "f")
			kept := mode
			if !s.root {
				kept &^= unix.S_ISUID
				if mode&unix.S_IXGRP != 0 {
					kept &^= unix.S_ISGID
				}
			}
			s.is(what, s.mode("f"), fmt.Sprintf("%04o", kept))
			s.ok(unix.Unlink(s.p("f")))
		}
	}
}

// inode(7), S_ISGID of a directory: new files have its group, new directories the
// bit as well.
func setgidDirectories(s *scene) {
	s.mkdir("d")
	if s.root {
		s.give("d", -1, staff)
	}
	s.chmod("d", 0o2775)
	s.umask(0o022, func() {
		s.files("d/f")
		s.ok(unix.Mkdir(s.p("d/sub"), 0o777))
		s.ok(unix.Symlink("f", s.p("d/l")))
		s.ok(unix.Mkfifo(s.p("d/p"), 0o666))
	})
	gid := s.stat("d").Gid
	for _, name := range []string{"d/f", "d/sub", "d/l", "d/p"} {
		s.is("group of "+name, s.stat(name).Gid == gid, true)
	}
	s.is("of a directory", s.mode("d/sub"), "2755")
	s.is("of a file", s.mode("d/f"), "0644")
}
