package fs

import (
	"io"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// trip is one row of the table of trips in DESIGN.md: what a program waits for
// when it does something.
type trip struct {
	what        string
	passthrough string
	daemon      string // where it carries the data; "": the same
	do          func(w *world) error
}

var trips = []trip{
	{"stat, of a name the first time", "LOOKUP", "", func(w *world) error { return w.stat("d/old") }},
	{"stat, again", "", "", func(w *world) error { return w.stat("d/old") }},
	{"stat, of a name that is not there, again", "", "", func(w *world) error { return w.absent("d/none") }},
	{"open, read, close", "OPEN", "OPEN READ", func(w *world) error { return w.get("d/old") }},
	{"open, read, close, again", "OPEN", "OPEN", func(w *world) error { return w.get("d/old") }},
	{"create, write, close", "LOOKUP CREATE GETXATTR", "LOOKUP CREATE GETXATTR WRITE", func(w *world) error { return w.put("d/f", unix.O_EXCL) }},
	{"create, write, close, where the name is known to be free", "CREATE GETXATTR", "CREATE GETXATTR WRITE", func(w *world) error { return w.put("d/none", 0) }},
	{"stat, after a write", "GETATTR", "", func(w *world) error { return w.stat("d/f") }},
	{"truncate, write, close", "OPEN GETXATTR GETXATTR", "OPEN GETXATTR GETXATTR WRITE", func(w *world) error { return w.put("d/f", unix.O_TRUNC) }},
	{"append, close", "OPEN", "OPEN WRITE", func(w *world) error { return w.put("d/f", unix.O_APPEND) }},
	{"rename", "LOOKUP RENAME", "", func(w *world) error { return unix.Rename(w.path("d/f"), w.path("d/g")) }},
	{"rename, over another", "LOOKUP RENAME", "", func(w *world) error { return unix.Rename(w.path("d/none"), w.path("d/g")) }},
	{"link", "LOOKUP LINK", "", func(w *world) error { return unix.Link(w.path("d/g"), w.path("d/h")) }},
	{"chmod", "SETATTR", "", func(w *world) error { return unix.Chmod(w.path("d/g"), 0o600) }},
	{"setxattr", "SETXATTR", "", func(w *world) error { return unix.Setxattr(w.path("d/g"), "user.x", []byte("x"), 0) }},
	{"unlink", "UNLINK", "", func(w *world) error { return unix.Unlink(w.path("d/h")) }},
	{"mkdir", "LOOKUP MKDIR", "", func(w *world) error { return unix.Mkdir(w.path("d/sub"), 0o755) }},
	{"rmdir", "RMDIR", "", func(w *world) error { return unix.Rmdir(w.path("d/sub")) }},
	{"symlink", "LOOKUP SYMLINK", "", func(w *world) error { return unix.Symlink("old", w.path("d/link")) }},
	{"readlink", "READLINK", "", func(w *world) error { _, err := unix.Readlink(w.path("d/link"), make([]byte, 9)); return err }},
	{"readlink, again", "", "", func(w *world) error { _, err := unix.Readlink(w.path("d/link"), make([]byte, 9)); return err }},
	{"list", "OPENDIR GETATTR READDIRPLUS READDIRPLUS", "", func(w *world) error { return w.readNames("d") }},
	{"list, again", "OPENDIR", "", func(w *world) error { return w.readNames("d") }},
}

// TestTrips counts what a program waits for: how often it goes to the daemon. Where
// the kernel checks permissions, it also asks for attributes after
// each change of a name, which is not counted here.
func TestTrips(t *testing.T) {
	log := &requestLog{}
	s := setup{options: log.collect, prepare: func(dir string) {
		must(t, os.Mkdir(dir+"/d", 0o755))
		must(t, os.WriteFile(dir+"/d/old", []byte("old"), 0o644))
	}}
	eachPathWith(t, s, func(w *world) {
		must(w.t, w.absent("d/none"))
		for _, trip := range trips {
			w.settleClose()
			log.take()
			if err := trip.do(w); err != nil {
				w.t.Fatalf("%s: %v", trip.what, err)
			}
			want := trip.passthrough
			if !w.m.Passthrough() && trip.daemon != "" {
				want = trip.daemon
			}
			got := log.take()
			if !w.m.alone {
				got, want = withoutAttributes(got), withoutAttributes(want)
			}
			if got != want {
				w.t.Errorf("%s: %s; want %s", trip.what, got, want)
			}
		}
	})
}

func withoutAttributes(kinds string) string {
	return strings.Join(slices.DeleteFunc(strings.Fields(kinds), func(kind string) bool { return strings.HasPrefix(kind, "GET") }), " ")
}

func (w *world) stat(name string) error {
	var st unix.Stat_t
	return unix.Lstat(w.path(name), &st)
}

func (w *world) absent(name string) error {
	if err := w.stat(name); err != unix.ENOENT {
		return err
	}
	return nil
}

func (w *world) get(name string) error {
	fd, err := unix.Open(w.path(name), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = unix.Read(fd, make([]byte, 100))
	return err
}

func (w *world) put(name string, flags int) error {
	fd, err := unix.Open(w.path(name), unix.O_WRONLY|unix.O_CREAT|unix.O_CLOEXEC|flags, 0o644)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = unix.Write(fd, []byte("text"))
	return err
}

func (w *world) readNames(name string) error {
	fd, err := unix.Open(w.path(name), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for {
		if n, err := unix.ReadDirent(fd, make([]byte, 4096)); n <= 0 || err != nil {
			return err
		}
	}
}

// requestLog collects the kinds of requests that somebody waits for out of a log
// of all.
type requestLog struct {
	mu    sync.Mutex // guards kinds
	kinds []string
}

var _ io.Writer = (*requestLog)(nil)

// collect has a mount log its requests here.
func (l *requestLog) collect(_ *world, o *Options) {
	o.Debug = true
	o.Log = slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

var requestLine = regexp.MustCompile(`fuse: rx \d+: (\w+)`)

func (l *requestLog) Write(line []byte) (int, error) {
	m := requestLine.FindSubmatch(line)
	if m == nil {
		return len(line), nil
	}
	switch kind := string(m[1]); kind {
	case "RELEASE", "RELEASEDIR", "FORGET", "BATCH_FORGET", "INTERRUPT":
	default:
		l.mu.Lock()
		defer l.mu.Unlock()
		l.kinds = append(l.kinds, kind)
	}
	return len(line), nil
}

// take returns what has been collected since the last time.
func (l *requestLog) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	kinds := strings.Join(l.kinds, " ")
	l.kinds = nil
	return kinds
}
