package conform

import (
	"golang.org/x/sys/unix"
)

func renameChecks() []check {
	return []check{
		{name: "rename errors", do: renameErrors},
		{name: "rename replaces", do: renameReplaces},
		{name: "rename onto itself", do: renameOntoItself},
		{name: "RENAME_NOREPLACE", do: renameNoReplace},
		{name: "RENAME_EXCHANGE", do: renameExchange},
		{name: "rename flags", do: renameFlags},
		{name: "rename keeps the file", do: renameKeeps},
		{name: "rename of what is open below", do: renameAbove},
	}
}

// rename(2), ERRORS.
func renameErrors(s *scene) {
	s.files("file", "other")
	s.mkdir("dir", "dir/sub", "full", "full/x")
	s.fails("absent", s.rename("absent", "x"), unix.ENOENT)
	s.fails("to below absent", s.rename("file", "absent/x"), unix.ENOENT)
	s.fails("to below a file", s.rename("file", "other/x"), unix.ENOTDIR)
	s.fails("a file to a directory", s.rename("file", "dir"), unix.EISDIR)
	s.fails("a file to a full directory", s.rename("file", "full"), unix.EISDIR)
	s.fails("a directory to a file", s.rename("dir", "file"), unix.ENOTDIR)
	s.fails("a directory to a full one", s.rename("dir", "full"), unix.ENOTEMPTY)
	s.fails("a directory into itself", s.rename("dir", "dir/x"), unix.EINVAL)
	s.fails("a directory into one below", s.rename("dir", "dir/sub/x"), unix.EINVAL)
	s.fails("a directory to one above", s.rename("full/x", "full"), unix.ENOTEMPTY)
	s.fails("out of the filesystem", unix.Rename(s.p("file"), "/proc/file"), unix.EXDEV)
	s.is("left", s.list("."), "dir file full other")
	s.is("file", s.read("file"), `"file"`)
}

// rename(3p): what is at the new name goes, at once.
func renameReplaces(s *scene) {
	s.files("a", "b", "c", "dfile", "target")
	s.mkdir("dir", "dir/in", "empty")
	s.symlink("target", "link")
	s.symlink("target", "link2")
	s.fails("a file over a file", s.rename("a", "b"), done)
	s.is("b", s.read("b"), `"a"`)
	s.fails("a file over a link", s.rename("b", "link"), done)
	s.is("link", s.read("link"), `"a"`)
	s.is("what the link led to", s.read("target"), `"target"`)
	s.fails("a link over a file", s.rename("link2", "c"), done)
	s.is("c", s.read("c"), `"target"`)
	s.fails("a directory over an empty one", s.rename("dir", "empty"), done)
	s.is("empty", s.list("empty"), "in")
	s.is("left", s.list("."), "c dfile empty link target")
}

// rename(2): names of one file, or one name, and nothing happens.
func renameOntoItself(s *scene) {
	s.files("a")
	s.mkdir("d")
	s.ok(s.link("a", "b"))
	s.fails("a name to itself", s.rename("a", "a"), done)
	s.fails("a directory to itself", s.rename("d", "d"), done)
	s.fails("a hard link over another", s.rename("a", "b"), done)
	s.is("links", s.links("a", "b"), "a=2 b=2")
	s.fails("NOREPLACE", s.rename("a", "b", unix.RENAME_NOREPLACE), unix.EEXIST)
	s.fails("EXCHANGE", s.rename("a", "b", unix.RENAME_EXCHANGE), done)
	s.is("left", s.list("."), "a b d")
}

func renameNoReplace(s *scene) {
	s.files("file", "other")
	s.mkdir("dir", "empty")
	s.symlink("absent", "dangling")
	for _, to := range []string{"other", "empty", "dangling", "file"} {
		s.fails("a file to "+to, s.rename("file", to, unix.RENAME_NOREPLACE), unix.EEXIST)
		s.fails("a directory to "+to, s.rename("dir", to, unix.RENAME_NOREPLACE), unix.EEXIST)
	}
	s.fails("to a free name", s.rename("file", "dir/new", unix.RENAME_NOREPLACE), done)
	s.fails("absent", s.rename("file", "x", unix.RENAME_NOREPLACE), unix.ENOENT)
	s.is("dir", s.list("dir"), "new")
}

// rename(2): both must be there, and may be of any type.
func renameExchange(s *scene) {
	s.files("a", "b")
	s.mkdir("dir", "dir/in", "far")
	s.symlink("a", "link")
	s.files("far/x")
	ino := s.stat("a").Ino
	s.fails("files", s.rename("a", "b", unix.RENAME_EXCHANGE), done)
	s.is("a", s.read("a"), `"b"`)
	s.is("inodes go along", s.stat("b").Ino == ino, true)
	s.fails("file and directory", s.rename("a", "dir", unix.RENAME_EXCHANGE), done)
	s.is("dir", s.read("dir"), `"b"`)
	s.is("a", s.list("a"), "in")
	s.fails("link and file elsewhere", s.rename("link", "far/x", unix.RENAME_EXCHANGE), done)
	s.is("link", s.read("link"), `"far/x"`)
	s.fails("file and full directory elsewhere", s.rename("a", "far/x", unix.RENAME_EXCHANGE), done)
	s.is("far", s.list("far/x"), "in")
	s.fails("with nothing", s.rename("b", "absent", unix.RENAME_EXCHANGE), unix.ENOENT)
	s.fails("nothing", s.rename("absent", "b", unix.RENAME_EXCHANGE), unix.ENOENT)
	s.fails("a directory and one below", s.rename("far", "far/x", unix.RENAME_EXCHANGE), unix.EINVAL)
	s.fails("a directory and one above", s.rename("far/x", "far", unix.RENAME_EXCHANGE), unix.EINVAL)
}

func renameFlags(s *scene) {
	s.files("a", "b")
	s.fails("NOREPLACE|EXCHANGE", s.rename("a", "b", unix.RENAME_NOREPLACE|unix.RENAME_EXCHANGE), unix.EINVAL)
	s.fails("WHITEOUT|EXCHANGE", s.rename("a", "b", unix.RENAME_WHITEOUT|unix.RENAME_EXCHANGE), unix.EINVAL)
	s.fails("unknown", s.rename("a", "b", 1<<7), unix.EINVAL)
	s.is("a", s.read("a"), `"a"`)
}

// The file is the same one under its new name, and what is cached of the old names
// does not come back.
func renameKeeps(s *scene) {
	s.files("a", "old")
	s.mkdir("d")
	s.ok(unix.Setxattr(s.p("a"), "user.k", []byte("v"), 0))
	s.chmod("a", 0o751)
	fd := s.open("a", unix.O_RDWR)
	old := s.open("old", unix.O_RDWR)
	before := s.stat("a")
	s.ok(s.rename("a", "d/old"))
	s.ok(s.rename("old", "d/a"))
	s.ok(s.rename("d/old", "d/a"))
	after := s.stat("d/a")
	s.is("inode", after.Ino == before.Ino, true)
	s.is("mtime", after.Mtim == before.Mtim, true)
	s.writeAt(fd, "more", 1)
	s.is("content", s.read("d/a"), `"amore"`)
	s.is("mode", s.mode("d/a"), "0751")
	s.is("links of what was replaced", s.fstat(old).Nlink, 0)
	s.is("its content", s.readAt(old, 10, 0), `"old"`)
	s.fails("the old name", s.opens("a", unix.O_RDONLY), unix.ENOENT)
	s.files("a")
	s.is("and anew", s.read("a"), `"a"`)
}

// Renaming a directory changes the paths of all below it, not what is open there.
func renameAbove(s *scene) {
	s.mkdir("a", "a/b", "a/b/c", "other")
	s.files("a/b/c/f")
	dir := s.open("a/b/c", unix.O_RDONLY|unix.O_DIRECTORY)
	fd := s.open("a/b/c/f", unix.O_RDWR)
	s.ok(s.rename("a/b", "other/b"))
	s.ok(s.rename("other", "a/o"))
	s.writeAt(fd, "new", 0)
	s.ok(unix.Fchmod(fd, 0o600))
	s.ok(unix.Mkdirat(dir, "made", 0o755))
	s.ok(unix.Renameat(dir, "f", dir, "g"))
	s.is("below", s.list("a/o/b/c"), "g made")
	s.is("read", s.read("a/o/b/c/g"), `"new/c/f"`)
	s.fails("the old path", s.opens("a/b/c/g", unix.O_RDONLY), unix.ENOENT)
	s.mkdir("a/b")
	s.is("a new directory at the old path", s.list("a/b"), "")
}
