package fs

import (
	"errors"
	"io"
	"os"
	"runtime"
	"slices"
	"testing"

	"github.com/silvermirror/smfs/fs/tree"
	"github.com/silvermirror/smfs/journal"
	"golang.org/x/sys/unix"
)

// place puts a file where it belongs as apply does, and waits until the kernel
// has been told.
func (w *world) place(path, text string) {
	w.t.Helper()
	expect := tree.Absent()
	info, err := w.tree.Stat(path)
	if err == nil {
		expect = tree.Exactly(info)
	}
	tmp, err := w.tree.NewTemp(parentOf(path), 0o640, nil)
	must(w.t, err)
	_, err = tmp.Write([]byte(text))
	must(w.t, err)
	_, err = w.tree.Place(tmp, tree.At(path), expect)
	must(w.t, err)
	w.m.Drain()
}

func parentOf(path string) string {
	for i := len(path) - 1; i >= 0; i-- {
		if path[i] == '/' {
			return path[:i]
		}
	}
	return ""
}

func (w *world) info(path string) tree.Info {
	w.t.Helper()
	i, err := w.tree.Stat(path)
	must(w.t, err)
	return i
}

func (w *world) list(dir string) []string {
	w.t.Helper()
	entries, err := os.ReadDir(w.path(dir))
	must(w.t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// TestApplyShowsAtOnce: what the kernel has cached (names, their absence,
// attributes, listings, data) does not outlive a change from below.
func TestApplyShowsAtOnce(t *testing.T) {
	eachPath(t, func(w *world) {
		must(w.t, os.Mkdir(w.path("d"), 0o755))
		w.write("d/f", "old")
		w.journal.await(journal.KindClose, "d/f")
		_, err := os.Stat(w.path("d/new"))
		wantErrno(w.t, "stat before", err, unix.ENOENT)
		if got := w.list("d"); !slices.Equal(got, []string{"f"}) {
			w.t.Fatalf("listing before: %q", got)
		}
		if got := w.read("d/f"); got != "old" {
			w.t.Fatalf("reads %q before", got)
		}

		w.place("d/unasked", "nobody has asked for this name")
		if got := w.list("d"); !slices.Equal(got, []string{"f", "unasked"}) {
			w.t.Errorf("listing after the first: %q", got)
		}
		must(w.t, w.tree.Remove(tree.At("d/unasked"), tree.Exactly(w.info("d/unasked"))))
		w.place("d/new", "came from elsewhere")
		w.place("d/f", "replaced")
		if got := w.read("d/new"); got != "came from elsewhere" {
			w.t.Errorf("the new file reads %q", got)
		}
		if got := w.read("d/f"); got != "replaced" {
			w.t.Errorf("the replaced file reads %q", got)
		}
		if got := w.list("d"); !slices.Equal(got, []string{"f", "new"}) {
			w.t.Errorf("listing %q", got)
		}
		must(w.t, w.tree.Remove(tree.At("d/f"), tree.Exactly(w.info("d/f"))))
		mode := uint32(0o600)
		_, err = w.tree.SetAttr(tree.At("d/new"), tree.Exactly(w.info("d/new")), tree.Attr{Mode: &mode})
		must(w.t, err)
		_, err = w.tree.Mkdir(tree.At("d/sub"), 0o755)
		must(w.t, err)
		link, err := w.tree.NewTempSymlink("d", "new", 5e9, nil)
		must(w.t, err)
		_, err = w.tree.Place(link, tree.At("d/link"), tree.Absent())
		must(w.t, err)
		w.m.Drain()
		_, err = os.Stat(w.path("d/f"))
		wantErrno(w.t, "stat the removed file", err, unix.ENOENT)
		if got := w.list("d"); !slices.Equal(got, []string{"link", "new", "sub"}) {
			w.t.Errorf("listing %q", got)
		}
		w.compare("d", "changes from below")
	})
}

// TestApplyBesideOpenFiles: readers keep what they have open; a file that is
// open for writing is not replaced.
func TestApplyBesideOpenFiles(t *testing.T) {
	eachPath(t, func(w *world) {
		w.write("f", "old")
		w.journal.await(journal.KindClose, "f")
		r, err := os.Open(w.path("f"))
		must(w.t, err)
		defer r.Close()
		w.place("f", "new")
		b, err := io.ReadAll(r)
		if string(b) != "old" || err != nil {
			w.t.Errorf("the open file reads %q, %v", b, err)
		}
		if got := w.read("f"); got != "new" {
			w.t.Errorf("the name reads %q", got)
		}
		must(w.t, r.Chmod(0o600)) // reaches the old inode, not the new one
		if st := stat(w.t, w.path("f")); st.Mode&0o777 != 0o640 {
			w.t.Errorf("the new file has mode %o", st.Mode)
		}

		f, err := os.OpenFile(w.path("f"), os.O_WRONLY, 0)
		must(w.t, err)
		tmp, err := w.tree.NewTemp("", 0o644, nil)
		must(w.t, err)
		if _, err = w.tree.Place(tmp, tree.At("f"), tree.Exactly(w.info("f"))); !errors.Is(err, tree.ErrBusy) {
			w.t.Errorf("replaced under a writer: %v", err)
		}
		must(w.t, tmp.Discard())
		must(w.t, f.Close())
		w.journal.take()
	})
}

// TestOpenAfterReplacement: a name that the kernel still has for the old inode
// opens the new one (the ESTALE rule), whatever the queue has done by then.
func TestOpenAfterReplacement(t *testing.T) {
	eachPath(t, func(w *world) {
		w.write("f", "old")
		w.journal.await(journal.KindClose, "f")
		stat(w.t, w.path("f"))
		must(w.t, os.WriteFile(w.below("g"), []byte("new"), 0o644))
		must(w.t, os.Rename(w.below("g"), w.below("f"))) // nobody tells the kernel
		if got := w.read("f"); got != "new" {
			w.t.Errorf("reads %q", got)
		}
		must(w.t, os.WriteFile(w.below("g"), []byte("newer"), 0o644))
		must(w.t, os.Rename(w.below("g"), w.below("f")))
		w.write("f", "written") // truncates and writes what is there now
		if got := w.readBelow("f"); got != "written" {
			w.t.Errorf("holds %q", got)
		}
	})
}

// TestApplyMovesDirectory: who works inside goes on, and what changes there is
// journaled at its new path.
func TestApplyMovesDirectory(t *testing.T) {
	eachPath(t, func(w *world) {
		must(w.t, os.MkdirAll(w.path("a/b"), 0o755))
		w.write("a/b/f", "one")
		f, err := os.OpenFile(w.path("a/b/f"), os.O_RDWR, 0)
		must(w.t, err)
		defer f.Close()
		dir, err := unix.Open(w.path("a/b"), unix.O_RDONLY|unix.O_DIRECTORY, 0)
		must(w.t, err)
		defer unix.Close(dir)
		_, err = w.tree.Rename(tree.At("a"), tree.At("moved"), tree.Exactly(w.info("a")))
		must(w.t, err)
		w.m.Drain()
		w.journal.take()

		must(w.t, f.Chmod(0o600))
		fd, err := unix.Openat(dir, "g", unix.O_CREAT|unix.O_WRONLY, 0o644)
		must(w.t, err)
		must(w.t, unix.Close(fd))
		w.journal.await(journal.KindClose, "moved/b/g")
		for _, r := range w.journal.take() {
			if r.Path != "moved/b/f" && r.Path != "moved/b/g" {
				w.t.Errorf("record %+v", r)
			}
		}
		if got := w.read("moved/b/f"); got != "one" {
			w.t.Errorf("reads %q", got)
		}
		_, err = os.Stat(w.path("a"))
		wantErrno(w.t, "the old path", err, unix.ENOENT)
	})
}

// TestTempsAreHidden: what apply has under way is no business of the user's.
func TestTempsAreHidden(t *testing.T) {
	eachPath(t, func(w *world) {
		tmp, err := w.tree.NewTemp("", 0o644, nil)
		must(w.t, err)
		defer tmp.Discard()
		entries, err := os.ReadDir(w.below())
		must(w.t, err)
		found := 0
		for _, e := range entries {
			if tree.IsTemp(e.Name()) {
				found++
				_, err := os.Stat(w.path(e.Name()))
				wantErrno(w.t, "stat a temporary", err, unix.ENOENT)
			}
		}
		if found == 0 {
			w.t.Error("there is no temporary beneath")
		}
		for _, name := range w.list("") {
			if tree.IsTemp(name) {
				w.t.Errorf("%s is listed", name)
			}
		}
	})
}

// TestOpenDuringLease: somebody who opens a file to write while it is being
// probed for writers waits, and does not hear of it.
func TestOpenDuringLease(t *testing.T) {
	eachPath(t, func(w *world) {
		w.write("f", "text")
		w.journal.await(journal.KindClose, "f")
		fd, err := unix.Open(w.below("f"), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		must(w.t, err)
		defer unix.Close(fd)
		for { // the close that the kernel reports may not be over
			if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_RDLCK); err == nil {
				break
			} else if err != unix.EAGAIN {
				w.t.Fatal(err)
			}
			runtime.Gosched()
		}
		opened := make(chan error, 1)
		go func() { opened <- opening("f", unix.O_WRONLY)(w.dir) }()
		for { // until the kernel wants the lease back
			now, err := unix.FcntlInt(uintptr(fd), unix.F_GETLEASE, 0)
			must(w.t, err)
			if now != unix.F_RDLCK {
				break
			}
			runtime.Gosched()
		}
		_, err = unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_UNLCK)
		must(w.t, err)
		must(w.t, <-opened)
	})
}
