package conform

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

func eventChecks() []check {
	return []check{
		{name: "inotify on files", do: eventsOfFiles},
		{name: "inotify on directories", do: eventsOfDirectories},
		{name: "inotify on moves", do: eventsOfMoves},
		{name: "inotify on the end of a file", do: eventsOfTheEnd},
	}
}

// watcher is an inotify instance.
type watcher struct {
	s     *scene
	fd    int
	names map[int32]string
}

func (s *scene) watch(names ...string) *watcher {
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	s.ok(err)
	s.fds = append(s.fds, fd)
	w := &watcher{s, fd, map[int32]string{}}
	for _, name := range names {
		wd, err := unix.InotifyAddWatch(fd, s.p(name), unix.IN_ALL_EVENTS)
		s.ok(err)
		w.names[int32(wd)] = name
	}
	return w
}

// sees records the events of an act, and says what they must be: "d/f MODIFY" is of
// the name f in d, "f MODIFY" of what is watched as f.
func (w *watcher) sees(what, want string, act func()) {
	w.s.t.Helper()
	act()
	w.s.is(what, w.take(), want)
}

// take is what has happened since the last call.
func (w *watcher) take() string {
	buf := make([]byte, 64<<10)
	n, err := unix.Read(w.fd, buf)
	if err == unix.EAGAIN {
		return ""
	}
	w.s.ok(err)
	var out []string
	cookies := map[uint32]bool{}
	for b := buf[:n]; len(b) > 0; {
		e, rest := parseEvent(b)
		b = rest
		name := w.names[e.wd]
		if e.name != "" {
			name += "/" + e.name
		}
		mask := maskNames(e.mask)
		if e.cookie != 0 {
			if cookies[e.cookie] {
				mask += "=" // the other half of one that was seen
			}
			cookies[e.cookie] = true
		}
		out = append(out, strings.TrimPrefix(name, "./")+" "+mask)
	}
	return strings.Join(out, ", ")
}

// maskNames names the bits of an event.
func maskNames(mask uint32) string {
	var out []string
	for i, name := range []string{
		"ACCESS", "MODIFY", "ATTRIB", "CLOSE_WRITE", "CLOSE_NOWRITE", "OPEN", "MOVED_FROM", "MOVED_TO", "CREATE", "DELETE", "DELETE_SELF", "MOVE_SELF",
	} {
		if mask&(1<<i) != 0 {
			out = append(out, name)
			mask &^= 1 << i
		}
	}
	for bit, name := range map[uint32]string{unix.IN_ISDIR: "ISDIR", unix.IN_IGNORED: "IGNORED"} {
		if mask&bit != 0 {
			out = append(out, name)
			mask &^= bit
		}
	}
	if mask != 0 {
		out = append(out, fmt.Sprintf("%#x", mask))
	}
	return strings.Join(out, "+")
}

// inotify(7).
func eventsOfFiles(s *scene) {
	s.files("f")
	w := s.watch("f")
	var fd int
	w.sees("open", "f OPEN", func() { fd = s.open("f", unix.O_RDWR) })
	w.sees("write", "f MODIFY", func() { s.writeAt(fd, "text", 0) })
	w.sees("read", "f ACCESS", func() { s.readAt(fd, 4, 0) })
	w.sees("ftruncate", "f MODIFY", func() { s.ok(unix.Ftruncate(fd, 2)) })
	w.sees("fallocate", "f MODIFY", func() { s.ok(unix.Fallocate(fd, 0, 0, 100)) })
	w.sees("fchmod", "f ATTRIB", func() { s.ok(unix.Fchmod(fd, 0o600)) })
	w.sees("fsync", "", func() { s.ok(unix.Fsync(fd)) })
	w.sees("close", "f CLOSE_WRITE", func() { s.close(fd) })
	w.sees("open to read", "f OPEN, f CLOSE_NOWRITE", func() { s.ok(s.opens("f", unix.O_RDONLY)) })
	w.sees("truncate", "f MODIFY", func() { s.ok(unix.Truncate(s.p("f"), 1)) })
	w.sees("O_TRUNC", "f OPEN, f MODIFY, f CLOSE_WRITE", func() { s.ok(s.opens("f", unix.O_TRUNC|unix.O_WRONLY)) })
	w.sees("times", "f ATTRIB", func() {
		s.ok(unix.UtimesNanoAt(unix.AT_FDCWD, s.p("f"), []unix.Timespec{{Sec: 1}, {Sec: 2}}, 0))
	})
	w.sees("setxattr", "f ATTRIB", func() { s.ok(unix.Setxattr(s.p("f"), "user.k", []byte("v"), 0)) })
	w.sees("removexattr", "f ATTRIB", func() { s.ok(unix.Removexattr(s.p("f"), "user.k")) })
	w.sees("stat", "", func() { s.stat("f") })
	w.sees("link", "f ATTRIB", func() { s.ok(s.link("f", "g")) })
	w.sees("unlink one of two", "f ATTRIB", func() { s.ok(unix.Unlink(s.p("g"))) })
	w.sees("what fails", "", func() { s.fails("link", s.link("f", "f"), unix.EEXIST) })
}

func eventsOfDirectories(s *scene) {
	s.mkdir("d")
	w := s.watch("d")
	w.sees("create", "d/f CREATE, d/f OPEN, d/f CLOSE_WRITE", func() { s.ok(s.opens("d/f", unix.O_CREAT|unix.O_WRONLY)) })
	w.sees("mkdir", "d/sub CREATE+ISDIR", func() { s.mkdir("d/sub") })
	w.sees("symlink", "d/l CREATE", func() { s.symlink("f", "d/l") })
	w.sees("link", "d/g CREATE", func() { s.ok(s.link("d/f", "d/g")) })
	w.sees("mkfifo", "d/p CREATE", func() { s.ok(unix.Mkfifo(s.p("d/p"), 0o644)) })
	w.sees("chmod", "d/f ATTRIB", func() { s.chmod("d/f", 0o600) })
	w.sees("in a directory below", "", func() { s.files("d/sub/f") })
	w.sees("list", "d OPEN+ISDIR, d ACCESS+ISDIR, d CLOSE_NOWRITE+ISDIR", func() { s.list("d") })
	w.sees("unlink", "d/f DELETE", func() { s.ok(unix.Unlink(s.p("d/f"))) })
	w.sees("chmod of itself", "d ATTRIB+ISDIR", func() { s.chmod("d", 0o700) })
	s.ok(unix.Unlink(s.p("d/sub/f")))
	w.sees("rmdir", "d/sub DELETE+ISDIR", func() { s.ok(unix.Rmdir(s.p("d/sub"))) })
}

// Both halves of a move have one cookie.
func eventsOfMoves(s *scene) {
	s.mkdir("a", "b")
	s.files("a/f", "b/over")
	w := s.watch("a", "b", "a/f", "b/over")
	w.sees("within", "a/f MOVED_FROM, a/g MOVED_TO=, a/f MOVE_SELF", func() { s.ok(s.rename("a/f", "a/g")) })
	w.sees("between", "a/g MOVED_FROM, b/h MOVED_TO=, a/f MOVE_SELF", func() { s.ok(s.rename("a/g", "b/h")) })
	w.sees("over another", "b/h MOVED_FROM, b/over MOVED_TO=, b/over ATTRIB, a/f MOVE_SELF, b/over DELETE_SELF, b/over IGNORED", func() { s.ok(s.rename("b/h", "b/over")) })
	s.files("a/x")
	w.take()
	w.sees("exchange", "a/x MOVED_FROM, b/over MOVED_TO=, b/over MOVED_FROM, a/x MOVED_TO=, a/f MOVE_SELF", func() {
		s.ok(s.rename("a/x", "b/over", unix.RENAME_EXCHANGE))
	})
}

// A file is at its end when it has no name and nobody has it open.
func eventsOfTheEnd(s *scene) {
	s.mkdir("d")
	s.files("f")
	w := s.watch("f", "d")
	fd := s.open("f", unix.O_RDWR)
	w.take()
	w.sees("unlink while open", "f ATTRIB", func() { s.ok(unix.Unlink(s.p("f"))) })
	w.sees("close", "f CLOSE_WRITE, f DELETE_SELF, f IGNORED", func() { s.close(fd) })
	w.sees("rmdir", "d DELETE_SELF, d IGNORED", func() { s.ok(unix.Rmdir(s.p("d"))) })
}
