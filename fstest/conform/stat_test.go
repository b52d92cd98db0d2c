package conform

import (
	"fmt"

	"golang.org/x/sys/unix"
)

func statChecks() []check {
	return []check{
		{name: "stat", do: statFields},
		{name: "statx", do: statxFields},
		{name: "statx flags", do: statxFlags},
		{name: "blocks", do: blocks},
		{name: "statfs", do: statfs},
	}
}

// statx asks for all of a name, which it does not follow.
func (s *scene) statx(name string) *unix.Statx_t {
	s.t.Helper()
	var st unix.Statx_t
	s.ok(unix.Statx(unix.AT_FDCWD, s.p(name), unix.AT_SYMLINK_NOFOLLOW, unix.STATX_ALL, &st))
	return &st
}

// kinds makes a file of each kind that anybody can.
func (s *scene) kinds() []string {
	s.files("file")
	s.mkdir("dir")
	s.symlink("file", "link")
	s.ok(unix.Mkfifo(s.p("fifo"), 0o640))
	s.ok(unix.Mknod(s.p("socket"), unix.S_IFSOCK|0o600, 0))
	return []string{"file", "dir", "link", "fifo", "socket"}
}

func statFields(s *scene) {
	for _, name := range s.kinds() {
		st := s.stat(name)
		s.note(name, fmt.Sprintf("%o %d %d:%d size %d block %d", st.Mode, st.Nlink, st.Uid, st.Gid, st.Size, st.Blksize))
		s.is("a device of its scene", st.Dev == s.stat(".").Dev, true)
		fd := s.open(name, unix.O_PATH|unix.O_NOFOLLOW)
		again := s.fstat(fd)
		again.Atim = st.Atim // a look may have moved it
		s.is("fstat", *again == *st, true)
	}
}

// statx(2) says what stat does, and more.
func statxFields(s *scene) {
	for _, name := range s.kinds() {
		st, x := s.stat(name), s.statx(name)
		s.is("basic fields and birth time", x.Mask&(unix.STATX_BASIC_STATS|unix.STATX_BTIME), unix.STATX_BASIC_STATS|unix.STATX_BTIME)
		s.is(name, fmt.Sprint(x.Mode, x.Nlink, x.Uid, x.Gid, x.Size, x.Blocks, x.Blksize, x.Ino == st.Ino),
			fmt.Sprint(st.Mode, st.Nlink, st.Uid, st.Gid, st.Size, st.Blocks, st.Blksize, true))
		s.is("times", x.Mtime.Sec == st.Mtim.Sec && int64(x.Mtime.Nsec) == st.Mtim.Nsec && x.Ctime.Sec == st.Ctim.Sec && int64(x.Ctime.Nsec) == st.Ctim.Nsec, true)
		s.is("device", unix.Mkdev(x.Dev_major, x.Dev_minor) == st.Dev, true)
		s.is("the root of a mount", x.Attributes&unix.STATX_ATTR_MOUNT_ROOT, 0)
	}
}

func statxFlags(s *scene) {
	s.files("file")
	s.symlink("file", "link")
	fd := s.open("file", unix.O_RDWR)
	var x unix.Statx_t
	s.fails("by descriptor", unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_SIZE, &x), done)
	s.is("size", x.Size, 4)
	s.writeAt(fd, "more", 4)
	for _, flag := range []int{unix.AT_STATX_SYNC_AS_STAT, unix.AT_STATX_FORCE_SYNC} {
		s.fails("sync", unix.Statx(unix.AT_FDCWD, s.p("file"), flag, unix.STATX_BASIC_STATS, &x), done)
		s.is("size", x.Size, 8)
	}
	s.fails("don't sync", unix.Statx(unix.AT_FDCWD, s.p("file"), unix.AT_STATX_DONT_SYNC, unix.STATX_BASIC_STATS, &x), done)
	s.ok(unix.Statx(unix.AT_FDCWD, s.p("link"), 0, unix.STATX_TYPE, &x))
	s.is("follows", x.Mode&unix.S_IFMT == unix.S_IFREG, true)
	s.fails("both syncs", unix.Statx(unix.AT_FDCWD, s.p("file"), unix.AT_STATX_FORCE_SYNC|unix.AT_STATX_DONT_SYNC, unix.STATX_TYPE, &x), unix.EINVAL)
	s.fails("a reserved bit", unix.Statx(unix.AT_FDCWD, s.p("file"), 0, 1<<31, &x), unix.EINVAL)
	s.fails("an empty path", unix.Statx(fd, "", 0, unix.STATX_TYPE, &x), unix.ENOENT)
}

// stat(2): st_blocks are of 512 bytes; holes have none.
func blocks(s *scene) {
	fd := s.open("f", unix.O_CREAT|unix.O_RDWR)
	s.is("empty", s.stat("f").Blocks, 0)
	step := func(what string, err error) {
		s.ok(err)
		s.ok(unix.Fsync(fd)) // until then, where the data will be is open
		st := s.fstat(fd)
		s.note(what, fmt.Sprintf("size %d blocks %d", st.Size, st.Blocks))
		s.is("stat", s.stat("f").Blocks, st.Blocks)
	}
	_, err := unix.Pwrite(fd, make([]byte, 8192), 0)
	step("two pages", err)
	_, err = unix.Pwrite(fd, []byte("x"), 1<<20)
	step("behind a hole", err)
	step("allocated", unix.Fallocate(fd, unix.FALLOC_FL_KEEP_SIZE, 0, 64<<10))
	step("punched", unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 4096, 16<<10))
	step("cut", unix.Ftruncate(fd, 100))
	step("grown", unix.Ftruncate(fd, 1<<30))
	step("nothing", unix.Ftruncate(fd, 0))
}

// statvfs(3p). What is free changes all the time, and the type is the mount's.
func statfs(s *scene) {
	s.files("f")
	var st unix.Statfs_t
	s.ok(unix.Statfs(s.p("f"), &st))
	s.note("of a file", fmt.Sprint(st.Bsize, st.Frsize, st.Blocks, st.Files))
	s.is("longest name", st.Namelen, 255)
	s.ok(unix.Fstatfs(s.open("f", unix.O_RDONLY), &st))
	s.note("of a descriptor", fmt.Sprint(st.Bsize, st.Frsize, st.Blocks, st.Files, st.Namelen))
	s.is("something is free", st.Bavail > 0 && st.Bavail <= st.Bfree && st.Ffree > 0, true)
}
