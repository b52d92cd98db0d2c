package e2e

import (
	"errors"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/silvermirror/smfs/fstest"
)

// TestEverythingIsMirroredLive makes each kind of change on either side of two
// mounted mirrors and looks for it on the other, while both stay mounted.
func TestEverythingIsMirroredLive(t *testing.T) {
	t.Parallel()
	a, b, _ := mounted(t)
	for _, side := range []struct {
		name     string
		from, to *fstest.Mirror
	}{{"from-a", a, b}, {"from-b", b, a}} {
		for _, c := range changes {
			check(t, c.do(side.from, side.name+"/"))
			mirrored(a, b)
			if c.look != nil { // first: to read is to look anew
				c.look(t, side.to, side.name+"/")
			}
			same(t, a, b)
			if t.Failed() {
				t.Fatalf("%s, %s", side.name, c.name)
			}
		}
	}
}

// change is one thing people do to files, and what the other side must show.
type change struct {
	name string
	do   func(m *fstest.Mirror, in string) error
	look func(t *testing.T, m *fstest.Mirror, in string)
}

// sameLink tells that two names are one symlink's.
func sameLink(x, y string) func(t *testing.T, m *fstest.Mirror, in string) {
	return func(t *testing.T, m *fstest.Mirror, in string) {
		t.Helper()
		var a, b unix.Stat_t
		check(t, errors.Join(unix.Lstat(m.Path(in+x), &a), unix.Lstat(m.Path(in+y), &b)))
		if a.Ino != b.Ino {
			t.Errorf("%s and %s are two", x, y)
		}
	}
}

// links looks at how many names a file has, which is kept where it was looked at.
func links(path string, want uint64) func(t *testing.T, m *fstest.Mirror, in string) {
	return func(t *testing.T, m *fstest.Mirror, in string) {
		t.Helper()
		var st unix.Stat_t
		check(t, unix.Stat(m.Path(in+path), &st))
		if st.Nlink != want {
			t.Errorf("%s has %d names, want %d", path, st.Nlink, want)
		}
	}
}

var changes = []change{
	{"create in a new directory", func(m *fstest.Mirror, in string) error {
		if err := os.MkdirAll(m.Path(in+"d/deep"), 0o755); err != nil {
			return err
		}
		return put(m, in+"d/deep/file", "one\n")
	}, has("d/deep/file", "one\n")},
	{"edit in place", func(m *fstest.Mirror, in string) error {
		f, err := os.OpenFile(m.Path(in+"d/deep/file"), os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			return err
		}
		if _, err := f.WriteString("two\n"); err != nil {
			return err
		}
		return f.Close()
	}, has("d/deep/file", "one\ntwo\n")},
	{"truncate", func(m *fstest.Mirror, in string) error {
		return os.Truncate(m.Path(in+"d/deep/file"), 4)
	}, has("d/deep/file", "one\n")},
	{"save through a temporary", func(m *fstest.Mirror, in string) error {
		if err := put(m, in+"d/deep/.file.swp", "three\n"); err != nil {
			return err
		}
		return os.Rename(m.Path(in+"d/deep/.file.swp"), m.Path(in+"d/deep/file"))
	}, has("d/deep/file", "three\n")},
	{"rename a file to another directory", func(m *fstest.Mirror, in string) error {
		return os.Rename(m.Path(in+"d/deep/file"), m.Path(in+"d/moved"))
	}, has("d/moved", "three\n")},
	{"rename a directory", func(m *fstest.Mirror, in string) error {
		return os.Rename(m.Path(in+"d"), m.Path(in+"e"))
	}, has("e/moved", "three\n")},
	{"modes", func(m *fstest.Mirror, in string) error {
		if err := os.Chmod(m.Path(in+"e/moved"), 0o740); err != nil {
			return err
		}
		return os.Chmod(m.Path(in+"e/deep"), 0o700)
	}, func(t *testing.T, m *fstest.Mirror, in string) {
		for path, want := range map[string]os.FileMode{"e/moved": 0o740, "e/deep": 0o700} {
			info, err := os.Stat(m.Path(in + path))
			check(t, err)
			if info.Mode().Perm() != want {
				t.Errorf("%s has mode %o, not %o", path, info.Mode().Perm(), want)
			}
		}
	}},
	{"a time in the past", func(m *fstest.Mirror, in string) error {
		return os.Chtimes(m.Path(in+"e/moved"), time.Time{}, someday)
	}, func(t *testing.T, m *fstest.Mirror, in string) {
		info, err := os.Stat(m.Path(in + "e/moved"))
		check(t, err)
		if !info.ModTime().Equal(someday) {
			t.Errorf("mtime is %v, not %v", info.ModTime(), someday)
		}
	}},
	{"symbolic links, one dangling", func(m *fstest.Mirror, in string) error {
		if err := os.Symlink("e/moved", m.Path(in+"link")); err != nil {
			return err
		}
		return os.Symlink("/nowhere/at all", m.Path(in+"dangling"))
	}, func(t *testing.T, m *fstest.Mirror, in string) {
		target, err := os.Readlink(m.Path(in + "dangling"))
		check(t, err)
		if target != "/nowhere/at all" || content(t, m.Path(in+"link")) != "three\n" {
			t.Errorf("links differ: %q", target)
		}
	}},
	{"another target for a link", func(m *fstest.Mirror, in string) error {
		if err := os.Symlink("e/deep", m.Path(in+"link.new")); err != nil {
			return err
		}
		return os.Rename(m.Path(in+"link.new"), m.Path(in+"link"))
	}, nil},
	{"a hard link", func(m *fstest.Mirror, in string) error {
		return os.Link(m.Path(in+"e/moved"), m.Path(in+"hard"))
	}, func(t *testing.T, m *fstest.Mirror, in string) {
		if inodeOf(t, m.Path(in+"hard")) != inodeOf(t, m.Path(in+"e/moved")) {
			t.Errorf("the names are two files")
		}
	}},
	{"a symlink with two names", func(m *fstest.Mirror, in string) error {
		return errors.Join(os.Symlink("nowhere", m.Path(in+"s1")), os.Link(m.Path(in+"s1"), m.Path(in+"s2")))
	}, sameLink("s1", "s2")},
	{"a name more of a symlink", func(m *fstest.Mirror, in string) error {
		return os.Link(m.Path(in+"s1"), m.Path(in+"s3"))
	}, sameLink("s1", "s3")},
	{"a symlink that is replaced", func(m *fstest.Mirror, in string) error {
		return errors.Join(os.Symlink("elsewhere", m.Path(in+"s.new")), os.Rename(m.Path(in+"s.new"), m.Path(in+"s2")))
	}, sameLink("s1", "s3")},
	{"two more names", func(m *fstest.Mirror, in string) error {
		return errors.Join(os.Link(m.Path(in+"hard"), m.Path(in+"second")), os.Link(m.Path(in+"hard"), m.Path(in+"third")))
	}, links("hard", 4)},
	{"a name less", func(m *fstest.Mirror, in string) error { return os.Remove(m.Path(in + "second")) }, links("hard", 3)},
	{"a name replaced", func(m *fstest.Mirror, in string) error {
		if err := put(m, in+"third.new", "another"); err != nil {
			return err
		}
		return os.Rename(m.Path(in+"third.new"), m.Path(in+"third"))
	}, links("hard", 2)},
	{"an edit through a hard link", func(m *fstest.Mirror, in string) error {
		return put(m, in+"hard", "four\n")
	}, has("e/moved", "four\n")},
	{"an empty directory", func(m *fstest.Mirror, in string) error {
		return os.MkdirAll(m.Path(in+"empty/inside"), 0o711)
	}, nil},
	{"attributes", func(m *fstest.Mirror, in string) error {
		if err := unix.Setxattr(m.Path(in+"e/moved"), "user.note", []byte("a\x00b"), 0); err != nil {
			return err
		}
		return unix.Setxattr(m.Path(in+"empty"), "user.of-a-dir", []byte("x"), 0)
	}, func(t *testing.T, m *fstest.Mirror, in string) {
		value := make([]byte, 16)
		n, err := unix.Getxattr(m.Path(in+"e/moved"), "user.note", value)
		if err != nil || string(value[:n]) != "a\x00b" {
			t.Errorf("user.note is %q (%v)", value[:max(n, 0)], err)
		}
	}},
	{"an attribute less", func(m *fstest.Mirror, in string) error {
		return unix.Removexattr(m.Path(in+"e/moved"), "user.note")
	}, nil},
	{"names that git or a shell would not like", func(m *fstest.Mirror, in string) error {
		for _, name := range []string{"git~1", "%41", ".git.x", "new\nline", "\xff\xfe", "-rf", "ü"} {
			if err := put(m, in+name, "named "+name); err != nil {
				return err
			}
		}
		return nil
	}, has("new\nline", "named new\nline")},
	{"a file becomes a directory", func(m *fstest.Mirror, in string) error {
		if err := os.Remove(m.Path(in + "hard")); err != nil {
			return err
		}
		if err := os.Mkdir(m.Path(in+"hard"), 0o755); err != nil {
			return err
		}
		return put(m, in+"hard/file", "five")
	}, has("hard/file", "five")},
	{"two names exchanged", func(m *fstest.Mirror, in string) error {
		return unix.Renameat2(unix.AT_FDCWD, m.Path(in+"e"), unix.AT_FDCWD, m.Path(in+"hard"), unix.RENAME_EXCHANGE)
	}, has("e/file", "five")},
	{"deletes", func(m *fstest.Mirror, in string) error {
		if err := os.Remove(m.Path(in + "dangling")); err != nil {
			return err
		}
		if err := os.RemoveAll(m.Path(in + "hard")); err != nil {
			return err
		}
		return os.RemoveAll(m.Path(in + "empty"))
	}, func(t *testing.T, m *fstest.Mirror, in string) {
		for _, path := range []string{"dangling", "hard", "empty"} {
			absent(t, m.Path(in+path))
		}
	}},
}

var someday = time.Date(2001, 2, 3, 4, 5, 6, 789_000_001, time.UTC)

func put(m *fstest.Mirror, path, text string) error {
	return os.WriteFile(m.Path(path), []byte(text), 0o644)
}

func has(path, want string) func(*testing.T, *fstest.Mirror, string) {
	return func(t *testing.T, m *fstest.Mirror, in string) {
		t.Helper()
		if got := content(t, m.Path(in+path)); got != want {
			t.Errorf("%s is %q, not %q", path, got, want)
		}
	}
}

func inodeOf(t *testing.T, path string) uint64 {
	t.Helper()
	var st unix.Stat_t
	check(t, unix.Stat(path, &st))
	return st.Ino
}

// TestNotMountedPeer mirrors to and from a plain directory: the peer is never
// mounted.
func TestNotMountedPeer(t *testing.T) {
	t.Parallel()
	a, b, host := pairOf(t)
	a.Mount()
	check(t, os.MkdirAll(a.Path("d"), 0o755))
	check(t, put(a, "d/one", "from A"))
	connect(t, a, b, host)
	a.Run("wait", "--mirrored", "--timeout", "60s")
	has("d/one", "from A")(t, b, "")

	check(t, put(b, "d/one", "edited in the plain directory"))
	check(t, put(b, "two", "made there"))
	b.Run("sync")
	has("d/one", "edited in the plain directory")(t, a, "")
	has("two", "made there")(t, a, "")

	check(t, os.Rename(b.Path("two"), b.Path("d/two")))
	check(t, os.Remove(b.Path("d/one")))
	b.Run("wait", "--mirrored", "--timeout", "60s")
	absent(t, a.Path("d/one"))
	absent(t, a.Path("two"))
	has("d/two", "made there")(t, a, "")

	check(t, os.Remove(a.Path("d/two")))
	same(t, a, b)
	if b.Status().Mounted {
		t.Error("the peer is mounted")
	}
	b.Umount()
}
