package fs

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/silvermirror/smfs/journal"
	"golang.org/x/sys/unix"
)

// mutation is one way to change something. Each runs in a directory of its own
// that holds: file ("content"), other ("other content"), dir (empty), full
// (with full/inside), link -> file, hard (a second name of twin).
type mutation struct {
	name string
	do   func(dir string) error
	// acted reports whether it has had its effect on the backing directory.
	acted func(dir string) bool
	// wants are the records, with paths relative to the directory.
	wants []wantRecord
	// errno is the answer where it is refused on principle; it has no effect then.
	errno syscall.Errno
}

type wantRecord struct {
	kind     journal.Kind
	path, to string
}

func mutations() []mutation {
	return []mutation{
		{name: "open O_CREAT", do: creating("new", unix.O_WRONLY), acted: exists("new"),
			wants: []wantRecord{{journal.KindCreate, "new", ""}}},
		{name: "mknod file", do: func(d string) error { return unix.Mknod(d+"/new", unix.S_IFREG|0o644, 0) }, acted: exists("new"),
			wants: []wantRecord{{journal.KindCreate, "new", ""}}},
		{name: "mknod fifo", do: func(d string) error { return unix.Mkfifo(d+"/new", 0o644) }, acted: exists("new"),
			wants: []wantRecord{{journal.KindCreate, "new", ""}}},
		{name: "mkdir", do: func(d string) error { return os.Mkdir(d+"/new", 0o755) }, acted: exists("new"),
			wants: []wantRecord{{journal.KindMkdir, "new", ""}}},
		{name: "symlink", do: func(d string) error { return os.Symlink("file", d+"/new") }, acted: exists("new"),
			wants: []wantRecord{{journal.KindSymlink, "new", ""}}},
		{name: "link", do: func(d string) error { return os.Link(d+"/file", d+"/new") }, acted: exists("new"),
			wants: []wantRecord{{journal.KindLink, "file", "new"}}},
		{name: "unlink", do: func(d string) error { return unix.Unlink(d + "/file") }, acted: absent("file"),
			wants: []wantRecord{{journal.KindUnlink, "file", ""}}},
		{name: "unlink one of two names", do: func(d string) error { return unix.Unlink(d + "/hard") }, acted: absent("hard"),
			wants: []wantRecord{{journal.KindUnlink, "hard", ""}}},
		{name: "unlink symlink", do: func(d string) error { return unix.Unlink(d + "/link") }, acted: absent("link"),
			wants: []wantRecord{{journal.KindUnlink, "link", ""}}},
		{name: "rmdir", do: func(d string) error { return unix.Rmdir(d + "/dir") }, acted: absent("dir"),
			wants: []wantRecord{{journal.KindRmdir, "dir", ""}}},
		{name: "rename", do: renaming2("file", "new", 0), acted: both(absent("file"), holds2("new", "content")),
			wants: []wantRecord{{journal.KindRename, "file", "new"}}},
		{name: "rename over", do: renaming2("file", "other", 0), acted: both(absent("file"), holds2("other", "content")),
			wants: []wantRecord{{journal.KindRename, "file", "other"}}},
		{name: "rename into a directory", do: renaming2("file", "dir/new", 0), acted: holds2("dir/new", "content"),
			wants: []wantRecord{{journal.KindRename, "file", "dir/new"}}},
		{name: "rename RENAME_NOREPLACE", do: renaming2("file", "new", unix.RENAME_NOREPLACE), acted: exists("new"),
			wants: []wantRecord{{journal.KindRename, "file", "new"}}},
		{name: "rename RENAME_EXCHANGE", do: renaming2("file", "other", unix.RENAME_EXCHANGE), acted: both(holds2("file", "other content"), holds2("other", "content")),
			wants: []wantRecord{{journal.KindRename, "file", "other"}}},
		{name: "rename directory", do: renaming2("full", "new", 0), acted: both(absent("full"), exists("new/inside")),
			wants: []wantRecord{{journal.KindRename, "full", "new"}}},
		{name: "open O_WRONLY", do: opening("file", unix.O_WRONLY),
			wants: []wantRecord{{journal.KindOpen, "file", ""}}},
		{name: "open O_RDWR", do: opening("file", unix.O_RDWR),
			wants: []wantRecord{{journal.KindOpen, "file", ""}}},
		{name: "open O_APPEND", do: opening("file", unix.O_WRONLY|unix.O_APPEND),
			wants: []wantRecord{{journal.KindOpen, "file", ""}}},
		{name: "open O_TRUNC", do: opening("file", unix.O_WRONLY|unix.O_TRUNC), acted: size("file", 0),
			wants: []wantRecord{{journal.KindOpen, "file", ""}}},
		{name: "open O_RDONLY|O_TRUNC", do: opening("file", unix.O_RDONLY|unix.O_TRUNC), acted: size("file", 0),
			wants: []wantRecord{{journal.KindOpen, "file", ""}}},
		{name: "truncate", do: func(d string) error { return unix.Truncate(d+"/file", 3) }, acted: size("file", 3),
			wants: []wantRecord{{journal.KindAttr, "file", ""}}},
		{name: "ftruncate", do: withFile("file", unix.O_WRONLY, func(fd int) error { return unix.Ftruncate(fd, 4) }), acted: size("file", 4),
			wants: []wantRecord{{journal.KindOpen, "file", ""}, {journal.KindAttr, "file", ""}}},
		{name: "chmod", do: func(d string) error { return unix.Chmod(d+"/file", 0o600) }, acted: mode("file", 0o600),
			wants: []wantRecord{{journal.KindAttr, "file", ""}}},
		{name: "chmod directory", do: func(d string) error { return unix.Chmod(d+"/dir", 0o700) }, acted: mode("dir", 0o700),
			wants: []wantRecord{{journal.KindAttr, "dir", ""}}},
		{name: "fchmod", do: withFile("file", unix.O_RDONLY, func(fd int) error { return unix.Fchmod(fd, 0o600) }), acted: mode("file", 0o600),
			wants: []wantRecord{{journal.KindAttr, "file", ""}}},
		{name: "chown", do: func(d string) error { return unix.Chown(d+"/file", os.Getuid(), os.Getgid()) },
			wants: []wantRecord{{journal.KindAttr, "file", ""}}},
		{name: "lchown of a symlink", do: func(d string) error { return unix.Lchown(d+"/link", os.Getuid(), os.Getgid()) },
			wants: []wantRecord{{journal.KindAttr, "link", ""}}},
		{name: "utimens", do: func(d string) error { return setTime(d+"/file", 1_000_000_007) }, acted: mtime("file", 1_000_000_007),
			wants: []wantRecord{{journal.KindAttr, "file", ""}}},
		{name: "utimens of a symlink", do: func(d string) error { return setTime(d+"/link", 1_000_000_007) }, acted: mtime("link", 1_000_000_007),
			wants: []wantRecord{{journal.KindAttr, "link", ""}}},
		{name: "fallocate", do: withFile("file", unix.O_WRONLY, func(fd int) error { return unix.Fallocate(fd, 0, 0, 10000) }), acted: size("file", 10000),
			wants: []wantRecord{{journal.KindOpen, "file", ""}, {journal.KindWrite, "file", ""}}},
		{name: "punch hole", do: withFile("file", unix.O_WRONLY, func(fd int) error {
			return unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, 3)
		}), acted: holds2("file", "\x00\x00\x00tent"),
			wants: []wantRecord{{journal.KindOpen, "file", ""}, {journal.KindWrite, "file", ""}}},
		{name: "copy_file_range", do: copyRange("other", "file"), acted: holds2("file", "other content"),
			wants: []wantRecord{{journal.KindOpen, "file", ""}, {journal.KindWrite, "file", ""}}},
		{name: "setxattr", do: func(d string) error { return unix.Setxattr(d+"/file", "user.k", []byte("v"), 0) }, acted: xattr("file", "user.k", "v"),
			wants: []wantRecord{{journal.KindXattr, "file", ""}}},
		{name: "fsetxattr", do: withFile("file", unix.O_RDONLY, func(fd int) error { return unix.Fsetxattr(fd, "user.k", []byte("v"), 0) }), acted: xattr("file", "user.k", "v"),
			wants: []wantRecord{{journal.KindXattr, "file", ""}}},
		{name: "setxattr on a directory", do: func(d string) error { return unix.Setxattr(d+"/dir", "user.k", []byte("v"), 0) }, acted: xattr("dir", "user.k", "v"),
			wants: []wantRecord{{journal.KindXattr, "dir", ""}}},
		{name: "removexattr", do: func(d string) error { return unix.Removexattr(d+"/other", "user.had") }, acted: xattr("other", "user.had", ""),
			wants: []wantRecord{{journal.KindXattr, "other", ""}}},
		{name: "O_TMPFILE and linkat", do: tmpfile("new"), acted: holds2("new", "from nowhere"),
			wants: []wantRecord{{journal.KindCreate, "new", ""}}},
		{name: "ioctl FICLONE", do: clone("other", "file"), errno: unix.EOPNOTSUPP},
		{name: "ioctl FS_IOC_SETFLAGS", do: withFile("file", unix.O_RDONLY, func(fd int) error {
			return unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS, 0x10)
		}), errno: unix.ENOTTY},
	}
}

// TestMutations walks the whole list: each is refused, without effect, when the
// journal cannot take its record; each is in the journal before it acts.
func TestMutations(t *testing.T) {
	eachPath(t, func(w *world) {
		for i, mu := range mutations() {
			w.t.Run(mu.name, func(t *testing.T) {
				in := "d" + string(rune('A'+i%26)) + string(rune('a'+i/26))
				w.fill(t, in)
				if mu.errno != 0 {
					wantErrno(t, mu.name, mu.do(w.path(in)), mu.errno)
					return
				}
				w.checkRefused(t, mu, in)
				w.checkJournaledFirst(t, mu, in)
			})
		}
	})
}

// fill makes what a mutation finds.
func (w *world) fill(t *testing.T, dir string) {
	must(t, os.MkdirAll(w.path(dir, "full"), 0o755))
	must(t, os.Mkdir(w.path(dir, "dir"), 0o755))
	for name, text := range map[string]string{
		"file": "content", "other": "other content", "twin": "twin", "full/inside": "inside",
	} {
		w.write(filepath.Join(dir, name), text)
		w.journal.await(journal.KindClose, filepath.Join(dir, name))
	}
	must(t, os.Symlink("file", w.path(dir, "link")))
	must(t, os.Link(w.path(dir, "twin"), w.path(dir, "hard")))
	must(t, unix.Setxattr(w.path(dir, "other"), "user.had", []byte("x"), 0))
}

func (w *world) checkRefused(t *testing.T, mu mutation, in string) {
	w.journal.setRefuse(unix.ENOSPC)
	err := mu.do(w.path(in))
	w.journal.setRefuse(0)
	wantErrno(t, mu.name+" without a journal", err, unix.ENOSPC)
	if mu.acted != nil && mu.acted(w.below(in)) {
		t.Errorf("%s acted though the journal had refused", mu.name)
	}
}

func (w *world) checkJournaledFirst(t *testing.T, mu mutation, in string) {
	w.journal.take()
	var early atomic.Bool
	w.journal.onRecord(func(r journal.Record) {
		if mu.acted != nil && r.Kind != journal.KindClose && mu.acted(w.below(in)) {
			early.Store(true)
		}
	})
	err := mu.do(w.path(in))
	w.journal.onRecord(nil)
	if err != nil {
		t.Fatal(err)
	}
	if early.Load() {
		t.Errorf("%s had acted before its record was written", mu.name)
	}
	if mu.acted != nil && !mu.acted(w.below(in)) {
		t.Errorf("%s has no effect", mu.name)
	}
	var got []wantRecord
	for _, r := range w.journal.take() {
		if r.Kind != journal.KindClose {
			got = append(got, wantRecord{r.Kind, within(in, r.Path), within(in, r.To)})
		}
		if r.Resource != "mirror" || r.Actor.Command == "" && r.Kind != journal.KindClose {
			t.Errorf("record without its resource or actor: %+v", r)
		}
	}
	if !slices.Equal(got, mu.wants) {
		t.Errorf("records %v, want %v", got, mu.wants)
	}
}

func within(dir, path string) string {
	if path == "" {
		return ""
	}
	rel, err := filepath.Rel(dir, path)
	if err != nil {
		return path
	}
	return rel
}

func (s *spyJournal) onRecord(fn func(journal.Record)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before = fn
}

// TestCloseIsJournaled: the last close of a handle that could write, and no
// other; under the name that the file has then.
func TestCloseIsJournaled(t *testing.T) {
	eachPath(t, func(w *world) {
		w.write("f", "x")
		w.journal.await(journal.KindClose, "f")
		w.journal.take()
		r, err := os.Open(w.path("f"))
		must(w.t, err)
		f, err := os.OpenFile(w.path("f"), os.O_WRONLY, 0)
		must(w.t, err)
		must(w.t, os.Rename(w.path("f"), w.path("g")))
		must(w.t, r.Close())
		must(w.t, f.Close())
		w.journal.await(journal.KindClose, "g")
		for _, r := range w.journal.take() {
			if r.Kind == journal.KindClose && (r.Path != "g" || r.Actor.Command == "") {
				w.t.Errorf("close record %+v", r)
			}
		}
	})
}

// TestUnmountClosesWhatIsOpen: the journal hears of every writer's end, also of
// one that never closes.
func TestUnmountClosesWhatIsOpen(t *testing.T) {
	eachPath(t, func(w *world) {
		f, err := os.Create(w.path("f"))
		must(w.t, err)
		must(w.t, w.m.Unmount(true))
		must(w.t, f.Close())
		w.m.Wait()
		if _, err := os.Stat(w.below("f")); err != nil {
			w.t.Error(err)
		}
		closed := slices.ContainsFunc(w.journal.take(), func(r journal.Record) bool { return r.Kind == journal.KindClose && r.Path == "f" })
		if !closed {
			w.t.Error("no record of the close")
		}
	})
}

// TestRootAbort: a connection that is cut off loses the kernel's last words; the
// journal hears of the writers' ends all the same.
func TestRootAbort(t *testing.T) {
	if os.Geteuid() != 0 {
		return // only root cuts a connection off
	}
	w := newWorld(t, setup{})
	f, err := os.Create(w.path("f"))
	must(t, err)
	defer f.Close()
	unix.Unmount(w.dir, unix.MNT_FORCE) // aborts the connection, then says EBUSY
	w.m.Wait()
	w.journal.await(journal.KindClose, "f")
	must(t, Detach(w.dir))
}

func creating(name string, flags int) func(string) error {
	return func(d string) error {
		fd, err := unix.Open(d+"/"+name, flags|unix.O_CREAT|unix.O_EXCL, 0o644)
		return errors.Join(err, closing(fd, err))
	}
}

func opening(name string, flags int) func(string) error {
	return withFile(name, flags, func(int) error { return nil })
}

func withFile(name string, flags int, do func(fd int) error) func(string) error {
	return func(d string) error {
		fd, err := unix.Open(d+"/"+name, flags, 0)
		if err != nil {
			return err
		}
		return errors.Join(do(fd), unix.Close(fd))
	}
}

func closing(fd int, err error) error {
	if err != nil {
		return nil
	}
	return unix.Close(fd)
}

func renaming2(from, to string, flags uint) func(string) error {
	return func(d string) error {
		return unix.Renameat2(unix.AT_FDCWD, d+"/"+from, unix.AT_FDCWD, d+"/"+to, flags)
	}
}

func setTime(path string, sec int64) error {
	ts := []unix.Timespec{{Sec: sec}, {Sec: sec, Nsec: 5}}
	return unix.UtimesNanoAt(unix.AT_FDCWD, path, ts, unix.AT_SYMLINK_NOFOLLOW)
}

func copyRange(from, to string) func(string) error {
	return func(d string) error {
		r, err := unix.Open(d+"/"+from, unix.O_RDONLY, 0)
		if err != nil {
			return err
		}
		defer unix.Close(r)
		return withFile(to, unix.O_WRONLY, func(fd int) error {
			_, err := unix.CopyFileRange(r, nil, fd, nil, 100, 0)
			return err
		})(d)
	}
}

func clone(from, to string) func(string) error {
	return func(d string) error {
		r, err := unix.Open(d+"/"+from, unix.O_RDONLY, 0)
		if err != nil {
			return err
		}
		defer unix.Close(r)
		return withFile(to, unix.O_WRONLY, func(fd int) error { return unix.IoctlFileClone(fd, r) })(d)
	}
}

func tmpfile(name string) func(string) error {
	return func(d string) error {
		fd, err := unix.Open(d, unix.O_TMPFILE|unix.O_RDWR, 0o644)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		if _, err := unix.Write(fd, []byte("from nowhere")); err != nil {
			return err
		}
		return unix.Linkat(unix.AT_FDCWD, procPath(fd), unix.AT_FDCWD, d+"/"+name, unix.AT_SYMLINK_FOLLOW)
	}
}

func exists(name string) func(string) bool {
	return func(d string) bool {
		_, err := os.Lstat(d + "/" + name)
		return err == nil
	}
}

func absent(name string) func(string) bool {
	there := exists(name)
	return func(d string) bool { return !there(d) }
}

func both(a, b func(string) bool) func(string) bool {
	return func(d string) bool { return a(d) && b(d) }
}

func holds2(name, text string) func(string) bool {
	return func(d string) bool {
		b, err := os.ReadFile(d + "/" + name)
		return err == nil && string(b) == text
	}
}

func size(name string, want int64) func(string) bool {
	return func(d string) bool {
		st, err := os.Lstat(d + "/" + name)
		return err == nil && st.Size() == want
	}
}

func mode(name string, want os.FileMode) func(string) bool {
	return func(d string) bool {
		st, err := os.Lstat(d + "/" + name)
		return err == nil && st.Mode().Perm() == want
	}
}

func mtime(name string, want int64) func(string) bool {
	return func(d string) bool {
		st, err := os.Lstat(d + "/" + name)
		return err == nil && st.ModTime().Unix() == want && st.ModTime().Nanosecond() == 5
	}
}

func xattr(name, key, want string) func(string) bool {
	return func(d string) bool {
		b := make([]byte, 100)
		n, err := unix.Getxattr(d+"/"+name, key, b)
		if want == "" {
			return err == unix.ENODATA
		}
		return err == nil && string(b[:n]) == want
	}
}
