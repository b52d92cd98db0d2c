package conform

import (
	"fmt"
	"maps"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// The checks here act as several users in one mount, which root alone can.
func userChecks() []check {
	list := []check{
		{name: "sticky directories", do: sticky},
		{name: "owners of new files", do: newOwners},
		{name: "permissions of others", do: permissions},
		{name: "times of others' files", do: timesOfOthers},
		{name: "modes of others' files", do: modesOfOthers},
		{name: "xattrs of others' files", do: xattrsOfOthers},
		{name: "links to others' files", do: linksToOthers},
		{name: "setuid and others' writes", do: othersWrites},
		{name: "capabilities and writes", do: capabilities},
		{name: "O_NOATIME", do: noatime},
	}
	for i := range list {
		list[i].whose = users
	}
	return list
}

// open makes a directory that all may write to.
func (s *scene) openTo(name string, mode uint32) {
	s.mkdir(name)
	s.chmod(name, mode)
}

// inode(7), S_ISVTX: names are for the owners of the file and of the directory.
func sticky(s *scene) {
	s.openTo("tmp", 0o1777)
	s.openTo("open", 0o777)
	s.openTo("bobs", 0o1777)
	s.give("bobs", bobID, bobID)
	s.as(alice, func() {
		s.files("tmp/hers", "tmp/also", "open/hers", "bobs/hers", "bobs/also")
		s.ok(unix.Mkdir(s.p("tmp/dir"), 0o777))
	})
	s.as(bob, func() {
		s.files("tmp/his", "open/his")
		s.fails("unlink", unix.Unlink(s.p("tmp/hers")), unix.EPERM)
		s.fails("rmdir", unix.Rmdir(s.p("tmp/dir")), unix.EPERM)
		s.fails("rename", s.rename("tmp/hers", "tmp/x"), unix.EPERM)
		s.fails("rename over", s.rename("tmp/his", "tmp/hers"), unix.EPERM)
		s.fails("rename out", s.rename("tmp/hers", "open/x"), unix.EPERM)
		s.fails("rename in, over", s.rename("open/his", "tmp/hers"), unix.EPERM)
		s.fails("exchange", s.rename("tmp/his", "tmp/hers", unix.RENAME_EXCHANGE), unix.EPERM)
		s.fails("his own", s.rename("tmp/his", "tmp/still his"), done)
		s.fails("without the bit", unix.Unlink(s.p("open/hers")), done)
		s.fails("in his directory", unix.Unlink(s.p("bobs/hers")), done)
	})
	s.as(alice, func() {
		s.fails("her own", unix.Unlink(s.p("tmp/hers")), done)
		s.fails("her own in his", s.rename("bobs/also", "tmp/from his"), done)
	})
	s.fails("root", unix.Unlink(s.p("tmp/also")), done)
}

// What is made belongs to its maker, and to the maker's group or the directory's.
func newOwners(s *scene) {
	s.openTo("d", 0o777)
	s.mkdir("team")
	s.give("team", 0, staff)
	s.chmod("team", 0o2770)
	s.as(alice, func() {
		for _, dir := range []string{"d", "team"} {
			s.files(dir + "/file")
			s.ok(unix.Mkdir(s.p(dir+"/dir"), 0o755))
			s.ok(unix.Symlink("file", s.p(dir+"/link")))
			s.ok(unix.Mkfifo(s.p(dir+"/fifo"), 0o644))
			s.fails("a device", unix.Mknod(s.p(dir+"/null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))), unix.EPERM)
			fd := s.open(dir, unix.O_TMPFILE|unix.O_RDWR)
			s.is("O_TMPFILE", s.fstat(fd).Uid, aliceID)
			s.ok(unix.Linkat(unix.AT_FDCWD, procPath(fd), unix.AT_FDCWD, s.p(dir+"/tmp"), unix.AT_SYMLINK_FOLLOW))
			for _, name := range []string{"file", "dir", "link", "fifo", "tmp"} {
				st := s.stat(dir + "/" + name)
				want := map[string]uint32{"d": aliceID, "team": staff}[dir]
				s.is(dir+"/"+name, fmt.Sprint(st.Uid, st.Gid), fmt.Sprint(aliceID, want))
			}
		}
	})
	s.as(bob, func() {
		s.fails("who is not in the group", s.opens("team/x", unix.O_CREAT|unix.O_WRONLY), unix.EACCES)
	})
}

// Owner, group (any that one is in), others: the first that fits counts.
func permissions(s *scene) {
	s.files("f")
	s.give("f", aliceID, staff)
	carol := person{61003, []uint32{staff}}
	for _, mode := range []uint32{0o600, 0o060, 0o006, 0o640, 0o604, 0o777, 0} {
		s.chmod("f", mode)
		s.as(alice, func() {
			s.fails("alice reads", s.opens("f", unix.O_RDONLY), allowed(mode&0o400))
			s.fails("alice writes", s.opens("f", unix.O_WRONLY), allowed(mode&0o200))
		})
		s.as(carol, func() {
			s.fails("carol reads", s.opens("f", unix.O_RDONLY), allowed(mode&0o040))
			s.fails("carol writes", s.opens("f", unix.O_WRONLY), allowed(mode&0o020))
			s.fails("carol asks", unix.Access(s.p("f"), unix.X_OK), allowed(mode&0o010))
		})
		s.as(bob, func() {
			s.fails("bob reads", s.opens("f", unix.O_RDONLY), allowed(mode&0o004))
			s.fails("bob writes", unix.Truncate(s.p("f"), 1), allowed(mode&0o002))
		})
	}
	s.mkdir("d")
	s.files("d/x")
	s.chmod("d", 0o750)
	s.as(bob, func() {
		s.fails("list", s.opens("d", unix.O_RDONLY), unix.EACCES)
		s.fails("go through", s.opens("d/x", unix.O_RDONLY), unix.EACCES)
		s.fails("stat", func() error { var st unix.Stat_t; return unix.Lstat(s.p("d/x"), &st) }(), unix.EACCES)
	})
	s.chmod("d", 0o751)
	s.as(bob, func() {
		s.fails("now through", s.opens("d/x", unix.O_RDONLY), done)
		s.fails("not list", s.opens("d", unix.O_RDONLY), unix.EACCES)
		s.fails("not create", unix.Mkdir(s.p("d/y"), 0o755), unix.EACCES)
		s.fails("not remove", unix.Unlink(s.p("d/x")), unix.EACCES)
		s.fails("not rename", s.rename("d/x", "d/y"), unix.EACCES)
	})
	s.chmod("f", 0o644)
}

func allowed(bits uint32) unix.Errno {
	if bits != 0 {
		return done
	}
	return unix.EACCES
}

// utimensat(2): a time of one's choice takes the owner, the present a writer.
func timesOfOthers(s *scene) {
	s.files("f")
	s.chmod("f", 0o666)
	at := []unix.Timespec{{Sec: 1}, {Sec: 2}}
	now := []unix.Timespec{{Nsec: unix.UTIME_NOW}, {Nsec: unix.UTIME_NOW}}
	half := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, {Nsec: unix.UTIME_NOW}}
	set := func(times []unix.Timespec) error { return unix.UtimesNanoAt(unix.AT_FDCWD, s.p("f"), times, 0) }
	s.as(alice, func() {
		s.fails("a time", set(at), unix.EPERM)
		s.fails("now", set(now), done)
		s.fails("no times", set(nil), done)
		s.fails("one now", set(half), unix.EPERM)
	})
	s.chmod("f", 0o644)
	s.as(alice, func() {
		s.fails("a time, may not write", set(at), unix.EPERM)
		s.fails("now, may not write", set(now), unix.EACCES)
	})
	s.give("f", aliceID, aliceID)
	s.chmod("f", 0)
	s.as(alice, func() {
		s.fails("the owner", set(at), done)
		s.fails("the owner, now", set(now), done)
	})
	s.chmod("f", 0o644)
}

// chmod(2), chown(2).
func modesOfOthers(s *scene) {
	s.files("f", "hers", "staffs")
	s.give("hers", aliceID, bobID)
	s.give("staffs", aliceID, staff)
	s.as(alice, func() {
		s.fails("chmod", unix.Chmod(s.p("f"), 0o777), unix.EPERM)
		s.fails("chown", unix.Chown(s.p("f"), aliceID, -1), unix.EPERM)
		s.fails("setgid in another's group", unix.Chmod(s.p("hers"), 0o6755), done)
		s.is("mode", s.mode("hers"), "4755")
		s.fails("setgid in a group of hers", unix.Chmod(s.p("staffs"), 0o6755), done)
		s.is("mode", s.mode("staffs"), "6755")
		s.fails("to a group of hers", unix.Chown(s.p("hers"), -1, staff), done)
		s.is("mode", s.mode("hers"), "0755")
		s.fails("to another group", unix.Chown(s.p("hers"), -1, bobID), unix.EPERM)
		s.fails("to another user", unix.Chown(s.p("hers"), bobID, -1), unix.EPERM)
		s.fails("to herself", unix.Chown(s.p("staffs"), aliceID, staff), done)
		s.is("mode", s.mode("staffs"), "0755")
		s.fails("a sticky file", unix.Chmod(s.p("hers"), 0o1644), done)
		s.note("mode", s.mode("hers"))
	})
}

func xattrsOfOthers(s *scene) {
	s.files("f")
	s.ok(unix.Setxattr(s.p("f"), "user.k", []byte("v"), 0))
	s.ok(unix.Setxattr(s.p("f"), "trusted.k", []byte("v"), 0))
	s.openTo("sticky", 0o1777)
	s.openTo("open", 0o777)
	s.as(bob, func() {
		s.is("get", s.getxattr("f", "user.k"), `"v"`)
		s.fails("set", unix.Setxattr(s.p("f"), "user.k", nil, 0), unix.EACCES)
		s.fails("remove", unix.Removexattr(s.p("f"), "user.k"), unix.EACCES)
		s.is("get trusted", s.getxattr("f", "trusted.k"), "ENODATA")
		s.is("list", s.attrs("f"), "[user.k]")
		s.fails("on an open directory", unix.Setxattr(s.p("open"), "user.k", nil, 0), done)
		s.fails("on a sticky one", unix.Setxattr(s.p("sticky"), "user.k", nil, 0), unix.EPERM)
		s.fails("a default ACL", unix.Setxattr(s.p("open"), defaultACL, minimal(7, 7, 7), 0), unix.EPERM)
	})
	s.chmod("f", 0o600)
	s.as(bob, func() {
		s.is("get what he may not read", s.getxattr("f", "user.k"), "EACCES")
		s.is("list it", s.attrs("f"), "[user.k]")
	})
}

// proc(5), protected_hardlinks and protected_symlinks: as the kernel is set.
func linksToOthers(s *scene) {
	s.files("readable", "writable", "setuid")
	s.chmod("writable", 0o666)
	s.chmod("setuid", 0o4777)
	s.openTo("d", 0o777)
	s.openTo("tmp", 0o1777)
	s.as(alice, func() { s.ok(unix.Symlink("../writable", s.p("tmp/link"))) })
	s.as(bob, func() {
		for _, name := range []string{"readable", "writable", "setuid"} {
			s.note("link "+name, errno(s.link(name, "d/"+name)))
		}
		s.note("follow another's link in a sticky directory", errno(s.opens("tmp/link", unix.O_RDONLY)))
		s.note("create over another's file there", errno(s.opens("tmp/link", unix.O_CREAT|unix.O_WRONLY)))
	})
}

// changes are the ways to change a file's content.
var changes = map[string]func(s *scene, name string){
	"write":  func(s *scene, name string) { s.writeAt(s.open(name, unix.O_WRONLY), "x", 0) },
	"append": func(s *scene, name string) { s.writeAt(s.open(name, unix.O_WRONLY|unix.O_APPEND), "x", 0) },
	"direct": func(s *scene, name string) {
		_, err := unix.Pwrite(s.open(name, unix.O_WRONLY|unix.O_DIRECT), aligned(4096), 0)
		s.ok(err)
	},
	"truncate": func(s *scene, name string) { s.ok(unix.Truncate(s.p(name), 2)) },
	"ftruncate": func(s *scene, name string) {
		s.ok(unix.Ftruncate(s.open(name, unix.O_WRONLY), 2))
	},
	"O_TRUNC":   func(s *scene, name string) { s.open(name, unix.O_WRONLY|unix.O_TRUNC) },
	"fallocate": func(s *scene, name string) { s.ok(unix.Fallocate(s.open(name, unix.O_WRONLY), 0, 0, 100)) },
	"punch": func(s *scene, name string) {
		s.ok(unix.Fallocate(s.open(name, unix.O_WRONLY), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, 2))
	},
	"copy_file_range": func(s *scene, name string) {
		fd := s.open(name, unix.O_RDWR)
		from, to := int64(0), int64(10)
		_, err := unix.CopyFileRange(fd, &from, fd, &to, 2, 0)
		s.ok(err)
	},
}

// write(2): another user's change takes setuid away, and setgid where it lets the
// group execute.
func othersWrites(s *scene) {
	for _, what := range slices.Sorted(maps.Keys(changes)) {
		for _, mode := range []uint32{0o6777, 0o6666, 0o2676, 0o4767} {
			s.write("f", "text")
			s.give("f", 0, staff)
			s.chmod("f", mode)
			for _, who := range []person{bob, alice} {
				s.chmod("f", mode)
				s.as(who, func() { changes[what](s, "f") })
				s.note(fmt.Sprintf("%s of %04o by %d", what, mode, who.uid), s.mode("f"))
			}
			s.ok(unix.Unlink(s.p("f")))
		}
	}
	s.write("f", "text")
	s.chmod("f", 0o4777)
	s.as(bob, func() { changes["write"](s, "f") })
	s.is("setuid after a write", s.mode("f"), "0777")
	s.chmod("f", 0o6777)
	s.as(bob, func() { s.open("f", unix.O_RDWR) })
	s.is("opened alone", s.mode("f"), "6777")
	s.chmod("f", 0o777)
}

const capabilityAttr = "security.capability"

// capability is CAP_NET_BIND_SERVICE, as setcap(8) would store it.
var capability = []byte{1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}

// capabilities(7), file capabilities: any change of content takes them away, also
// one by root.
func capabilities(s *scene) {
	for _, what := range slices.Sorted(maps.Keys(changes)) {
		for _, who := range []string{"root", "bob"} {
			mode := map[string]uint32{"root": 0o777, "bob": 0o6777}[who] // root's with setuid: see differences
			s.write("f", "text")
			s.ok(unix.Setxattr(s.p("f"), capabilityAttr, capability, 0))
			s.chmod("f", mode)
			if who == "root" {
				changes[what](s, "f")
			} else {
				s.as(bob, func() { changes[what](s, "f") })
			}
			s.note(what+" by "+who, s.getxattr("f", capabilityAttr)+" "+s.mode("f"))
			s.ok(unix.Unlink(s.p("f")))
		}
	}
	s.write("f", "text")
	s.ok(unix.Setxattr(s.p("f"), capabilityAttr, capability, 0))
	s.is("set", s.getxattr("f", capabilityAttr), text(capability))
	s.give("f", aliceID, -1)
	s.is("after chown", s.getxattr("f", capabilityAttr), "ENODATA")
	s.ok(os.Remove(s.p("f")))
}

// open(2), O_NOATIME: for the owner.
func noatime(s *scene) {
	s.files("f")
	s.give("f", aliceID, -1)
	s.chmod("f", 0o644)
	s.as(alice, func() { s.fails("the owner", s.opens("f", unix.O_RDONLY|unix.O_NOATIME), done) })
	s.as(bob, func() { s.fails("another", s.opens("f", unix.O_RDONLY|unix.O_NOATIME), unix.EPERM) })
	s.fails("root", s.opens("f", unix.O_RDONLY|unix.O_NOATIME), done)
}
