package conform

import (
	"fmt"

	"golang.org/x/sys/unix"
)

func setTimeChecks() []check {
	return []check{
		{name: "utimensat", do: utimens},
		{name: "utimensat now and omit", do: utimensNow},
		{name: "utimensat of links and directories", do: utimensOthers},
		{name: "times stay after close", do: timesStay},
	}
}

// old are times to set: an access time long ago, and the rest as it is.
func old(st *unix.Stat_t) []unix.Timespec { return []unix.Timespec{{Sec: 1}, st.Mtim} }

// utimensat(2): to the nanosecond, before 1970 and after 2038; what ext4 cannot
// hold becomes the nearest that it can.
func utimens(s *scene) {
	s.files("f")
	for _, at := range []unix.Timespec{
		{Sec: 0}, {Sec: 1, Nsec: 1}, {Sec: 1e9, Nsec: 999999999}, {Sec: -1}, {Sec: -1, Nsec: 5e8}, {Sec: -1 << 31}, {Sec: 1<<31 - 1},
		{Sec: 1 << 31}, {Sec: 1<<32 + 5, Nsec: 7}, {Sec: 15032385535}, {Sec: 15032385536}, {Sec: 1 << 40}, {Sec: -1 << 40},
	} {
		err := unix.UtimesNanoAt(unix.AT_FDCWD, s.p("f"), []unix.Timespec{{Sec: 3}, at}, 0)
		s.fails(fmt.Sprint(at), err, done)
		s.note("mtime", s.stat("f").Mtim)
		s.note("by the descriptor", s.fstat(s.open("f", unix.O_RDONLY)).Mtim)
		if at.Sec >= -1<<31 && at.Sec <= 15032385535 {
			s.is("kept", s.stat("f").Mtim, at)
		}
	}
	s.files("f")
	s.moves("a time in the past", "f", "f:-mc", func() {
		s.ok(unix.UtimesNanoAt(unix.AT_FDCWD, s.p("f"), []unix.Timespec{{Sec: 3}, {Sec: -1 << 31}}, 0))
	})
	for _, nsec := range []int64{-1, 1e9, 1 << 40} {
		s.fails("nanoseconds", unix.UtimesNanoAt(unix.AT_FDCWD, s.p("f"), []unix.Timespec{{Nsec: nsec}, {}}, 0), unix.EINVAL)
	}
	s.fails("absent", unix.UtimesNanoAt(unix.AT_FDCWD, s.p("absent"), nil, 0), unix.ENOENT)
	s.ok(unix.UtimesNanoAt(unix.AT_FDCWD, s.p("f"), []unix.Timespec{{Sec: 3}, {Sec: 1600000000, Nsec: 123456789}}, 0))
}

func utimensNow(s *scene) {
	s.files("f")
	now, omit := unix.Timespec{Nsec: unix.UTIME_NOW}, unix.Timespec{Nsec: unix.UTIME_OMIT}
	set := func(atime, mtime unix.Timespec) {
		s.ok(unix.UtimesNanoAt(unix.AT_FDCWD, s.p("f"), []unix.Timespec{atime, mtime}, 0))
	}
	set(unix.Timespec{Sec: 1000}, unix.Timespec{Sec: 2000})
	s.moves("omit both", "f", "", func() { set(omit, omit) })
	s.moves("omit mtime", "f", "f:c", func() { set(unix.Timespec{Sec: 1001}, omit) })
	s.is("atime", s.stat("f").Atim.Sec, 1001)
	s.moves("omit atime", "f", "f:mc", func() { set(omit, unix.Timespec{Sec: 2001}) })
	s.is("atime", s.stat("f").Atim.Sec, 1001)
	s.moves("now", "f", "f:mc", func() { set(omit, now) })
	s.moves("no times", "f", "f:mc", func() { s.ok(unix.UtimesNanoAt(unix.AT_FDCWD, s.p("f"), nil, 0)) })
	st := s.stat("f")
	s.is("both now", st.Atim == st.Mtim, true)
}

func utimensOthers(s *scene) {
	s.files("f")
	s.mkdir("d")
	s.symlink("f", "l")
	old := []unix.Timespec{{Sec: 10, Nsec: 1}, {Sec: 20, Nsec: 2}}
	mtime := s.stat("f").Mtim
	s.fails("a link", unix.UtimesNanoAt(unix.AT_FDCWD, s.p("l"), old, unix.AT_SYMLINK_NOFOLLOW), done)
	s.is("the link's", s.stat("l").Mtim, old[1])
	s.is("the file's", s.stat("f").Mtim == mtime, true)
	s.fails("through the link", unix.UtimesNanoAt(unix.AT_FDCWD, s.p("l"), old, 0), done)
	s.is("the file's", s.stat("f").Mtim, old[1])
	s.fails("a directory", unix.UtimesNanoAt(unix.AT_FDCWD, s.p("d"), old, 0), done)
	s.is("the directory's", s.stat("d").Mtim, old[1])
	s.files("d/new")
	s.is("it moves on", s.stat("d").Mtim != old[1], true)
	s.fails("an open directory", unix.UtimesNanoAt(unix.AT_FDCWD, procPath(s.open("d", unix.O_RDONLY)), old, 0), done)
	s.is("the directory's", s.stat("d").Mtim, old[1])
}

// What is set on a file that has been written to is not overtaken by the close.
func timesStay(s *scene) {
	at := []unix.Timespec{{Sec: 10, Nsec: 1}, {Sec: 20, Nsec: 2}}
	fd := s.open("f", unix.O_CREAT|unix.O_RDWR)
	s.writeAt(fd, "text", 0)
	m := s.mapped(fd, 4, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	m[0] = 'T'
	s.ok(unix.Msync(m, unix.MS_SYNC))
	s.ok(unix.UtimesNanoAt(unix.AT_FDCWD, procPath(fd), at, 0))
	s.is("while open", s.stat("f").Mtim, at[1])
	s.close(fd)
	s.tick()
	s.is("after close", s.stat("f").Mtim, at[1])
	s.read("f")
	s.is("after a read", s.stat("f").Mtim, at[1])
	s.ok(s.rename("f", "g"))
	s.is("after a rename", s.stat("g").Mtim, at[1])
}
