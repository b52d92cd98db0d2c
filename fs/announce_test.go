package fs

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/silvermirror/smfs/fs/tree"
	"github.com/silvermirror/smfs/fstest"
	"github.com/silvermirror/smfs/journal"
	"golang.org/x/sys/unix"
)

// announcing is a mount that has an announcer.
func announcing(s setup) setup {
	inner := s.options
	s.options = func(w *world, o *Options) {
		if inner != nil {
			inner(w, o)
		}
		o.Announcer = func() *exec.Cmd {
			cmd := exec.Command("/proc/self/exe", w.dir)
			cmd.Env = append(os.Environ(), programEnv+"=announce")
			cmd.Stderr = os.Stderr
			return cmd
		}
	}
	return s
}

// needsUniqueMounts skips where the kernel cannot tell mounts apart for good.
func needsUniqueMounts(t *testing.T) {
	fd := openBase(t, "/")
	_, err := uniqueMount(fd)
	if err == unix.EOPNOTSUPP {
		t.Skip("before Linux 6.8 nobody is told")
	}
	must(t, err)
}

// watch is a program that watches.
func (w *world) watch(names ...string) *fstest.Watcher {
	w.t.Helper()
	return fstest.Watch(w.t, w.dir, names...)
}

// seen is what must not change by an announcement.
func (w *world) seen(dir string) string {
	w.t.Helper()
	var b strings.Builder
	names := append([]string{"."}, w.list(dir)...)
	for _, name := range names {
		st := stat(w.t, w.path(dir, name))
		fmt.Fprintln(&b, name, st.Ino, st.Nlink, st.Size, st.Mtim, st.Mode, st.Uid)
	}
	return b.String()
}

// TestAnnounced makes each kind of change as apply does, and listens.
func TestAnnounced(t *testing.T) {
	needsUniqueMounts(t)
	eachPathWith(t, announcing(setup{}), func(w *world) {
		must(w.t, os.MkdirAll(w.path("d/sub"), 0o755))
		for _, name := range []string{"edited", "gone", "from"} {
			w.write("d/"+name, "old")
			w.journal.await(journal.KindClose, "d/"+name)
		}
		must(w.t, os.Symlink("edited", w.path("d/link")))
		w.settleClose()
		v := w.watch("d", "d/edited", "d/gone", "d/sub")
		w.journal.take()

		w.place("d/new", "new")
		v.Hears("d create new", "d modify new", "d close_write new")
		w.place("d/edited", "edited elsewhere")
		v.Hears("d/edited delete_self", "d modify edited", "d close_write edited")
		must(w.t, w.tree.Remove(tree.At("d/gone"), tree.Exactly(w.info("d/gone"))))
		v.Hears("d/gone delete_self", "d delete gone")
		_, err := w.tree.Mkdir(tree.At("d/dir"), 0o755)
		must(w.t, err)
		v.Hears("d create dir/")
		must(w.t, w.tree.Rmdir(tree.At("d/sub"), tree.Exactly(w.info("d/sub"))))
		v.Hears("d/sub delete_self", "d delete sub/")
		link, err := w.tree.NewTempSymlink("d", "new", 5e9, nil)
		must(w.t, err)
		_, err = w.tree.Place(link, tree.At("d/link"), tree.Exactly(w.info("d/link")))
		must(w.t, err)
		v.Hears("d modify link")
		link, err = w.tree.NewTempSymlink("d", "new", 5e9, nil)
		must(w.t, err)
		_, err = w.tree.Place(link, tree.At("d/another"), tree.Absent())
		must(w.t, err)
		v.Hears("d create another")
		_, err = w.tree.Rename(tree.At("d/from"), tree.At("d/to"), tree.Exactly(w.info("d/from")))
		must(w.t, err)
		v.Hears("d delete from", "d create to")
		stat(w.t, w.path("d/to"))
		mode := uint32(0o600)
		_, err = w.tree.SetAttr(tree.At("d/to"), tree.Exactly(w.info("d/to")), tree.Attr{Mode: &mode})
		must(w.t, err)
		v.Hears("d attrib to")

		if got := w.list("d"); !slices.Equal(got, []string{"another", "dir", "edited", "link", "new", "to"}) {
			w.t.Errorf("listing %q", got)
		}
		if got := w.read("d/edited"); got != "edited elsewhere" {
			w.t.Errorf("reads %q", got)
		}
		if got := w.journal.take(); len(got) > 0 {
			w.t.Errorf("announcements were journaled: %+v", got)
		}
		w.compare("d", "announcements")
	})
}

// TestAnnouncedChangesNothing announces what others look at and have open.
func TestAnnouncedChangesNothing(t *testing.T) {
	needsUniqueMounts(t)
	eachPathWith(t, announcing(setup{}), func(w *world) {
		must(w.t, os.Mkdir(w.path("d"), 0o755))
		w.write("d/f", "old")
		w.journal.await(journal.KindClose, "d/f")
		must(w.t, os.Link(w.path("d/f"), w.path("d/g")))
		v := w.watch("d")
		w.place("d/f", "new")
		v.Hears("d close_write f")
		f, err := os.OpenFile(w.path("d/f"), os.O_RDWR|os.O_APPEND, 0)
		must(w.t, err)
		defer f.Close()
		before := w.seen("d")
		w.journal.take()
		n, d := w.node("d/f"), w.node("d")
		for _, c := range []change{
			{before: unix.S_IFREG, after: unix.S_IFREG}, // open: the inode itself is touched
			{after: unix.S_IFREG},
		} {
			w.m.announcements.add(note{d, "f"}, c)
			v.Hears("d modify f")
		}
		w.m.announcements.add(note{n, ""}, change{})
		v.Hears("d attrib f")
		w.m.announcements.add(note{d, "g"}, change{after: unix.S_IFREG})
		v.Hears("d create g", "d close_write g")
		w.m.announcements.add(note{d, "none"}, change{before: unix.S_IFREG})
		v.Hears("d delete none")
		w.m.announcements.add(note{d, "none"}, change{before: unix.S_IFDIR})
		v.Hears("d delete none/")
		_, err = os.Stat(w.path("d/none"))
		wantErrno(w.t, "what was announced to be gone", err, unix.ENOENT)
		if after := w.seen("d"); after != before {
			w.t.Errorf("was\n%snow\n%s", before, after)
		}
		if got := w.journal.take(); len(got) > 0 {
			w.t.Errorf("announcements were journaled: %+v", got)
		}
		_, err = f.WriteString(" and more")
		must(w.t, err)
		if got := w.read("d/f"); got != "new and more" {
			w.t.Errorf("reads %q", got)
		}
		if text, err := os.Readlink(procPath(int(f.Fd()))); text != w.path("d/f") {
			w.t.Errorf("the open file is called %q, %v", text, err)
		}
	})
}

// node is the node of a path that somebody has looked at.
func (w *world) node(path string) *node {
	w.t.Helper()
	stat(w.t, w.path(path))
	n := w.m.known(w.info(path).Key)
	if n == nil {
		w.t.Fatalf("nobody knows %s", path)
	}
	return n
}

// TestWatchedWithoutItsName: who watches a file hears of its end also where the
// kernel has no name of it any more, as after it was short of memory.
func TestWatchedWithoutItsName(t *testing.T) {
	needsUniqueMounts(t)
	eachPathWith(t, announcing(setup{}), func(w *world) {
		must(w.t, os.MkdirAll(w.path("d/sub"), 0o755))
		for _, name := range []string{"edited", "gone"} {
			w.write("d/"+name, "old")
			w.journal.await(journal.KindClose, "d/"+name)
		}
		d := w.node("d")
		v := w.watch("d/edited", "d/gone", "d/sub")
		for _, name := range []string{"edited", "gone", "sub"} {
			if errno := d.NotifyEntry(name); errno != 0 {
				w.t.Fatalf("forget %s: %v", name, errno)
			}
		}
		w.place("d/edited", "edited")
		v.Hears("d/edited delete_self")
		must(w.t, w.tree.Remove(tree.At("d/gone"), tree.Exactly(w.info("d/gone"))))
		v.Hears("d/gone delete_self")
		must(w.t, w.tree.Rmdir(tree.At("d/sub"), tree.Exactly(w.info("d/sub"))))
		v.Hears("d/sub delete_self")
		if got := w.read("d/edited"); got != "edited" {
			w.t.Errorf("reads %q", got)
		}
		w.compare("d", "watches have ended")
	})
}

// TestAnnouncedMeanwhile announces while programs work in the same directories and
// look at the same names: it changes nothing of what they see.
func TestAnnouncedMeanwhile(t *testing.T) {
	needsUniqueMounts(t)
	eachPathWith(t, announcing(setup{}), func(w *world) {
		w.chaos(func(r *rand.Rand) {
			v := w.watch("d0", "d1", "d2")
			w.applyAtOnce(r)
			w.place("d0/last", "last")
			v.Hears("d0 create last")
		})
	})
}

// TestAnnouncerIsLazy: without anybody who watches here there is none, and it goes
// when the last one does.
func TestAnnouncerIsLazy(t *testing.T) {
	needsUniqueMounts(t)
	w := newWorld(t, announcing(setup{passthrough: "off"}))
	must(t, os.Mkdir(w.path("d"), 0o755))
	must(t, os.Mkdir(w.path("e"), 0o755))
	a := w.m.announcements
	settled := func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return len(a.changes) == 0
	}
	running := func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.child != nil
	}
	w.place("d/one", "one")
	for !settled() {
		runtime.Gosched()
	}
	if running() {
		t.Error("it was started for nobody")
	}
	v := w.watch("d")
	w.place("d/two", "two")
	v.Hears("d close_write two")
	w.place("e/three", "three") // not watched: it has to wait for the next scan
	for !settled() {
		runtime.Gosched()
	}
	if !running() {
		t.Error("it is gone while somebody watches")
	}
	v.Close()
	for running() {
		w.place("d/four", "four")
		w.place("d/four", "more")
	}
}

// TestUnmountWhileAnnouncing: the announcer keeps no mount busy, and is gone with it.
func TestUnmountWhileAnnouncing(t *testing.T) {
	needsUniqueMounts(t)
	for range 5 {
		w := newWorld(t, announcing(setup{passthrough: "off"}))
		must(t, os.Mkdir(w.path("d"), 0o755))
		d := w.node("d")
		v := w.watch("d")
		w.place("d/f", "f")
		v.Hears("d close_write f")
		for i := range 1000 {
			w.m.announcements.add(note{d, strconv.Itoa(i)}, change{before: unix.S_IFREG})
		}
		v.Hears("d delete 0")
		pid := int(w.m.announcements.gate.announcer.Load())
		must(t, w.m.Unmount(false))
		if err := unix.Kill(pid, 0); pid == 0 || err != unix.ESRCH {
			t.Errorf("the announcer, process %d, is still there: %v", pid, err)
		}
	}
}

// TestAnnouncerStaysInItsMount: where another mount, or none, is at the place, the
// announcer does nothing and no other one is started.
func TestAnnouncerStaysInItsMount(t *testing.T) {
	needsUniqueMounts(t)
	w := newWorld(t, announcing(setup{passthrough: "off"}))
	must(t, os.Mkdir(w.path("d"), 0o755))
	w.write("d/f", "text")
	d := w.node("d")
	v := w.watch("d")
	w.place("d/g", "g")
	v.Hears("d close_write g")
	hold, err := os.Open(w.path("d/f"))
	must(t, err)
	must(t, w.m.Unmount(true))
	w.m.announcements.add(note{d, "f"}, change{before: unix.S_IFREG, after: unix.S_IFREG})
	<-w.m.announcements.stopped
	if b, err := os.ReadFile(w.path("d/f")); string(b) != "text" || err != nil {
		t.Errorf("the plain file reads %q, %v", b, err)
	}
	must(t, hold.Close())
	w.m.Wait()
}

// TestAnnouncerDies: another one takes its place.
func TestAnnouncerDies(t *testing.T) {
	needsUniqueMounts(t)
	w := newWorld(t, announcing(setup{passthrough: "off"}))
	must(t, os.Mkdir(w.path("d"), 0o755))
	v := w.watch("d")
	for i := range 5 {
		name := strconv.Itoa(i)
		w.place("d/"+name, "text")
		v.Hears("d close_write " + name)
		w.m.announcements.kill()
	}
}

func TestOrders(t *testing.T) {
	for _, o := range []order{
		{verbCreate, unix.S_IFREG, "./a b/c", "name"},
		{verbDelete, unix.S_IFDIR, "./", "new\nline \"quoted\" \xff\x00 é"},
		{verbProve, 0, ".", "x"},
	} {
		if got, err := decodeOrder(encodeOrder(o)); got != o || err != nil {
			t.Errorf("%+v came as %+v, %v", o, got, err)
		}
	}
	for _, line := range []string{"", "\n", "1\n", "1 2 3 4\n", "1 100000 \"a\" b\n", "999 1 \"a\" \"b\"\n"} {
		if o, err := decodeOrder(line); err == nil {
			t.Errorf("%q is %+v", line, o)
		}
	}
	for _, err := range []error{nil, errOther, refused(unix.EPERM)} {
		var said error = err
		if r, ok := err.(refused); ok {
			said = unix.Errno(r)
		}
		if got := answered(answer(said) + "\n"); !errors.Is(got, err) {
			t.Errorf("%v came as %v", err, got)
		}
	}
}

func TestMarks(t *testing.T) {
	const dev, mount = 0x2c, 0x1f
	for info, want := range map[string]watched{
		"pos:\t0\ninotify wd:1 ino:9e sdev:2c mask:fff ignored_mask:0 fhandle-bytes:8\n":       {inodes: map[uint64]bool{0x9e: true}},
		"inotify wd:1 ino:9e sdev:800002c mask:fff\ninotify wd:2 ino:1 sdev:2c mask:1\n":       {inodes: map[uint64]bool{1: true}},
		"fanotify flags:10 event-flags:0\nfanotify ino:7 sdev:2c mflags:0 mask:3b\n":           {inodes: map[uint64]bool{7: true}},
		"fanotify flags:10 event-flags:0\nfanotify sdev:2c mflags:0 mask:3b\n":                 {all: true},
		"fanotify flags:10 event-flags:0\nfanotify mnt_id:1f mflags:0 mask:3b ignored_mask:\n": {all: true},
		"fanotify mnt_id:20 mflags:0 mask:3b\nfanotify sdev:2d\neventfd-count: 0\n":            {},
	} {
		got := watched{inodes: map[uint64]bool{}}
		marks{dev, mount}.parse(info, &got)
		if got.all != want.all || len(got.inodes) != len(want.inodes) {
			t.Errorf("%q gives %+v", info, got)
		}
		for ino := range want.inodes {
			if !got.has(ino) {
				t.Errorf("%q gives %+v", info, got)
			}
		}
	}
}

func FuzzDecodeOrder(f *testing.F) {
	f.Add(encodeOrder(order{verbModify, unix.S_IFREG, "./a b/c", "new\nline"}))
	f.Add("2 100000 \"./\" \"\\xff\"\n")
	f.Fuzz(func(t *testing.T, line string) {
		o, err := decodeOrder(line)
		if err != nil {
			return
		}
		if again, err := decodeOrder(encodeOrder(o)); again != o || err != nil {
			t.Errorf("%q is %+v, then %+v, %v", line, o, again, err)
		}
	})
}
