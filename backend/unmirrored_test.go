package backend_test

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// TestUnmirroredHoldNothingUp has a directory deleted and made again elsewhere
// that holds what is not mirrored here.
func TestUnmirroredHoldNothingUp(t *testing.T) {
	a, b := openMirror(t, t.TempDir()), openMirror(t, t.TempDir())
	a.write("d/f", "old")
	a.meet(b)
	must(t, unix.Mkfifo(b.dir+"/d/fifo", 0o600))
	must(t, os.RemoveAll(a.dir+"/d"))
	a.give(b)
	a.write("d/g", "new")
	a.meet(b)
	if got, err := os.ReadFile(b.dir + "/d/g"); string(got) != "new" {
		t.Errorf("d/g is %q, %v", got, err)
	}
	if _, err := os.Lstat(b.dir + "/d/fifo"); err != nil {
		t.Error(err)
	}
}
