package conform

import (
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func timeChecks() []check {
	return []check{
		{name: "times of new names", do: timesOfNew},
		{name: "times of links", do: timesOfLinks},
		{name: "times of renames", do: timesOfRenames},
		{name: "times of writes", do: timesOfWrites},
		{name: "times of truncation", do: timesOfTruncation},
		{name: "times of fallocate and copies", do: timesOfAllocation},
		{name: "times of mappings", do: timesOfMappings},
		{name: "times of attributes", do: timesOfAttributes},
		{name: "times of failures", do: timesOfFailures},
		{name: "times of looking", do: timesOfLooking},
		{name: "access times", do: accessTimes},
		{name: "birth time", do: birthTime},
		{name: "times are now", do: timesAreNow},
	}
}

// tick waits until a file that is changed now gets a later time than one that was
// changed before. The kernel's clock for that is a coarse one.
func (s *scene) tick() {
	now := func() (ts unix.Timespec) {
		s.ok(unix.ClockGettime(unix.CLOCK_REALTIME_COARSE, &ts))
		return ts
	}
	for start := now(); now() == start; {
		time.Sleep(time.Millisecond)
	}
}

// moves records which times of files an act moves on, and says which it must:
// "f:c .:mc" are the change time of f, and modification and change time of the
// scene's directory. Files are looked at in the order given, by what their names
// are before the act, which may rename or remove them. Access times are out of it:
// see differences.
func (s *scene) moves(what, names, want string, act func()) {
	s.t.Helper()
	s.is(what, s.moved(names, act), want)
}

func (s *scene) moved(names string, act func()) string {
	s.t.Helper()
	fds := map[string]int{}
	before := map[string]*unix.Stat_t{}
	for _, name := range strings.Fields(names) {
		fds[name] = s.open(name, unix.O_PATH|unix.O_NOFOLLOW)
		before[name] = s.fstat(fds[name])
	}
	s.tick()
	act()
	var moved []string
	for _, name := range strings.Fields(names) {
		m := later(before[name], s.fstat(fds[name]))
		s.close(fds[name])
		if m != "" {
			moved = append(moved, name+":"+m)
		}
	}
	return strings.Join(moved, " ")
}

func later(a, b *unix.Stat_t) (which string) {
	for _, x := range []struct {
		name string
		a, b unix.Timespec
	}{{"m", a.Mtim, b.Mtim}, {"c", a.Ctim, b.Ctim}} {
		switch {
		case x.b.Nano() > x.a.Nano():
			which += x.name
		case x.b != x.a:
			which += "-" + x.name
		}
	}
	return which
}

// A new file's times are one time; its directory's move to it.
func timesOfNew(s *scene) {
	for _, c := range []struct {
		name   string
		create func(path string) error
	}{
		{"create", func(p string) error { return os.WriteFile(p, nil, 0o644) }},
		{"mkdir", func(p string) error { return unix.Mkdir(p, 0o755) }},
		{"symlink", func(p string) error { return unix.Symlink("x", p) }},
		{"mkfifo", func(p string) error { return unix.Mkfifo(p, 0o644) }},
	} {
		s.moves(c.name, ".", ".:mc", func() { s.ok(c.create(s.p(c.name))) })
		st := s.stat(c.name)
		s.is("its times", st.Mtim == st.Ctim, true)
	}
	s.moves("open what is there", ". create", "", func() { s.ok(s.opens("create", unix.O_CREAT|unix.O_WRONLY)) })
	s.moves("O_TMPFILE", ".", "", func() { s.ok(s.opens(".", unix.O_TMPFILE|unix.O_WRONLY)) })
}

// A change of a file's link count is one of its status.
func timesOfLinks(s *scene) {
	s.files("f")
	s.mkdir("d", "e")
	s.moves("link", "f d .", "f:c d:mc", func() { s.ok(s.link("f", "d/g")) })
	s.moves("unlink one of two", "f d .", "f:c d:mc", func() { s.ok(unix.Unlink(s.p("d/g"))) })
	s.moves("unlink the last", "f .", "f:c .:mc", func() { s.ok(unix.Unlink(s.p("f"))) })
	s.moves("rmdir", "d .", "d:c .:mc", func() { s.ok(unix.Rmdir(s.p("d"))) })
	s.moves("mkdir below", "e .", "e:mc", func() { s.ok(unix.Mkdir(s.p("e/x"), 0o755)) })
}

// rename(3p) leaves open whether the file's own times move; on Linux ctime does.
func timesOfRenames(s *scene) {
	s.files("f", "over", "x")
	s.mkdir("a", "b", "d", "e", "a/in")
	s.moves("within a directory", "f .", "f:c .:mc", func() { s.ok(s.rename("f", "g")) })
	s.moves("to another", "g . a", "g:c .:mc a:mc", func() { s.ok(s.rename("g", "a/g")) })
	s.moves("over another", "a/g over a .", "a/g:c over:c a:mc .:mc", func() { s.ok(s.rename("a/g", "over")) })
	s.moves("a directory", "d a .", "d:c .:mc", func() { s.ok(s.rename("d", "dd")) })
	s.moves("a directory to another", "a/in a b", "a/in:c a:mc b:mc", func() { s.ok(s.rename("a/in", "b/in")) })
	s.moves("exchange", "over x a .", "over:c x:c .:mc", func() { s.ok(s.rename("over", "x", unix.RENAME_EXCHANGE)) })
	s.ok(s.link("x", "y"))
	s.moves("onto a hard link of itself", "x .", "", func() { s.ok(s.rename("x", "y")) })
}

// write(3p): a write of nothing marks nothing.
func timesOfWrites(s *scene) {
	s.files("f")
	fd := s.open("f", unix.O_RDWR)
	s.moves("write", "f .", "f:mc", func() { s.writeAt(fd, "text", 0) })
	s.moves("write the same", "f", "f:mc", func() { s.writeAt(fd, "text", 0) })
	s.moves("write nothing", "f", "", func() { s.writeAt(fd, "", 0) })
	s.moves("append", "f", "f:mc", func() { s.writeAt(fd, "text", 4) })
	s.moves("close", "f", "", func() { s.close(fd) })
	direct := s.open("f", unix.O_WRONLY|unix.O_DSYNC)
	s.moves("write synchronously", "f", "f:mc", func() { s.writeAt(direct, "text", 0) })
	s.moves("fsync", "f", "", func() { s.ok(unix.Fsync(direct)) })
	s.is("fstat and stat", s.fstat(direct).Mtim == s.stat("f").Mtim, true)
}

// truncate(3p), and open(3p) with O_TRUNC.
func timesOfTruncation(s *scene) {
	s.files("f")
	s.write("empty", "")
	fd := s.open("f", unix.O_RDWR)
	s.moves("truncate", "f", "f:mc", func() { s.ok(unix.Truncate(s.p("f"), 10)) })
	s.moves("truncate to the same size", "f", "f:mc", func() { s.ok(unix.Truncate(s.p("f"), 10)) })
	s.moves("ftruncate", "f", "f:mc", func() { s.ok(unix.Ftruncate(fd, 5)) })
	s.moves("ftruncate to the same size", "f", "f:mc", func() { s.ok(unix.Ftruncate(fd, 5)) })
	s.moves("O_TRUNC", "f .", "f:mc", func() { s.ok(s.opens("f", unix.O_TRUNC|unix.O_WRONLY)) })
	s.moves("O_TRUNC of nothing", "empty", "empty:mc", func() { s.ok(s.opens("empty", unix.O_TRUNC|unix.O_WRONLY)) })
	s.moves("O_CREAT|O_TRUNC", "empty .", "empty:mc", func() { s.ok(s.opens("empty", unix.O_CREAT|unix.O_TRUNC|unix.O_WRONLY)) })
}

func timesOfAllocation(s *scene) {
	s.write("f", "some text that is long enough")
	s.files("from")
	fd, from := s.open("f", unix.O_RDWR), s.open("from", unix.O_RDONLY)
	s.moves("fallocate", "f", "f:mc", func() { s.ok(unix.Fallocate(fd, 0, 0, 100000)) })
	s.moves("keep the size", "f", "f:mc", func() { s.ok(unix.Fallocate(fd, unix.FALLOC_FL_KEEP_SIZE, 0, 200000)) })
	s.moves("punch a hole", "f", "f:mc", func() {
		s.ok(unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 4096, 8192))
	})
	s.moves("copy_file_range", "f from", "f:mc", func() {
		_, err := unix.CopyFileRange(from, nil, fd, nil, 4, 0)
		s.ok(err)
	})
	s.moves("copy nothing", "f", "", func() {
		_, err := unix.CopyFileRange(from, nil, fd, nil, 0, 0)
		s.ok(err)
	})
}

// What a mapping has stored shows when the file is closed, at the latest. See
// differences for when it should.
func timesOfMappings(s *scene) {
	s.write("f", string(make([]byte, 9000)))
	fd := s.open("f", unix.O_RDWR)
	m := s.mapped(fd, 9000, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	private := s.mapped(fd, 9000, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE)
	s.moves("load", "f", "", func() { _ = m[5000] })
	s.moves("store in a private mapping", "f", "", func() { private[100] = 'y' })
	s.tick()
	before := s.stat("f")
	s.tick()
	m[5000] = 'x'
	s.ok(unix.Msync(m, unix.MS_SYNC))
	s.ok(unix.Munmap(m))
	s.close(fd)
	s.eventually("times after close", func() bool { return later(before, s.stat("f")) == "mc" })
}

// chmod(2), chown(2), setxattr(2): the status, not the content.
func timesOfAttributes(s *scene) {
	s.files("f")
	s.mkdir("d")
	s.symlink("f", "l")
	for _, name := range []string{"f", "d"} {
		s.moves("chmod", name+" .", name+":c", func() { s.chmod(name, 0o700) })
		s.moves("chmod to the same", name, name+":c", func() { s.chmod(name, 0o700) })
		s.moves("chown", name+" .", name+":c", func() { s.ok(unix.Chown(s.p(name), os.Getuid(), os.Getgid())) })
		s.moves("setxattr", name+" .", name+":c", func() { s.ok(unix.Setxattr(s.p(name), "user.k", []byte("v"), 0)) })
		s.moves("removexattr", name, name+":c", func() { s.ok(unix.Removexattr(s.p(name), "user.k")) })
	}
	s.moves("chown of nothing", "f", "f:c", func() { s.ok(unix.Chown(s.p("f"), -1, -1)) })
	s.moves("lchown", "l f", "l:c", func() { s.ok(unix.Lchown(s.p("l"), os.Getuid(), -1)) })
}

// What fails changes no time.
func timesOfFailures(s *scene) {
	s.files("f", "g")
	s.mkdir("d", "d/in")
	s.moves("all of them", "f g d d/in .", "", func() {
		s.fails("create", s.opens("f", unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY), unix.EEXIST)
		s.fails("link", s.link("f", "g"), unix.EEXIST)
		s.fails("mkdir", unix.Mkdir(s.p("d"), 0o755), unix.EEXIST)
		s.fails("rmdir", unix.Rmdir(s.p("d")), unix.ENOTEMPTY)
		s.fails("unlink", unix.Unlink(s.p("absent")), unix.ENOENT)
		s.fails("rename", s.rename("d", "f"), unix.ENOTDIR)
		s.fails("rename without replacing", s.rename("f", "g", unix.RENAME_NOREPLACE), unix.EEXIST)
		s.fails("truncate", unix.Truncate(s.p("f"), -1), unix.EINVAL)
		s.fails("setxattr", unix.Setxattr(s.p("f"), "user.k", nil, unix.XATTR_REPLACE), unix.ENODATA)
		s.fails("removexattr", unix.Removexattr(s.p("f"), "user.k"), unix.ENODATA)
	})
}

// What only looks moves neither of the two.
func timesOfLooking(s *scene) {
	s.files("f", "d.x")
	s.mkdir("d")
	s.symlink("f", "l")
	s.moves("all of them", "f d l .", "", func() {
		s.read("f")
		s.list("d")
		s.read("l")
		s.attrs("f")
		s.ok(unix.Access(s.p("f"), unix.R_OK))
		s.ok(s.opens("f", unix.O_RDWR))
		s.mapped(s.open("f", unix.O_RDONLY), 1, unix.PROT_READ, unix.MAP_SHARED)
	})
}

// read(3p), readdir(3p), readlink(3p), as far as how the filesystem is mounted
// (relatime, noatime) lets them move the access time.
func accessTimes(s *scene) {
	s.files("f")
	s.mkdir("d")
	s.symlink("f", "l")
	for _, name := range []string{"f", "d", "l"} {
		s.ok(unix.UtimesNanoAt(unix.AT_FDCWD, s.p(name), old(s.stat(name)), unix.AT_SYMLINK_NOFOLLOW))
		s.is(name, s.stat(name).Atim.Sec, 1)
	}
	s.ok(s.opens("f", unix.O_RDONLY))
	s.is("an open moves none", s.stat("f").Atim.Sec, 1)
	s.read("f")
	s.list("d")
	_, err := unix.Readlink(s.p("l"), make([]byte, 10))
	s.ok(err)
	for _, name := range []string{"f", "d", "l"} {
		s.note(name+" has moved", s.stat(name).Atim.Sec > 1)
	}
	s.write("f", "more")
	s.ok(unix.UtimesNanoAt(unix.AT_FDCWD, s.p("f"), old(s.stat("f")), 0))
	s.readAt(s.open("f", unix.O_RDONLY|unix.O_NOATIME), 4, 0)
	s.is("O_NOATIME", s.stat("f").Atim.Sec, 1)
}

// statx(2): set once.
func birthTime(s *scene) {
	var before unix.Timespec
	s.ok(unix.ClockGettime(unix.CLOCK_REALTIME_COARSE, &before))
	s.files("f")
	birth := s.statx("f").Btime
	born := birth.Sec*1e9 + int64(birth.Nsec)
	s.is("not before the file", born >= before.Nano(), true)
	s.is("not after the change", born <= s.stat("f").Ctim.Nano(), true)
	s.tick()
	s.write("f", "more")
	s.ok(unix.UtimesNanoAt(unix.AT_FDCWD, s.p("f"), []unix.Timespec{{Sec: 3}, {Sec: 4}}, 0))
	s.ok(s.rename("f", "g"))
	s.is("it stays", s.statx("g").Btime == birth, true)
	s.files("h")
	s.ok(s.rename("h", "g"))
	s.is("of the next file", s.statx("g").Btime != birth, true)
}

// Times are the machine's, not an old answer.
func timesAreNow(s *scene) {
	var before unix.Timespec
	s.ok(unix.ClockGettime(unix.CLOCK_REALTIME_COARSE, &before))
	s.files("f")
	fd := s.open("f", unix.O_WRONLY)
	s.writeAt(fd, "text", 0)
	st := s.stat("f")
	for _, at := range []unix.Timespec{st.Mtim, st.Ctim} {
		s.is("now", at.Nano() >= before.Nano() && at.Nano() <= time.Now().UnixNano(), true)
	}
}
