package conform

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

func nameChecks() []check {
	return []check{
		{name: "path resolution", do: pathResolution},
		{name: "long names", do: longNames},
		{name: "long paths", do: longPaths},
		{name: "odd names", do: oddNames},
		{name: "names beyond PATH_MAX", do: deepTree},
		{name: "loops of links", do: loopsOfLinks},
		{name: "text of links", do: textOfLinks},
		{name: "trailing slashes", do: trailingSlashes},
		{name: "dot and dot-dot", do: dots},
		{name: "remove", do: remove},
		{name: "existing names", do: existingNames},
	}
}

// pathResolution(7).
func pathResolution(s *scene) {
	s.files("file")
	s.mkdir("dir")
	s.symlink("absent", "dangling")
	s.fails("absent", s.opens("absent", unix.O_RDONLY), unix.ENOENT)
	s.fails("below absent", s.opens("absent/x", unix.O_RDONLY), unix.ENOENT)
	s.fails("below a file", s.opens("file/x", unix.O_RDONLY), unix.ENOTDIR)
	s.fails("dot-dot of a file", s.opens("file/..", unix.O_RDONLY), unix.ENOTDIR)
	s.fails("dot-dot of absent", s.opens("dir/absent/..", unix.O_RDONLY), unix.ENOENT)
	s.fails("dangling", s.opens("dangling", unix.O_RDONLY), unix.ENOENT)
	s.fails("below dangling", s.opens("dangling/x", unix.O_RDONLY), unix.ENOENT)
	s.fails("many slashes", s.opens("dir//..///./dir/", unix.O_RDONLY), done)
	d := s.open("dir", unix.O_RDONLY|unix.O_DIRECTORY)
	_, err := unix.Openat(d, "", unix.O_RDONLY, 0)
	s.fails("empty path", err, unix.ENOENT)
	f := s.open("file", unix.O_RDONLY)
	_, err = unix.Openat(f, "x", unix.O_RDONLY, 0)
	s.fails("at a file", err, unix.ENOTDIR)
	_, err = unix.Openat(1<<20, "x", unix.O_RDONLY, 0)
	s.fails("at no descriptor", err, unix.EBADF)
	s.fails("mkdir below a file", unix.Mkdir(s.p("file/x"), 0o755), unix.ENOTDIR)
	s.fails("unlink below a file", unix.Unlink(s.p("file/x")), unix.ENOTDIR)
	s.fails("mkdir below absent", unix.Mkdir(s.p("absent/x"), 0o755), unix.ENOENT)
}

// NAME_MAX is 255 bytes, for whatever makes or looks for a name.
func longNames(s *scene) {
	most, over := strings.Repeat("n", 255), strings.Repeat("n", 256)
	wide := strings.Repeat("\u00e9", 127) + "x" // 255 bytes
	s.files("file")
	s.mkdir("dir")
	calls := []struct {
		what string
		call func(name string) error
	}{
		{"create", func(n string) error { return s.opens(n, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY) }},
		{"stat", func(n string) error { var st unix.Stat_t; return unix.Lstat(s.p(n), &st) }},
		{"chmod", func(n string) error { return unix.Chmod(s.p(n), 0o600) }},
		{"rename over", func(n string) error { return s.rename("file", n) }},
		{"rename back", func(n string) error { return s.rename(n, "file") }},
		{"link", func(n string) error { return s.link("file", n) }},
		{"unlink", func(n string) error { return unix.Unlink(s.p(n)) }},
		{"mkdir", func(n string) error { return unix.Mkdir(s.p(n), 0o755) }},
		{"rmdir", func(n string) error { return unix.Rmdir(s.p(n)) }},
		{"symlink", func(n string) error { return unix.Symlink("file", s.p(n)) }},
		{"readlink", func(n string) error { _, err := unix.Readlink(s.p(n), make([]byte, 9)); return err }},
		{"unlink the link", func(n string) error { return unix.Unlink(s.p(n)) }},
		{"mknod", func(n string) error { return unix.Mknod(s.p(n), unix.S_IFREG|0o644, 0) }},
		{"setxattr", func(n string) error { return unix.Setxattr(s.p(n), "user.k", []byte("v"), 0) }},
	}
	for _, try := range []struct {
		what, name string
		want       unix.Errno
	}{{"255 bytes", most, done}, {"255 bytes in a directory", "dir/" + wide, done}, {"256 bytes", over, unix.ENAMETOOLONG}} {
		for _, c := range calls {
			s.fails(c.what+" with "+try.what, c.call(try.name), try.want)
		}
	}
	s.fails("a long name on the way", s.opens(over+"/x", unix.O_RDONLY), unix.ENAMETOOLONG)
	s.is("listed", slices.Contains(strings.Fields(s.list(".")), most), true)
}

// PATH_MAX is 4096 bytes with the NUL.
func longPaths(s *scene) {
	s.files("file")
	path := func(size int) string { // of file, through "./" again and again
		rest := size - len(s.dir) - len("//file")
		return s.dir + "/" + strings.Repeat("./", rest/2) + strings.Repeat("/", 1+rest%2) + "file"
	}
	var st unix.Stat_t
	s.fails("4095 bytes", unix.Lstat(path(4095), &st), done)
	s.fails("4096 bytes", unix.Lstat(path(4096), &st), unix.ENAMETOOLONG)
}

// A name is any bytes but slash and NUL; those that differ in case, or in their
// Unicode form, are two.
func oddNames(s *scene) {
	names := []string{
		" ", "  ", "-", "--help", "...", ". ", " .", "..x", "~", "#", "%", "%2e", "%41", "\\", `a\b`, "a\nb", "\t", "\x01", "\x7f", "\xff", "\xfe\xff",
		"\xc3", "caf\u00e9", "cafe\u0301", "CASE", "Case", "case", "con", "aux.", "a:b", "*?", `"`, "'", "$HOME", "@tags", "@x", ".git2", "\U0001f600", "\u202e",
	}
	for _, name := range names {
		s.fails("create", s.opens(name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY), done)
		s.write(name, name)
		s.is("read", s.read(name), text([]byte(name)))
	}
	s.is("names", len(names), len(s.entries(".")))
	for _, e := range s.entries(".") {
		s.note("listed", fmt.Sprintf("%q", e.name))
		s.is("known", slices.Contains(names, e.name), true)
	}
	s.mkdir("to")
	for _, name := range names {
		s.ok(s.rename(name, "to/"+name))
	}
	s.is("moved", len(s.entries("to")), len(names))
}

// Deeper than a path can say, by descriptors.
func deepTree(s *scene) {
	name := strings.Repeat("d", 200)
	const depth = 40
	at := []int{s.open(".", unix.O_RDONLY|unix.O_DIRECTORY)}
	for range depth {
		dir := at[len(at)-1]
		s.ok(unix.Mkdirat(dir, name, 0o755))
		fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		s.ok(err)
		s.fds = append(s.fds, fd)
		at = append(at, fd)
	}
	bottom := at[depth]
	fd, err := unix.Openat(bottom, "file", unix.O_CREAT|unix.O_RDWR|unix.O_CLOEXEC, 0o644)
	s.fails("create at the bottom", err, done)
	s.fds = append(s.fds, fd)
	s.writeAt(fd, "deep", 0)
	s.fails("chmod", unix.Fchmod(fd, 0o600), done)
	s.is("read", s.readAt(fd, 10, 0), `"deep"`)
	s.fails("rename", unix.Renameat(bottom, "file", bottom, "renamed"), done)
	s.fails("link", unix.Linkat(bottom, "renamed", bottom, "link", 0), done)
	s.fails("rename to the top", unix.Renameat(bottom, "renamed", at[0], "file"), done)
	s.is("read at the top", s.read("file"), `"deep"`)
	s.is("links", s.links("file"), "file=2")
	s.fails("unlink", unix.Unlinkat(bottom, "link", 0), done)
	s.apart(func() {
		s.ok(unix.Fchdir(bottom))
		_, err := unix.Getcwd(make([]byte, 100<<10))
		s.fails("getcwd", err, unix.ENAMETOOLONG)
	})
	for i := depth - 1; i >= 0; i-- {
		s.ok(unix.Unlinkat(at[i], name, unix.AT_REMOVEDIR))
	}
}

// More than 40 links on the way are a loop.
func loopsOfLinks(s *scene) {
	s.symlink("self", "self")
	s.symlink("pong", "ping")
	s.symlink("ping", "pong")
	s.fails("self", s.opens("self", unix.O_RDONLY), unix.ELOOP)
	s.fails("self below", s.opens("self/x", unix.O_RDONLY), unix.ELOOP)
	s.fails("each other", s.opens("ping", unix.O_RDONLY), unix.ELOOP)
	s.fails("create", s.opens("ping", unix.O_CREAT|unix.O_WRONLY), unix.ELOOP)
	s.fails("truncate", unix.Truncate(s.p("self"), 0), unix.ELOOP)
	s.fails("chmod", unix.Chmod(s.p("self"), 0o600), unix.ELOOP)
	s.fails("O_PATH|O_NOFOLLOW", s.opens("self", unix.O_PATH|unix.O_NOFOLLOW), done)
	s.write("0", "at the end")
	for i := range 41 {
		s.symlink(fmt.Sprint(i), fmt.Sprint(i+1))
	}
	s.is("40 links", s.read("40"), `"at the end"`)
	s.is("41 links", s.read("41"), "ELOOP")
	s.fails("rename a link of a loop", s.rename("self", "moved"), done)
	s.fails("unlink it", unix.Unlink(s.p("moved")), done)
}

// symlink(7): the text is not looked at, its length is the link's size.
func textOfLinks(s *scene) {
	long := strings.Repeat("a/", 2047) + "b" // 4095 bytes
	for i, to := range []string{"x", "/", "../..", "with space", "a//b", "\xff\n", strings.Repeat("s", 59), strings.Repeat("s", 60), long} {
		name := fmt.Sprint("link", i)
		s.symlink(to, name)
		buf := make([]byte, 5000)
		n, err := unix.Readlink(s.p(name), buf)
		s.ok(err)
		s.is("text", text(buf[:n]), text([]byte(to)))
		st := s.stat(name)
		s.is("size and mode", fmt.Sprintf("%d %o", st.Size, st.Mode), fmt.Sprintf("%d 120777", len(to)))
	}
	s.fails("4096 bytes", unix.Symlink(long+"c", s.p("too long")), unix.ENAMETOOLONG)
	s.fails("no text", unix.Symlink("", s.p("empty")), unix.ENOENT)
	s.fails("a name that is taken", unix.Symlink("x", s.p("link0")), unix.EEXIST)
	buf := make([]byte, 3)
	n, err := unix.Readlink(s.p("link3"), buf)
	s.ok(err)
	s.is("cut", text(buf[:n]), `"wit"`)
	s.files("file")
	_, err = unix.Readlink(s.p("file"), buf)
	s.fails("readlink of a file", err, unix.EINVAL)
	_, err = unix.Readlink(s.p("."), buf)
	s.fails("readlink of a directory", err, unix.EINVAL)
}

// A name with a slash behind must be a directory.
func trailingSlashes(s *scene) {
	s.files("file")
	s.mkdir("dir", "empty")
	s.symlink("dir", "link")
	s.symlink("absent", "dangling")
	s.fails("open a file", s.opens("file/", unix.O_RDONLY), unix.ENOTDIR)
	s.fails("open a directory", s.opens("dir/", unix.O_RDONLY), done)
	s.fails("create", s.opens("new/", unix.O_CREAT|unix.O_WRONLY), unix.EISDIR)
	s.fails("unlink a file", unix.Unlink(s.p("file/")), unix.ENOTDIR)
	s.fails("unlink a directory", unix.Unlink(s.p("dir/")), unix.EISDIR)
	s.fails("unlink a link", unix.Unlink(s.p("link/")), unix.ENOTDIR)
	s.fails("rmdir a link", unix.Rmdir(s.p("link/")), unix.ENOTDIR)
	s.fails("mkdir", unix.Mkdir(s.p("made/"), 0o755), done)
	s.fails("mkdir through a dangling link", unix.Mkdir(s.p("dangling/"), 0o755), unix.EEXIST)
	s.fails("rmdir", unix.Rmdir(s.p("made/")), done)
	s.fails("symlink", unix.Symlink("x", s.p("s/")), unix.ENOENT)
	s.fails("link", s.link("file", "l/"), unix.ENOENT)
	s.fails("rename a file", s.rename("file/", "new"), unix.ENOTDIR)
	s.fails("rename a file to", s.rename("file", "new/"), unix.ENOTDIR)
	s.fails("rename a directory", s.rename("empty/", "renamed/"), done)
	s.fails("rename a link", s.rename("link/", "renamed link"), unix.ENOTDIR)
	var st unix.Stat_t
	s.ok(unix.Lstat(s.p("link/"), &st))
	s.is("lstat of a link follows", st.Ino == s.stat("dir").Ino, true)
}

func dots(s *scene) {
	s.mkdir("d", "d/e")
	s.fails("mkdir dot", unix.Mkdir(s.p("d/."), 0o755), unix.EEXIST)
	s.fails("mkdir dot-dot", unix.Mkdir(s.p("d/.."), 0o755), unix.EEXIST)
	s.fails("rmdir dot", unix.Rmdir(s.p("d/e/.")), unix.EINVAL)
	s.fails("rmdir dot-dot", unix.Rmdir(s.p("d/e/..")), unix.ENOTEMPTY)
	s.fails("unlink dot", unix.Unlink(s.p("d/.")), unix.EISDIR)
	s.fails("rename dot", s.rename("d/.", "x"), unix.EBUSY)
	s.fails("rename to dot-dot", s.rename("d", "d/e/.."), unix.EBUSY)
	s.fails("create dot", s.opens("d/.", unix.O_CREAT|unix.O_WRONLY), unix.EISDIR)
	s.is("dot", s.same("d", "d/."), true)
	s.is("dot-dot", s.same("d", "d/e/.."), true)
	s.is("dot-dot of the scene", s.same(".", "d/e/../.."), true)
}

func remove(s *scene) {
	s.files("file")
	s.mkdir("dir", "full", "full/dir")
	s.symlink("dir", "link")
	s.fails("unlink a directory", unix.Unlink(s.p("dir")), unix.EISDIR)
	s.fails("unlink absent", unix.Unlink(s.p("absent")), unix.ENOENT)
	s.fails("rmdir a file", unix.Rmdir(s.p("file")), unix.ENOTDIR)
	s.fails("rmdir a link", unix.Rmdir(s.p("link")), unix.ENOTDIR)
	s.fails("rmdir absent", unix.Rmdir(s.p("absent")), unix.ENOENT)
	s.fails("rmdir what is full", unix.Rmdir(s.p("full")), unix.ENOTEMPTY)
	s.fails("rmdir", unix.Rmdir(s.p("full/dir")), done)
	s.fails("rmdir what is empty now", unix.Rmdir(s.p("full")), done)
	s.fails("unlink a link", unix.Unlink(s.p("link")), done)
	s.fails("unlink a file", unix.Unlink(s.p("file")), done)
	s.fails("and again", unix.Unlink(s.p("file")), unix.ENOENT)
	s.fails("open it", s.opens("file", unix.O_RDONLY), unix.ENOENT)
	s.is("left", s.list("."), "dir")
}

// Nothing but open and rename takes a name that is there, whatever is at it.
func existingNames(s *scene) {
	s.files("file")
	s.mkdir("dir")
	s.symlink("absent", "dangling")
	for _, name := range []string{"file", "dir", "dangling"} {
		s.fails("create "+name, s.opens(name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY), unix.EEXIST)
		s.fails("mkdir "+name, unix.Mkdir(s.p(name), 0o755), unix.EEXIST)
		s.fails("mknod "+name, unix.Mknod(s.p(name), unix.S_IFREG|0o644, 0), unix.EEXIST)
		s.fails("mkfifo "+name, unix.Mkfifo(s.p(name), 0o644), unix.EEXIST)
		s.fails("symlink "+name, unix.Symlink("x", s.p(name)), unix.EEXIST)
		s.fails("link "+name, s.link("file", name), unix.EEXIST)
	}
}
