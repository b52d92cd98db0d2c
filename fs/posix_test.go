package fs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/silvermirror/smfs/journal"
	"golang.org/x/sys/unix"
)

// TestErrno: what fails, fails as on any filesystem.
func TestErrno(t *testing.T) {
	long := strings.Repeat("n", 256)
	cases := []struct {
		name string
		do   func(d string) error
		want syscall.Errno
	}{
		{"open absent", opening("absent", unix.O_RDONLY), unix.ENOENT},
		{"open below a file", opening("file/x", unix.O_RDONLY), unix.ENOTDIR},
		{"open a directory to write", opening("dir", unix.O_WRONLY), unix.EISDIR},
		{"open a loop", opening("loop", unix.O_RDONLY), unix.ELOOP},
		{"open O_NOFOLLOW", opening("link", unix.O_RDONLY|unix.O_NOFOLLOW), unix.ELOOP},
		{"create existing O_EXCL", creating("file", unix.O_WRONLY), unix.EEXIST},
		{"create long name", creating(long, unix.O_WRONLY), unix.ENAMETOOLONG},
		{"mkdir existing", func(d string) error { return unix.Mkdir(d+"/file", 0o755) }, unix.EEXIST},
		{"rmdir full", func(d string) error { return unix.Rmdir(d + "/full") }, unix.ENOTEMPTY},
		{"rmdir a file", func(d string) error { return unix.Rmdir(d + "/file") }, unix.ENOTDIR},
		{"unlink a directory", func(d string) error { return unix.Unlink(d + "/dir") }, unix.EISDIR},
		{"unlink absent", func(d string) error { return unix.Unlink(d + "/absent") }, unix.ENOENT},
		{"rename absent", renaming2("absent", "x", 0), unix.ENOENT},
		{"rename NOREPLACE onto a file", renaming2("file", "other", unix.RENAME_NOREPLACE), unix.EEXIST},
		{"rename EXCHANGE with nothing", renaming2("file", "absent", unix.RENAME_EXCHANGE), unix.ENOENT},
		{"rename WHITEOUT", renaming2("file", "x", unix.RENAME_WHITEOUT), unix.EINVAL},
		{"rename a directory into itself", renaming2("dir", "dir/x", 0), unix.EINVAL},
		{"rename a directory onto a full one", renaming2("dir", "full", 0), unix.ENOTEMPTY},
		{"rename a file onto a directory", renaming2("file", "dir", 0), unix.EISDIR},
		{"rename a directory onto a file", renaming2("dir", "file", 0), unix.ENOTDIR},
		{"link a directory", func(d string) error { return os.Link(d+"/dir", d+"/x") }, unix.EPERM},
		{"link onto a file", func(d string) error { return os.Link(d+"/file", d+"/other") }, unix.EEXIST},
		{"readlink a file", func(d string) error { _, err := os.Readlink(d + "/file"); return err }, unix.EINVAL},
		{"truncate a directory", func(d string) error { return unix.Truncate(d+"/dir", 0) }, unix.EISDIR},
		{"getxattr absent", func(d string) error { _, err := unix.Getxattr(d+"/file", "user.no", nil); return err }, unix.ENODATA},
		{"setxattr XATTR_REPLACE absent", func(d string) error {
			return unix.Setxattr(d+"/file", "user.no", nil, unix.XATTR_REPLACE)
		}, unix.ENODATA},
		{"setxattr XATTR_CREATE existing", func(d string) error {
			return unix.Setxattr(d+"/other", "user.had", nil, unix.XATTR_CREATE)
		}, unix.EEXIST},
		{"setxattr user on a symlink", func(d string) error { return unix.Lsetxattr(d+"/link", "user.k", nil, 0) }, unix.EPERM},
		{"getxattr short", func(d string) error {
			_, err := unix.Getxattr(d+"/big", "user.big", make([]byte, 2))
			return err
		}, unix.ERANGE},
		{"listxattr short", func(d string) error { _, err := unix.Listxattr(d+"/big", make([]byte, 2)); return err }, unix.ERANGE},
		{"seek past the end", withFile("file", unix.O_RDONLY, func(fd int) error {
			_, err := unix.Seek(fd, 1000, unix.SEEK_DATA)
			return err
		}), unix.ENXIO},
		{"temporary name", creating(".smfs.tmp.x", unix.O_WRONLY), unix.EPERM},
	}
	eachPath(t, func(w *world) {
		w.fill(w.t, "d")
		d := w.path("d")
		must(w.t, os.Symlink("loop", d+"/loop"))
		must(w.t, os.WriteFile(d+"/big", nil, 0o644))
		must(w.t, unix.Setxattr(d+"/big", "user.big", []byte("long value"), 0))
		for _, c := range cases {
			wantErrno(w.t, c.name, c.do(d), c.want)
		}
	})
}

func TestLinkCounts(t *testing.T) {
	eachPath(t, func(w *world) {
		w.write("a", "text")
		must(w.t, os.Link(w.path("a"), w.path("b")))
		a, b := stat(w.t, w.path("a")), stat(w.t, w.path("b"))
		if a.Ino != b.Ino || a.Nlink != 2 || b.Nlink != 2 {
			w.t.Errorf("after link: inodes %d %d, links %d %d", a.Ino, b.Ino, a.Nlink, b.Nlink)
		}
		if below := stat(w.t, w.below("a")); below.Ino != a.Ino {
			w.t.Errorf("inode %d, below %d", a.Ino, below.Ino)
		}
		w.write("b", "changed")
		if got := w.read("a"); got != "changed" {
			w.t.Errorf("the other name reads %q", got)
		}
		must(w.t, os.Remove(w.path("a")))
		if b := stat(w.t, w.path("b")); b.Nlink != 1 {
			w.t.Errorf("after unlink: %d links", b.Nlink)
		}
		must(w.t, os.Mkdir(w.path("d"), 0o755))
		must(w.t, os.Mkdir(w.path("d/e"), 0o755))
		if d := stat(w.t, w.path("d")); d.Nlink != stat(w.t, w.below("d")).Nlink {
			w.t.Errorf("directory has %d links", d.Nlink)
		}
	})
}

// TestUnlinkedOpenFile: a file without names can do all that others can.
func TestUnlinkedOpenFile(t *testing.T) {
	eachPath(t, func(w *world) {
		w.write("f", "text")
		f, err := os.OpenFile(w.path("f"), os.O_RDWR, 0)
		must(w.t, err)
		defer f.Close()
		fd := int(f.Fd())
		path, err := unix.Open(w.path("f"), unix.O_PATH, 0)
		must(w.t, err)
		defer unix.Close(path)
		must(w.t, os.Remove(w.path("f")))

		must(w.t, unix.Fchmod(fd, 0o604))
		must(w.t, unix.Fchown(fd, os.Getuid(), os.Getgid()))
		must(w.t, unix.Ftruncate(fd, 2))
		must(w.t, unix.Fsetxattr(fd, "user.k", []byte("v"), 0))
		must(w.t, unix.Futimes(fd, []unix.Timeval{{Sec: 7}, {Sec: 8}}))
		for _, fd := range []int{fd, path} {
			var st unix.Stat_t
			must(w.t, unix.Fstat(fd, &st))
			if st.Nlink != 0 || st.Size != 2 || st.Mode&0o777 != 0o604 || st.Mtim.Sec != 8 {
				w.t.Errorf("fd %d: links %d, size %d, mode %o, mtime %d", fd, st.Nlink, st.Size, st.Mode, st.Mtim.Sec)
			}
		}
		_, err = f.WriteAt([]byte("more"), 2)
		must(w.t, err)
		again, err := os.Open(procPath(fd))
		must(w.t, err)
		defer again.Close()
		if b, err := io.ReadAll(again); string(b) != "temore" {
			w.t.Errorf("reads %q, %v", b, err)
		}
		w.write("f", "another")
		if got := w.read("f"); got != "another" {
			w.t.Errorf("its old name reads %q", got)
		}
	})
}

// TestRemovedWorkingDirectory: a directory that somebody works in, or has open,
// when it goes.
func TestRemovedWorkingDirectory(t *testing.T) {
	eachPath(t, func(w *world) {
		must(w.t, os.Mkdir(w.path("d"), 0o755))
		fd, err := unix.Open(w.path("d"), unix.O_RDONLY|unix.O_DIRECTORY, 0)
		must(w.t, err)
		defer unix.Close(fd)
		must(w.t, os.Remove(w.path("d")))
		var st unix.Stat_t
		must(w.t, unix.Fstat(fd, &st))
		if st.Nlink != 0 {
			w.t.Errorf("%d links", st.Nlink)
		}
		_, err = unix.Openat(fd, "x", unix.O_CREAT|unix.O_WRONLY, 0o644)
		wantErrno(w.t, "create in it", err, unix.ENOENT)
		must(w.t, os.Mkdir(w.path("d"), 0o755))
		w.write("d/x", "in the new one")
	})
}

func TestRenameKeepsWhatIsOpen(t *testing.T) {
	eachPath(t, func(w *world) {
		must(w.t, os.MkdirAll(w.path("a/b"), 0o755))
		w.write("a/b/f", "one")
		f, err := os.OpenFile(w.path("a/b/f"), os.O_RDWR, 0)
		must(w.t, err)
		defer f.Close()
		before := stat(w.t, w.path("a/b/f"))
		must(w.t, os.Rename(w.path("a"), w.path("c")))
		_, err = f.WriteAt([]byte("two"), 0)
		must(w.t, err)
		must(w.t, f.Chmod(0o600))
		if got := w.read("c/b/f"); got != "two" {
			w.t.Errorf("reads %q", got)
		}
		after := stat(w.t, w.path("c/b/f"))
		if after.Ino != before.Ino || after.Mode&0o777 != 0o600 {
			w.t.Errorf("inode %d then %d, mode %o", before.Ino, after.Ino, after.Mode)
		}
		_, err = os.Stat(w.path("a/b/f"))
		wantErrno(w.t, "the old path", err, unix.ENOENT)
		records := w.journal.take()
		last := records[len(records)-1]
		if last.Kind != journal.KindAttr || last.Path != "c/b/f" {
			w.t.Errorf("chmod after the rename was journaled as %+v", last)
		}
	})
}

// TestReplacedWhileOpen: rename over a file that is open.
func TestReplacedWhileOpen(t *testing.T) {
	eachPath(t, func(w *world) {
		w.write("f", "old")
		w.write("g", "new")
		f, err := os.Open(w.path("f"))
		must(w.t, err)
		defer f.Close()
		must(w.t, os.Rename(w.path("g"), w.path("f")))
		b, err := io.ReadAll(f)
		if string(b) != "old" || err != nil {
			w.t.Errorf("the open file reads %q, %v", b, err)
		}
		if got := w.read("f"); got != "new" {
			w.t.Errorf("the name reads %q", got)
		}
		var st unix.Stat_t
		must(w.t, unix.Fstat(int(f.Fd()), &st))
		if st.Nlink != 0 {
			w.t.Errorf("the replaced file has %d links", st.Nlink)
		}
	})
}

func TestHoles(t *testing.T) {
	eachPath(t, func(w *world) {
		const mib = 1 << 20
		f, err := os.Create(w.path("sparse"))
		must(w.t, err)
		defer f.Close()
		_, err = f.WriteAt([]byte("end"), 8*mib)
		must(w.t, err)
		if st := stat(w.t, w.path("sparse")); st.Size != 8*mib+3 || st.Blocks*512 > mib {
			w.t.Errorf("size %d in %d blocks", st.Size, st.Blocks)
		}
		data, err := unix.Seek(int(f.Fd()), 0, unix.SEEK_DATA)
		must(w.t, err)
		hole, err := unix.Seek(int(f.Fd()), 0, unix.SEEK_HOLE)
		must(w.t, err)
		if data != 8*mib || hole != 0 {
			w.t.Errorf("data at %d, hole at %d", data, hole)
		}
	})
}

// TestAppend: many writers append without losing or tearing a line.
func TestAppend(t *testing.T) {
	eachPath(t, func(w *world) {
		w.write("log", "")
		const writers, lines = 8, 50
		done := make(chan error, writers)
		for i := range writers {
			go func() {
				f, err := os.OpenFile(w.path("log"), os.O_WRONLY|os.O_APPEND, 0)
				for n := 0; err == nil && n < lines; n++ {
					_, err = fmt.Fprintf(f, "writer %d line %d\n", i, n)
				}
				done <- errors.Join(err, f.Close())
			}()
		}
		for range writers {
			must(w.t, <-done)
		}
		got := strings.Split(strings.TrimSpace(w.readBelow("log")), "\n")
		slices.Sort(got)
		if len(slices.Compact(got)) != writers*lines {
			w.t.Errorf("%d different lines, want %d", len(got), writers*lines)
		}
	})
}

// TestBigFile: data that takes many requests comes back whole, also through a
// second open and beside the mount.
func TestBigFile(t *testing.T) {
	eachPath(t, func(w *world) {
		want := bytes.Repeat([]byte("0123456789abcdef"), 5<<20/16)
		f, err := os.OpenFile(w.path("big"), os.O_RDWR|os.O_CREATE, 0o644)
		must(w.t, err)
		_, err = f.Write(want)
		must(w.t, err)
		must(w.t, f.Sync())
		if w.journal.synced() == 0 {
			w.t.Error("fsync did not sync the journal")
		}
		must(w.t, f.Close())
		if got := w.read("big"); got != string(want) {
			w.t.Error("the mount reads something else")
		}
		if got := w.readBelow("big"); got != string(want) {
			w.t.Error("the backing file holds something else")
		}
	})
}

func TestSharedMapping(t *testing.T) {
	eachPath(t, func(w *world) {
		w.write("f", strings.Repeat(".", 10000))
		_, err := program(w.t, nil, "mmap", w.path("f"), "through the mapping")
		must(w.t, err)
		if got := w.readBelow("f"); !strings.HasPrefix(got, "through the mapping...") {
			w.t.Errorf("the backing file begins %.30q", got)
		}
		if got := w.read("f"); !strings.HasPrefix(got, "through the mapping...") {
			w.t.Errorf("the mount reads %.30q", got)
		}
		w.journal.await(journal.KindClose, "f")
		w.journal.take()
		must(w.t, setTime(w.path("f"), 1_000_000_007))
		w.journal.take()
		_, err = program(w.t, nil, "mmapopen", w.path("f"), "once more")
		must(w.t, err)
		w.journal.await(journal.KindClose, "f")
		w.settleClose()
		if a, b := stat(w.t, w.path("f")), stat(w.t, w.below("f")); a.Mtim != b.Mtim {
			w.t.Errorf("mtime %v, below %v", a.Mtim, b.Mtim)
		}
	})
}

// TestAttributes: whatever changes them, the mount shows what the backing file
// has.
func TestAttributes(t *testing.T) {
	steps := []struct {
		name string
		do   func(d string) error
	}{
		{"write", func(d string) error { return os.WriteFile(d+"/file", []byte("more content"), 0o644) }},
		{"chmod 000", func(d string) error { return os.Chmod(d+"/file", 0) }},
		{"chmod", func(d string) error { return os.Chmod(d+"/file", 0o640) }},
		{"link", func(d string) error { return os.Link(d+"/file", d+"/l1") }},
		{"rename a link over another", func(d string) error { return os.Rename(d+"/other", d+"/l1") }},
		{"truncate", func(d string) error { return os.Truncate(d+"/file", 100) }},
		{"times", func(d string) error { return setTime(d+"/file", 42) }},
		{"append", func(d string) error {
			f, err := os.OpenFile(d+"/file", os.O_WRONLY|os.O_APPEND, 0)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = f.WriteString("x")
			return err
		}},
		{"mkdir", func(d string) error { return os.Mkdir(d+"/dir/sub", 0o750) }},
		{"mkdir with setgid", func(d string) error {
			if err := os.Mkdir(d+"/dir/sg", 0o755); err != nil {
				return err
			}
			return os.Chmod(d+"/dir/sg", os.ModeSetgid|0o755)
		}},
	}
	eachPath(t, func(w *world) {
		w.fill(w.t, "d")
		for _, s := range steps {
			must(w.t, s.do(w.path("d")))
			w.compare("d", s.name)
		}
	})
}

// compare walks mount and backing directory and compares what stat says.
func (w *world) compare(root, after string) {
	w.t.Helper()
	seen := 0
	err := filepath.Walk(w.below(root), func(path string, _ os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		rel := strings.TrimPrefix(path, w.below())
		a, b := stat(w.t, w.path(rel)), stat(w.t, path)
		seen++
		a.Dev, a.Atim, b.Dev, b.Atim = 0, syscall.Timespec{}, 0, syscall.Timespec{}
		if *a != *b {
			w.t.Errorf("after %s: %s is\n %+v, below\n %+v", after, rel, *a, *b)
		}
		return nil
	})
	must(w.t, err)
	if seen < 2 {
		w.t.Errorf("compared %d files only", seen)
	}
}

func TestXattrs(t *testing.T) {
	eachPath(t, func(w *world) {
		w.write("f", "")
		big := strings.Repeat("x", 3000)
		must(w.t, unix.Setxattr(w.path("f"), "user.big", []byte(big), 0))
		must(w.t, unix.Setxattr(w.path("f"), "user.empty", nil, 0))
		b := make([]byte, 5000)
		n, err := unix.Getxattr(w.path("f"), "user.big", b)
		if err != nil || string(b[:n]) != big {
			w.t.Errorf("user.big: %d bytes, %v", n, err)
		}
		if n, err := unix.Getxattr(w.path("f"), "user.big", nil); n != len(big) || err != nil {
			w.t.Errorf("size of user.big: %d, %v", n, err)
		}
		n, err = unix.Listxattr(w.path("f"), b)
		must(w.t, err)
		names := strings.Split(strings.TrimSuffix(string(b[:n]), "\x00"), "\x00")
		slices.Sort(names)
		if !slices.Equal(names, []string{"user.big", "user.empty"}) {
			w.t.Errorf("names %q", names)
		}
	})
}

// TestOwnXattrs: how a resource's root is known is neither shown nor changed.
func TestOwnXattrs(t *testing.T) {
	eachPath(t, func(w *world) {
		must(w.t, w.tree.MarkRoot("an-id"))
		b := make([]byte, 1000)
		n, err := unix.Listxattr(w.dir, b)
		if err != nil || bytes.Contains(b[:n], []byte("smfs")) {
			w.t.Errorf("listed: %q, %v", b[:n], err)
		}
		_, err = unix.Getxattr(w.dir, "user.smfs.resource", b)
		wantErrno(w.t, "get", err, unix.ENODATA)
		wantErrno(w.t, "set", unix.Setxattr(w.dir, "user.smfs.resource", []byte("x"), 0), unix.EPERM)
		if id, err := w.tree.RootID(); id != "an-id" || err != nil {
			w.t.Errorf("the root's id is %q, %v", id, err)
		}
	})
}

func TestStatfsAndBirthTime(t *testing.T) {
	eachPath(t, func(w *world) {
		w.write("f", "")
		var a, b unix.Statfs_t
		must(w.t, unix.Statfs(w.path("f"), &a))
		must(w.t, unix.Statfs(w.below("f"), &b))
		if a.Blocks != b.Blocks || a.Bsize != b.Bsize || a.Files != b.Files || a.Namelen != b.Namelen {
			w.t.Errorf("statfs %+v, below %+v", a, b)
		}
		var x, y unix.Statx_t
		must(w.t, unix.Statx(unix.AT_FDCWD, w.path("f"), 0, unix.STATX_ALL, &x))
		must(w.t, unix.Statx(unix.AT_FDCWD, w.below("f"), 0, unix.STATX_ALL, &y))
		if x.Btime != y.Btime {
			w.t.Errorf("birth time %v, below %v", x.Btime, y.Btime)
		}
	})
}

// TestListing: many entries, each once, with the right number and type, at
// once after a change, and again from the start.
func TestListing(t *testing.T) {
	eachPath(t, func(w *world) {
		must(w.t, os.Mkdir(w.path("d"), 0o755))
		want := []string{}
		for i := range 500 {
			name := fmt.Sprintf("%04d", i)
			want = append(want, name)
			must(w.t, os.WriteFile(w.below("d", name), nil, 0o644)) // nobody has looked yet
		}
		d, err := os.Open(w.path("d"))
		must(w.t, err)
		defer d.Close()
		for range 2 {
			got, err := d.Readdirnames(-1)
			must(w.t, err)
			slices.Sort(got)
			if !slices.Equal(got, want) {
				w.t.Fatalf("%d names, want %d", len(got), len(want))
			}
			_, err = d.Seek(0, io.SeekStart)
			must(w.t, err)
		}
		must(w.t, os.Remove(w.path("d/0007")))
		w.write("d/new", "")
		entries, err := os.ReadDir(w.path("d"))
		must(w.t, err)
		if len(entries) != 500 || entries[len(entries)-1].Name() != "new" {
			w.t.Errorf("%d entries", len(entries))
		}
		w.checkDirents("d")
	})
}

// checkDirents compares the inode numbers in a listing with those of stat.
func (w *world) checkDirents(dir string) {
	fd, err := unix.Open(w.path(dir), unix.O_RDONLY|unix.O_DIRECTORY, 0)
	must(w.t, err)
	defer unix.Close(fd)
	buf := make([]byte, 1<<20)
	n, err := unix.Getdents(fd, buf)
	must(w.t, err)
	for b := buf[:n]; len(b) > 0; {
		e := parseDirent(b)
		if st := stat(w.t, w.path(dir, e.name)); st.Ino != e.ino && e.name != ".." {
			w.t.Errorf("%s: listed as inode %d, is %d", e.name, e.ino, st.Ino)
		}
		b = b[e.size:]
	}
}
