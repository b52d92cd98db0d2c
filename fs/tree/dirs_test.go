package tree

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/silvermirror/smfs/journal"
	"golang.org/x/sys/unix"
)

type key = journal.FileKey

func TestDirByKeyFollowsTheDirectory(t *testing.T) {
	bothWalks(t, func(t *testing.T, tr *Tree, dir string) {
		a := must[Info](t)(tr.Mkdir("a", 0o755))
		path := "a"
		open := func() (*DirRef, error) { return tr.DirByKey(a.Key, func() string { return path }) }
		ref := must[*DirRef](t)(open())
		fd := ref.FD()
		ref.Release()
		ref.Release() // idempotent
		check(t, os.Rename(dir+"/a", dir+"/b"))
		check(t, os.Mkdir(dir+"/a", 0o755))
		write(t, dir+"/b/f", "x")
		ref = must[*DirRef](t)(open())
		if ref.FD() != fd {
			t.Errorf("fd %d, then %d", fd, ref.FD())
		}
		must[Info](t)(ref.Lookup("f"))
		for name, want := range map[string]error{"g": os.ErrNotExist, "..": ErrPath, "a/b": ErrPath} {
			_, err := ref.Lookup(name)
			wantErr(t, err, want)
		}
		tr.ForgetDir(a.Key)
		must[Info](t)(ref.Lookup("f")) // still open for its user
		ref.Release()
		_, err := open() // walks to the new a
		wantErr(t, err, ErrChanged)
		path = "b"
		must[*DirRef](t)(open()).Release()
	})
}

// TestConcurrentDirByKey uses more directories than stay open: an fd is never
// closed or reused under a user.
func TestConcurrentDirByKey(t *testing.T) {
	dir := t.TempDir()
	tr := openTree(t, dir, Options{DirFDs: 4}, false)
	infos := make([]Info, 16)
	for i := range infos {
		infos[i] = must[Info](t)(tr.Mkdir(fmt.Sprint(i), 0o755))
	}
	before := openFDs(t)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 500 {
				n := (i*7 + g*5) % len(infos)
				ref, err := tr.DirByKey(infos[n].Key, func() string { return fmt.Sprint(n) })
				if err != nil {
					t.Error(err)
					return
				}
				if i%11 == 0 {
					tr.ForgetDir(infos[n].Key)
				}
				if got, err := StatFD(ref.FD()); err != nil || got.Key != infos[n].Key {
					t.Errorf("directory %d: %+v, %v", n, got, err)
				}
				ref.Release()
			}
		})
	}
	wg.Wait()
	if now := openFDs(t); now > before+4 {
		t.Errorf("%d fds open, %d before", now, before)
	}
}

func openFDs(t *testing.T) int {
	t.Helper()
	return len(must[[]os.DirEntry](t)(os.ReadDir("/proc/self/fd")))
}

// TestNothingStaysOpen walks every way in and out of a call and counts fds.
func TestNothingStaysOpen(t *testing.T) {
	bothRenames(t, func(t *testing.T, tr *Tree, dir string) {
		before := openFDs(t)
		for range 3 {
			tryEverything(t, tr)
		}
		if now := openFDs(t); now != before {
			t.Errorf("%d fds open, %d before", now, before)
		}
	})
}

func tryEverything(t *testing.T, tr *Tree) {
	t.Helper()
	d := must[Info](t)(tr.Mkdir("d", 0o755))
	f := must[Info](t)(tr.Place(temp(t, tr, "d", "x"), "d/f", Absent()))
	tmp := temp(t, tr, "d", "y")
	_, err := tr.Place(tmp, "d/f", Exactly(d))
	wantErr(t, err, ErrChanged)
	_, err = tr.Place(tmp, "x/f", Absent())
	wantErr(t, err, os.ErrNotExist)
	f = must[Info](t)(tr.Place(tmp, "d/f", Exactly(f)))
	_, err = tr.Place(tmp, "d/f", Exactly(f))
	wantErr(t, err, ErrClosed)
	f = must[Info](t)(tr.SetAttr("d/f", Exactly(f), Attr{Mode: new(uint32)}))
	must[[]Name](t)(tr.ReadDir("d"))
	must[[]Xattr](t)(tr.Xattrs("d/f"))
	if _, err := tr.Readlink("d/f"); !errors.Is(err, unix.EINVAL) {
		t.Errorf("Readlink of a file: %v", err)
	}
	if _, err := tr.OpenFile("d"); !errors.Is(err, ErrNotRegular) {
		t.Errorf("OpenFile of a directory: %v", err)
	}
	if complete, err := tr.Scan(t.Context(), func(string, Info) error { return nil }); !complete || err != nil {
		t.Errorf("Scan: %v, %v", complete, err)
	}
	f = must[Info](t)(tr.Rename("d/f", "g", Exactly(f)))
	check(t, tr.Remove("g", Exactly(f)))
	check(t, tr.Rmdir("d", Exactly(d)))
}
