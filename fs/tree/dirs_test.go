package tree

import (
	"errors"
	"os"
	"testing"

	"github.com/silvermirror/smfs/journal"
	"golang.org/x/sys/unix"
)

type key = journal.FileKey

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
	d := must[Info](t)(tr.Mkdir(At("d"), 0o755))
	f := must[Info](t)(tr.Place(temp(t, tr, "d", "x"), At("d/f"), Absent()))
	tmp := temp(t, tr, "d", "y")
	_, err := tr.Place(tmp, At("d/f"), Exactly(d))
	wantErr(t, err, ErrChanged)
	_, err = tr.Place(tmp, At("x/f"), Absent())
	wantErr(t, err, os.ErrNotExist)
	f = must[Info](t)(tr.Place(tmp, At("d/f"), Exactly(f)))
	_, err = tr.Place(tmp, At("d/f"), Exactly(f))
	wantErr(t, err, ErrClosed)
	f = must[Info](t)(tr.SetAttr(At("d/f"), Exactly(f), Attr{Mode: new(uint32)}))
	must[[]Name](t)(tr.ReadDir("d"))
	xattrs(t, tr, "d/f")
	if _, _, err := tr.Readlink("d/f"); !errors.Is(err, unix.EINVAL) {
		t.Errorf("Readlink of a file: %v", err)
	}
	if _, err := tr.OpenFile("d"); !errors.Is(err, ErrNotRegular) {
		t.Errorf("OpenFile of a directory: %v", err)
	}
	must[[]string](t)(tr.RemoveTemps(t.Context()))
	f = must[Info](t)(tr.Rename(At("d/f"), At("g"), Exactly(f)))
	check(t, tr.Remove(At("g"), Exactly(f)))
	check(t, tr.Rmdir(At("d"), Exactly(d)))
}
