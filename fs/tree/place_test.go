package tree

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/silvermirror/smfs/journal"
	"golang.org/x/sys/unix"
)

// bothRenames runs a test with and without the flags of renameat2.
func bothRenames(t *testing.T, test func(t *testing.T, tr *Tree, dir string)) {
	for name, plain := range map[string]bool{"renameat2": false, "plain": true} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			test(t, openTree(t, dir, Options{Resource: "test", plainRename: plain}, false), dir)
			noTemps(t, dir)
		})
	}
}

func TestPlace(t *testing.T) {
	bothRenames(t, func(t *testing.T, tr *Tree, dir string) {
		tmp := must[*Temp](t)(tr.NewTemp("", 0o640, nil))
		_, err := io.WriteString(tmp, "one")
		check(t, err)
		check(t, tmp.SetXattrs([]Xattr{{"user.k", "v"}}))
		check(t, tmp.SetMtime(1234567890123456789))
		one := must[Info](t)(tr.Place(tmp, At("f"), Absent()))
		if one.Perm() != 0o640 || one.Mtime != 1234567890123456789 || one.Size != 3 {
			t.Errorf("placed %+v", one)
		}
		if got := xattrs(t, tr, "f"); len(got) != 1 || got[0] != (Xattr{"user.k", "v"}) {
			t.Errorf("attributes %q", got)
		}
		if now := must[Info](t)(tr.Stat("f")); now != one {
			t.Errorf("Place returned %+v, Stat %+v", one, now)
		}

		tmp = temp(t, tr, "", "two")
		_, err = tr.Place(tmp, At("f"), Absent())
		wantErr(t, err, ErrChanged)
		if got := read(t, dir+"/f"); got != "one" {
			t.Fatalf("a slot that was not empty now holds %q", got)
		}
		two := must[Info](t)(tr.Place(tmp, At("f"), Exactly(one))) // the same temp, tried again
		if got := read(t, dir+"/f"); got != "two" {
			t.Errorf("replaced: %q", got)
		}
		check(t, tmp.Discard())
		if got := read(t, dir+"/f"); got != "two" {
			t.Errorf("after Discard: %q", got)
		}
		if two.Key == one.Key {
			t.Errorf("the inode is still %v", one.Key)
		}
	})
}

func TestPlaceRefusesWhatChanged(t *testing.T) {
	for name, change := range map[string]func(path string) error{
		"content": func(p string) error { return os.WriteFile(p, []byte("mine, longer"), 0o644) },
		"mode":    func(p string) error { return os.Chmod(p, 0o600) },
		"times":   func(p string) error { return os.Chtimes(p, fixed, fixed) },
		"removed": os.Remove,
		"replaced": func(p string) error {
			return errors.Join(os.WriteFile(p+"2", []byte("one"), 0o644), os.Rename(p+"2", p))
		},
		"type": func(p string) error { return errors.Join(os.Remove(p), os.Mkdir(p, 0o755)) },
	} {
		t.Run(name, func(t *testing.T) {
			bothRenames(t, func(t *testing.T, tr *Tree, dir string) {
				write(t, dir+"/f", "one")
				was := must[Info](t)(tr.Stat("f"))
				check(t, change(dir+"/f"))
				before, beforeErr := tr.Stat("f")
				tmp := temp(t, tr, "", "theirs")
				_, err := tr.Place(tmp, At("f"), Exactly(was))
				wantErr(t, err, ErrChanged)
				if absent := beforeErr != nil; errors.Is(err, os.ErrNotExist) != absent {
					t.Errorf("absent %v, but Place said %v", absent, err)
				}
				check(t, tmp.Discard())
				wantErr(t, tr.Remove(At("f"), Exactly(was)), ErrChanged)
				_, err = tr.Rename(At("f"), At("g"), Exactly(was))
				wantErr(t, err, ErrChanged)
				after, afterErr := tr.Stat("f")
				if after != before || (afterErr == nil) != (beforeErr == nil) {
					t.Errorf("slot was %+v (%v), is %+v (%v)", before, beforeErr, after, afterErr)
				}
			})
		})
	}
}

func TestPlaceWaitsForWriters(t *testing.T) {
	bothRenames(t, func(t *testing.T, tr *Tree, dir string) {
		write(t, dir+"/f", strings.Repeat("one", 5000))
		was := must[Info](t)(tr.Stat("f"))
		refused := func(why string) {
			t.Helper()
			tmp := temp(t, tr, "", "theirs")
			_, err := tr.Place(tmp, At("f"), Exactly(was))
			if !errors.Is(err, ErrBusy) {
				t.Errorf("Place with %s: %v", why, err)
			}
			check(t, tmp.Discard())
			if err := tr.Remove(At("f"), Exactly(was)); !errors.Is(err, ErrBusy) {
				t.Errorf("Remove with %s: %v", why, err)
			}
			if _, err := tr.SetAttr(At("f"), Exactly(was), Attr{Mtime: new(int64)}); !errors.Is(err, ErrBusy) {
				t.Errorf("SetAttr with %s: %v", why, err)
			}
			f := must[*File](t)(tr.OpenFile("f"))
			defer f.Close()
			if quiet, err := f.Quiet(); quiet || err != nil {
				t.Errorf("Quiet with %s: %v, %v", why, quiet, err)
			}
		}
		w := must[*os.File](t)(os.OpenFile(dir+"/f", os.O_RDWR, 0))
		refused("a handle")
		m := must[[]byte](t)(unix.Mmap(int(w.Fd()), 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED))
		check(t, w.Close())
		refused("a mapping")
		check(t, unix.Munmap(m))
		r := must[*os.File](t)(os.Open(dir + "/f"))
		defer r.Close()
		f := must[*File](t)(tr.OpenFile("f"))
		defer f.Close()
		if quiet, err := f.Quiet(); !quiet || err != nil {
			t.Errorf("Quiet with a reader: %v, %v", quiet, err)
		}
		must[Info](t)(tr.Place(temp(t, tr, "", "theirs"), At("f"), Exactly(was)))
	})
}

func TestQuietWithoutLeases(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/f", "one")
	tr := openTree(t, dir, Options{}, false)
	f := must[*File](t)(tr.OpenFile("f"))
	defer f.Close()
	written := time.Unix(0, f.Mtime)
	look := func(after time.Duration, want bool) {
		t.Helper()
		if got := must[bool](t)(f.twoLooks(written.Add(after))); got != want {
			t.Errorf("%v after it was written: quiet %v", after, got)
		}
	}
	look(0, false)
	look(settled-1, false)
	look(settled, true)
	look(-time.Hour, true) // by a clock that runs behind the filesystem's
	write(t, dir+"/f", "longer")
	look(time.Hour, false) // the second look differs
	look(time.Hour, true)
}

func TestPlaceOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("as an ordinary user a file stays the user's own")
	}
	bothRenames(t, func(t *testing.T, tr *Tree, dir string) {
		uid, gid := uint32(os.Geteuid()), uint32(os.Getegid())
		if uid == 0 {
			uid, gid = 1234, 2345
			check(t, os.Chown(dir, int(uid), int(gid)))
		}
		f := must[Info](t)(tr.Place(temp(t, tr, "", "x"), At("f"), Absent()))
		d := must[Info](t)(tr.Mkdir(At("d"), 0o711))
		l := must[Info](t)(tr.Place(must[*Temp](t)(tr.NewTempSymlink("", "x", 5, nil)), At("l"), Absent()))
		for name, i := range map[string]Info{"f": f, "d": d, "l": l} {
			if i.UID != uid || i.GID != gid {
				t.Errorf("%s belongs to %d:%d, its directory to %d:%d", name, i.UID, i.GID, uid, gid)
			}
		}
		if d.Perm() != 0o711 || l.Mtime != 5 {
			t.Errorf("directory's mode %o, link's mtime %d", d.Perm(), l.Mtime)
		}
		if uid != 1234 {
			return
		}
		check(t, os.Chown(dir+"/f", 7, 8))
		f = must[Info](t)(tr.Stat("f"))
		tmp := must[*Temp](t)(tr.NewTemp("", 0o6755, &f))
		f = must[Info](t)(tr.Place(tmp, At("f"), Exactly(f)))
		if f.UID != 7 || f.GID != 8 || f.Perm() != 0o6755 {
			t.Errorf("replaced file belongs to %d:%d, mode %o", f.UID, f.GID, f.Perm())
		}
	})
}

func TestNamesAreComparedAndSwapped(t *testing.T) {
	bothRenames(t, func(t *testing.T, tr *Tree, dir string) {
		d := must[Info](t)(tr.Mkdir(At("d"), 0o755))
		_, err := tr.Mkdir(At("d"), 0o755)
		wantErr(t, err, ErrChanged)
		f := must[Info](t)(tr.Place(temp(t, tr, "d", "x"), At("d/f"), Absent()))
		wantErr(t, tr.Rmdir(At("d"), Exactly(d)), ErrNotEmpty)
		wantErr(t, tr.Rmdir(At("d/f"), Exactly(f)), ErrNotDirectory)
		wantErr(t, tr.Remove(At("d"), Exactly(d)), ErrChanged)

		g := must[Info](t)(tr.Link(At("d/f"), At("g"), Exactly(f)))
		if g.Key != f.Key || g.Nlink != 2 {
			t.Errorf("link %+v of %+v", g, f)
		}
		_, err = tr.Link(At("d/f"), At("g"), Exactly(g))
		wantErr(t, err, ErrChanged)
		link := must[*Temp](t)(tr.NewTempSymlink("", "x", 0, nil))
		_, err = tr.Place(link, At("g"), Absent())
		wantErr(t, err, ErrChanged)
		check(t, link.Discard())
		_, err = tr.Rename(At("d/f"), At("g"), Exactly(g))
		wantErr(t, err, ErrChanged)
		_, err = tr.Rename(At("g"), At("h"), Exactly(f)) // ctime moved by the link
		wantErr(t, err, ErrChanged)
		h := must[Info](t)(tr.Rename(At("g"), At("d/h"), Exactly(g)))
		if h.Key != f.Key {
			t.Errorf("renamed %+v", h)
		}
		_, err = tr.Rename(At("d"), At("d/x"), Exactly(d))
		if err == nil || errors.Is(err, os.ErrNotExist) {
			t.Errorf("a directory moved below itself: %v", err)
		}
		e := must[Info](t)(tr.Rename(At("d"), At("e"), Exactly(d)))
		if e.Key != d.Key {
			t.Errorf("renamed directory %+v", e)
		}
		check(t, tr.Remove(At("e/h"), Exactly(must[Info](t)(tr.Stat("e/h")))))
		check(t, tr.Remove(At("e/f"), Exactly(must[Info](t)(tr.Stat("e/f")))))
		check(t, tr.Rmdir(At("e"), Exactly(e)))
		if list := must[[]Name](t)(tr.ReadDir("")); len(list) != 0 {
			t.Errorf("left: %v", list)
		}
	})
}

func TestReplaceByLinkAndSymlink(t *testing.T) {
	bothRenames(t, func(t *testing.T, tr *Tree, dir string) {
		write(t, dir+"/a", "a")
		write(t, dir+"/b", "b")
		a, b := must[Info](t)(tr.Stat("a")), must[Info](t)(tr.Stat("b"))
		tmp := must[*Temp](t)(tr.NewTempLink("", At("a"), Exactly(a)))
		b = must[Info](t)(tr.Place(tmp, At("b"), Exactly(b)))
		if b.Key != a.Key || read(t, dir+"/b") != "a" {
			t.Errorf("b is %+v, a %+v", b, a)
		}
		tmp = must[*Temp](t)(tr.NewTempSymlink("", "a", 77, nil))
		b = must[Info](t)(tr.Place(tmp, At("b"), Exactly(b)))
		if !b.IsSymlink() || b.Mtime != 77 || target(t, tr, "b") != "a" {
			t.Errorf("b is %+v", b)
		}
		tmp = temp(t, tr, "", "file again")
		must[Info](t)(tr.Place(tmp, At("b"), Exactly(b)))
		if got := read(t, dir+"/b"); got != "file again" {
			t.Errorf("b holds %q", got)
		}
	})
}

func TestSetAttr(t *testing.T) {
	bothRenames(t, func(t *testing.T, tr *Tree, dir string) {
		f := must[Info](t)(tr.Place(temp(t, tr, "", "x"), At("f"), Absent()))
		mode, mtime := uint32(0o400), int64(-5_000_000_001)
		list := []Xattr{{"user.a", "1"}, {"user.b", "\x00\xff"}}
		f = must[Info](t)(tr.SetAttr(At("f"), Exactly(f), Attr{Mode: &mode, Mtime: &mtime, Xattrs: &list}))
		if f.Perm() != mode || f.Mtime != mtime || f != must[Info](t)(tr.Stat("f")) {
			t.Errorf("set: %+v", f)
		}
		fewer := []Xattr{{"user.b", "3"}}
		f = must[Info](t)(tr.SetAttr(At("f"), Exactly(f), Attr{Xattrs: &fewer})) // read-only by now
		if got := xattrs(t, tr, "f"); fmt.Sprint(got) != fmt.Sprint(fewer) || f.Perm() != mode {
			t.Errorf("attributes %q, mode %o", got, f.Perm())
		}
		check(t, os.Chmod(dir+"/f", 0o644))
		_, err := tr.SetAttr(At("f"), Exactly(f), Attr{Mode: &mode})
		wantErr(t, err, ErrChanged)
		check(t, os.Symlink("nowhere", dir+"/l"))
		l := must[Info](t)(tr.SetAttr(At("l"), Exactly(must[Info](t)(tr.Stat("l"))), Attr{Mtime: &mtime}))
		if l.Mtime != mtime {
			t.Errorf("symlink's mtime %d", l.Mtime)
		}
		root := must[Info](t)(tr.Stat(""))
		mode = 0o711
		if root = must[Info](t)(tr.SetAttr(At(""), Exactly(root), Attr{Mode: &mode})); root.Perm() != mode {
			t.Errorf("root's mode %o", root.Perm())
		}
	})
}

// told is a Notifier that writes down what it hears.
type told []string

func (n *told) Changed(_ journal.FileKey, name string, before, after Info) {
	*n = append(*n, fmt.Sprintf("changed %s from %s to %s", name, kind(before), kind(after)))
}
func (n *told) Attr(journal.FileKey) { *n = append(*n, "attr") }
func (n *told) Moved(_ journal.FileKey, from string, _ journal.FileKey, to string, moved Info) {
	*n = append(*n, fmt.Sprintf("moved %s, a %s, to %s", from, kind(moved), to))
}

func kind(i Info) string {
	switch {
	case i == Info{}:
		return "nothing"
	case i.IsDir():
		return "directory"
	case i.IsRegular():
		return "file"
	}
	return "?"
}

func TestNotifierHearsWhatHappened(t *testing.T) {
	bothRenames(t, func(t *testing.T, tr *Tree, dir string) {
		var n told
		tr.SetNotifier(&n)
		f := must[Info](t)(tr.Place(temp(t, tr, "", "x"), At("f"), Absent()))
		f = must[Info](t)(tr.Place(temp(t, tr, "", "y"), At("f"), Exactly(f)))
		d := must[Info](t)(tr.Mkdir(At("d"), 0o755))
		f = must[Info](t)(tr.Rename(At("f"), At("d/g"), Exactly(f)))
		must[Info](t)(tr.SetAttr(At("d/g"), Exactly(f), Attr{Mode: new(uint32)}))
		must[Info](t)(tr.Link(At("d/g"), At("h"), Exactly(must[Info](t)(tr.Stat("d/g")))))
		check(t, tr.Remove(At("d/g"), Exactly(must[Info](t)(tr.Stat("d/g")))))
		check(t, tr.Rmdir(At("d"), Exactly(d)))
		_, err := tr.Mkdir(At("h"), 0o755)
		wantErr(t, err, ErrChanged)
		tr.SetNotifier(nil)
		must[Info](t)(tr.Mkdir(At("e"), 0o755))
		want := "changed f from nothing to file; changed f from file to file; attr; changed d from nothing to directory; " +
			"moved f, a file, to g; attr; changed h from nothing to file; attr; changed g from file to nothing; attr; " +
			"changed d from directory to nothing"
		if got := strings.Join(n, "; "); got != want {
			t.Errorf("heard %s\n want %s", got, want)
		}
	})
}

// TestPlaceLeavesHoles: zeros take no room, wherever they are.
func TestPlaceLeavesHoles(t *testing.T) {
	dir := t.TempDir()
	tr := openTree(t, dir, Options{Resource: "test"}, false)
	hole, data := make([]byte, 32<<10), bytes.Repeat([]byte("data"), 1000)
	for name, pieces := range map[string][][]byte{
		"begin": {hole, data}, "end": {data, hole, hole}, "middle": {data, hole, data, hole, data}, "all": {hole, hole}, "small": {data, hole[:100], data},
		"in one piece": {append(append(bytes.Clone(data), make([]byte, 1<<20+5)...), data...)}, "a large piece": {make([]byte, 1<<20)},
	} {
		tmp := must[*Temp](t)(tr.NewTemp("", 0o644, nil))
		for _, p := range pieces {
			must[int](t)(tmp.Write(p))
		}
		info := must[Info](t)(tr.Place(tmp, At(name), Absent()))
		want := bytes.Join(pieces, nil)
		if got := must[[]byte](t)(os.ReadFile(filepath.Join(dir, name))); !bytes.Equal(got, want) || info.Size != int64(len(want)) {
			t.Errorf("%s: %d bytes, size %d, want %d", name, len(got), info.Size, len(want))
		}
		var st unix.Stat_t
		check(t, unix.Stat(filepath.Join(dir, name), &st))
		if name != "small" && st.Blocks*512 >= int64(len(want)) {
			t.Errorf("%s: %d bytes take %d", name, len(want), st.Blocks*512)
		}
	}
}

// TestSlotsOfDirectories: who names a slot's directory never meets another one
// at its path.
func TestSlotsOfDirectories(t *testing.T) {
	bothRenames(t, func(t *testing.T, tr *Tree, dir string) {
		d := must[Info](t)(tr.Mkdir(At("d"), 0o755))
		in := func(path string) Slot { return Slot{Path: path, Dir: d.Key} }
		must[Info](t)(tr.Place(temp(t, tr, "d", "x"), in("d/f"), Absent()))
		check(t, os.Rename(dir+"/d", dir+"/moved"))
		check(t, os.Mkdir(dir+"/d", 0o755))
		check(t, os.Link(dir+"/moved/f", dir+"/d/f"))
		f := must[Info](t)(tr.Stat("d/f"))

		tmp := temp(t, tr, "d", "y")
		for op, err := range map[string]error{
			"place":  errOf(tr.Place(tmp, in("d/g"), Absent())),
			"over":   errOf(tr.Place(tmp, in("d/f"), Exactly(f))),
			"mkdir":  errOf(tr.Mkdir(in("d/g"), 0o755)),
			"rename": errOf(tr.Rename(in("d/f"), At("g"), Exactly(f))),
			"to":     errOf(tr.Rename(At("d/f"), in("d/g"), Exactly(f))),
			"link":   errOf(tr.Link(At("d/f"), in("d/g"), Exactly(f))),
			"attr":   errOf(tr.SetAttr(in("d/f"), Exactly(f), Attr{Mode: new(uint32)})),
			"remove": tr.Remove(in("d/f"), Exactly(f)),
			"stat":   errOf(tr.StatIn(in("d/f"))),
		} {
			var at *Error
			if !errors.Is(err, ErrChanged) || !errors.As(err, &at) || at.Path != "d" {
				t.Errorf("%s: %v", op, err)
			}
		}
		must[Info](t)(tr.Place(tmp, in("moved/f"), Exactly(f)))
	})
}

func errOf(_ Info, err error) error { return err }
