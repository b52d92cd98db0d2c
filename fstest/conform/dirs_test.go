package conform

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

func dirChecks() []check {
	return []check{
		{name: "listing", do: listing},
		{name: "listing while it changes", do: listingWhileItChanges},
		{name: "rewind a listing", do: rewindListing},
		{name: "removed working directory", do: removedWorkingDirectory},
		{name: "getcwd after renames", do: workingDirectoryMoves},
	}
}

// entry is one name of a listing.
type entry struct {
	name string
	ino  uint64
	kind uint8
}

// entries reads a directory as getdents64(2) does, without dot and dot-dot, in
// order of the names.
func (s *scene) entries(name string) []entry {
	s.t.Helper()
	all := s.entriesFrom(s.open(name, unix.O_RDONLY|unix.O_DIRECTORY), 1<<16)
	slices.SortFunc(all, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	return all
}

// entriesFrom reads on to the end, so many bytes at a time.
func (s *scene) entriesFrom(fd, size int) (all []entry) {
	for {
		more := s.someEntries(fd, size)
		if more == nil {
			return all
		}
		for _, e := range more {
			if e.name != "." && e.name != ".." {
				all = append(all, e)
			}
		}
	}
}

// someEntries is one getdents64(2).
func (s *scene) someEntries(fd, size int) (some []entry) {
	buf := make([]byte, size)
	n, err := unix.Getdents(fd, buf)
	s.ok(err)
	for b := buf[:n]; len(b) > 0; {
		e, rest := parseEntry(b)
		some, b = append(some, e), rest
	}
	return some
}

// listing: names, types, inode numbers, each name once, whatever the buffer.
func listing(s *scene) {
	s.files("file")
	s.mkdir("dir")
	s.symlink("file", "link")
	s.ok(unix.Mkfifo(s.p("fifo"), 0o644))
	s.ok(unix.Mknod(s.p("socket"), unix.S_IFSOCK|0o644, 0))
	for _, e := range s.entries(".") {
		st := s.stat(e.name)
		s.note(e.name, e.kind)
		s.is("type of "+e.name, e.kind, st.Mode>>12)
		s.is("inode of "+e.name, e.ino == st.Ino, true)
	}
	dots := s.someEntries(s.open("dir", unix.O_RDONLY|unix.O_DIRECTORY), 1000)
	for _, e := range dots {
		s.is(e.name, e.ino == s.stat("dir/"+e.name).Ino, true)
	}
	s.is("an empty directory", len(dots), 2)
	for i := range 300 {
		s.ok(unix.Mknod(s.p(fmt.Sprintf("dir/%03d-%s", i, strings.Repeat("x", i%200))), unix.S_IFREG|0o644, 0))
	}
	for _, size := range []int{300, 4096, 1 << 20} {
		var names []string
		for _, e := range s.entriesFrom(s.open("dir", unix.O_RDONLY|unix.O_DIRECTORY), size) {
			names = append(names, e.name)
		}
		slices.Sort(names)
		s.is("names", len(slices.Compact(names)), 300)
		s.note("all", text([]byte(strings.Join(names, " "))))
	}
	_, err := unix.Getdents(s.open("dir", unix.O_RDONLY|unix.O_DIRECTORY), make([]byte, 8))
	s.fails("too small a buffer", err, unix.EINVAL)
	_, err = unix.Getdents(s.open("file", unix.O_RDONLY), make([]byte, 100))
	s.fails("of a file", err, unix.ENOTDIR)
}

// readdir(3p): what is there all the time is listed once, although names come and
// go meanwhile. So `rm -r`, which removes as it reads, leaves nothing.
func listingWhileItChanges(s *scene) {
	s.mkdir("d")
	const count = 800
	for i := range count {
		s.ok(unix.Mknod(s.p(fmt.Sprintf("d/%04d", i)), unix.S_IFREG|0o644, 0))
	}
	fd := s.open("d", unix.O_RDONLY|unix.O_DIRECTORY)
	seen := map[string]int{}
	for round := 0; ; round++ {
		some := s.someEntries(fd, 1000)
		if some == nil {
			break
		}
		for i, e := range some {
			seen[e.name]++
			if e.name[0] != '.' && i%2 == 0 {
				s.ok(unix.Unlink(s.p("d/" + e.name)))
			}
		}
		s.ok(unix.Mknod(s.p(fmt.Sprintf("d/new %04d", round)), unix.S_IFREG|0o644, 0))
		s.ok(s.rename(fmt.Sprintf("d/new %04d", round), fmt.Sprintf("d/renamed %04d", round)))
	}
	once := 0
	for i := range count {
		if seen[fmt.Sprintf("%04d", i)] == 1 {
			once++
		}
	}
	s.is("listed once", once, count)
	s.ok(os.RemoveAll(s.p("d")))
}

// rewinddir(3p): from the start again, with what has come since.
func rewindListing(s *scene) {
	s.mkdir("d")
	s.files("d/a", "d/b")
	fd := s.open("d", unix.O_RDONLY|unix.O_DIRECTORY)
	names := func() string {
		var out []string
		for _, e := range s.entriesFrom(fd, 4096) {
			out = append(out, e.name)
		}
		slices.Sort(out)
		return strings.Join(out, " ")
	}
	s.is("first", names(), "a b")
	s.is("at the end", names(), "")
	s.files("d/c")
	s.ok(unix.Unlink(s.p("d/a")))
	_, err := unix.Seek(fd, 0, unix.SEEK_SET)
	s.fails("rewind", err, done)
	s.is("again", names(), "b c")
	s.ok(s.rename("d", "e"))
	s.files("e/d")
	_, err = unix.Seek(fd, 0, unix.SEEK_SET)
	s.ok(err)
	s.is("after a rename", names(), "b c d")
}

func removedWorkingDirectory(s *scene) {
	s.mkdir("d", "d/e")
	s.apart(func() {
		s.ok(unix.Chdir(s.p("d/e")))
		s.ok(unix.Rmdir(s.p("d/e")))
		_, err := unix.Getcwd(make([]byte, 4096))
		s.fails("getcwd", err, unix.ENOENT)
		var st unix.Stat_t
		s.fails("stat dot", unix.Stat(".", &st), done)
		s.is("links", st.Nlink, 0)
		s.fails("create", unix.Mknod("x", unix.S_IFREG|0o644, 0), unix.ENOENT)
		s.fails("mkdir", unix.Mkdir("x", 0o755), unix.ENOENT)
		s.fails("symlink", unix.Symlink("x", "y"), unix.ENOENT)
		s.fails("rename into", unix.Rename(s.p("d"), "x"), unix.ENOENT)
		s.fails("look up", unix.Stat("x", &st), unix.ENOENT)
		s.fails("dot-dot", unix.Stat("..", &st), done)
		s.is("dot-dot", st.Ino == s.stat("d").Ino, true)
		s.fails("rmdir again", unix.Rmdir(s.p("d/e")), unix.ENOENT)
		fd, err := unix.Open(".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		s.fails("open dot", err, done)
		s.fds = append(s.fds, fd)
		_, err = unix.Getdents(fd, make([]byte, 1000))
		s.fails("list", err, unix.ENOENT)
	})
	s.mkdir("d/e")
	s.files("d/e/new")
	s.is("the new one", s.list("d/e"), "new")
}

func workingDirectoryMoves(s *scene) {
	s.mkdir("a", "a/b", "c")
	s.apart(func() {
		s.ok(unix.Chdir(s.p("a/b")))
		here := func() string {
			buf := make([]byte, 4096)
			n, err := unix.Getcwd(buf)
			s.ok(err)
			rel, err := filepath.Rel(s.dir, string(buf[:n-1]))
			s.ok(err)
			return rel
		}
		s.is("at first", here(), "a/b")
		s.ok(s.rename("a", "c/a"))
		s.is("after a rename above", here(), "c/a/b")
		s.ok(os.WriteFile("file", nil, 0o644))
		s.ok(s.rename("c/a/b", "b"))
		s.is("after a rename", here(), "b")
		s.ok(unix.Rename("file", "../file"))
	})
	s.is("left", s.list("."), "b c file")
}
