package conform

import (
	"fmt"

	"golang.org/x/sys/unix"
)

func linkChecks() []check {
	return []check{
		{name: "hard links", do: hardLinks},
		{name: "link errors", do: linkErrors},
		{name: "links of links", do: linksOfLinks},
		{name: "many links", do: manyLinks},
		{name: "link counts of directories", do: directoryLinks},
	}
}

// All names are the file: content, mode, owner, attributes, times, count.
func hardLinks(s *scene) {
	s.files("a")
	s.mkdir("d")
	s.fails("link", s.link("a", "d/b"), done)
	s.is("links", s.links("a", "d/b"), "a=2 d/b=2")
	s.is("one file", s.same("a", "d/b"), true)
	s.write("d/b", "changed")
	s.is("content", s.read("a"), `"changed"`)
	s.chmod("a", 0o604)
	s.is("mode", s.mode("d/b"), "0604")
	s.ok(unix.Setxattr(s.p("d/b"), "user.k", []byte("v"), 0))
	s.is("attributes", s.attrs("a"), "[user.k]")
	s.ok(unix.UtimesNanoAt(unix.AT_FDCWD, s.p("a"), []unix.Timespec{{Sec: 1}, {Sec: 2, Nsec: 3}}, 0))
	s.is("mtime", s.stat("d/b").Mtim, unix.Timespec{Sec: 2, Nsec: 3})
	fd := s.open("a", unix.O_WRONLY|unix.O_APPEND)
	s.ok(unix.Unlink(s.p("a")))
	s.is("links", s.links("d/b"), "d/b=1")
	s.writeAt(fd, " more", 0)
	s.is("by a name that is gone", s.read("d/b"), `"changed more"`)
	s.ok(s.link("d/b", "a"))
	s.ok(s.rename("d/b", "c"))
	s.is("links", s.links("a", "c"), "a=2 c=2")
	s.files("new")
	s.ok(s.rename("new", "c"))
	s.is("after one is replaced", s.links("a", "c"), "a=1 c=1")
}

// link(2), ERRORS.
func linkErrors(s *scene) {
	s.files("file", "other")
	s.mkdir("dir")
	s.fails("absent", s.link("absent", "x"), unix.ENOENT)
	s.fails("a directory", s.link("dir", "x"), unix.EPERM)
	s.fails("onto a file", s.link("file", "other"), unix.EEXIST)
	s.fails("onto itself", s.link("file", "file"), unix.EEXIST)
	s.fails("into absent", s.link("file", "absent/x"), unix.ENOENT)
	s.fails("into a file", s.link("file", "other/x"), unix.ENOTDIR)
	s.fails("into another filesystem", unix.Link(s.p("file"), "/dev/x"), unix.EXDEV)
	s.fails("an unknown flag", unix.Linkat(unix.AT_FDCWD, s.p("file"), unix.AT_FDCWD, s.p("x"), 1<<20), unix.EINVAL)
	s.is("links", s.links("file", "other"), "file=1 other=1")
}

// link(2) links a symbolic link itself; AT_SYMLINK_FOLLOW what it leads to.
func linksOfLinks(s *scene) {
	s.files("file")
	s.symlink("file", "link")
	s.fails("the link itself", s.link("link", "link2"), done)
	s.is("one link", s.same("link", "link2"), true)
	s.fails("what it leads to", unix.Linkat(unix.AT_FDCWD, s.p("link"), unix.AT_FDCWD, s.p("file2"), unix.AT_SYMLINK_FOLLOW), done)
	s.is("one file", s.same("file", "file2"), true)
	s.is("links", s.links("file", "link"), "file=2 link=2")
	s.ok(unix.Unlink(s.p("link")))
	s.is("the other name", s.read("link2"), `"file"`)
}

func manyLinks(s *scene) {
	s.files("f")
	s.mkdir("d")
	const count = 200
	for i := range count {
		s.ok(s.link("f", fmt.Sprintf("d/%03d", i)))
	}
	s.is("links", s.links("f", "d/000", "d/199"), "f=201 d/000=201 d/199=201")
	fd := s.open("d/050", unix.O_RDWR)
	for i := range count {
		if i%2 == 0 {
			s.ok(unix.Unlink(s.p(fmt.Sprintf("d/%03d", i))))
		} else {
			s.ok(s.rename(fmt.Sprintf("d/%03d", i), fmt.Sprintf("d/renamed %03d", i)))
		}
	}
	s.writeAt(fd, "by all", 0)
	s.ok(unix.Fchmod(fd, 0o640))
	s.is("links", s.links("f", "d/renamed 199"), "f=101 d/renamed 199=101")
	s.is("content", s.read("d/renamed 001"), `"by all"`)
	for i := 1; i < count; i += 2 {
		s.ok(unix.Unlink(s.p(fmt.Sprintf("d/renamed %03d", i))))
	}
	s.is("links", s.links("f"), "f=1")
}

// A directory has a link for its name, its dot, and the dot-dot of each below.
func directoryLinks(s *scene) {
	s.mkdir("a", "b")
	s.files("file")
	s.is("empty", s.links("a"), "a=2")
	s.mkdir("a/1", "a/2")
	s.is("two below", s.links("a"), "a=4")
	s.ok(s.rename("a/1", "b/1"))
	s.is("one has moved", s.links("a", "b"), "a=3 b=3")
	s.ok(s.rename("b/1", "a/2"))
	s.is("one over the other", s.links("a", "b"), "a=3 b=2")
	s.mkdir("b/1")
	s.ok(s.rename("file", "b/1", unix.RENAME_EXCHANGE))
	s.is("exchanged with a file", s.links(".", "b"), ".=5 b=2")
	s.ok(unix.Rmdir(s.p("a/2")))
	s.is("removed", s.links("a", "."), "a=2 .=5")
	s.symlink("a", "link")
	s.files("a/file")
	s.is("files and links do not count", s.links("a", "."), "a=2 .=5")
}
