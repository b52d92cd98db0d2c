package e2e

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/silvermirror/smfs/fstest"
)

// TestFullDisk fills the disk of a mirror: writers are told, what cannot be
// committed is said, and all goes on by itself when there is room again.
func TestFullDisk(t *testing.T) {
	forRoot(t)
	t.Parallel()
	d := newDisk(t, 64<<20)
	check(t, os.Mkdir(d.dir+"/M", 0o755))
	m := fstest.MirrorAt(t, fstest.Program{Path: fstest.Build(t)}, d.dir+"/M")
	m.Mount()

	random := rand.NewChaCha8([32]byte{1})
	block := make([]byte, 4<<20)
	random.Read(block)
	write(t, m.Path("first"), string(block))
	m.Run("wait", "--committed")
	whole := 0
	var failed error
	for i := 0; failed == nil; i++ {
		random.Read(block)
		if failed = os.WriteFile(m.Path(fmt.Sprint("f", i)), block, 0o644); failed == nil {
			whole++
		}
	}
	if !errors.Is(failed, unix.ENOSPC) {
		t.Fatalf("the writer got %v", failed)
	}
	exitsWith(t, m, exitFailure, "no space left on device", "wait", "--committed", "--timeout", "5s")
	contains(t, m.Status().Resources[0].Problem, "no space left on device", "free space")
	if got, err := os.ReadFile(m.Path("first")); err != nil || len(got) != len(block) {
		t.Errorf("first has %d bytes, %v", len(got), err)
	}
	for i := range whole { // what a disk holds twice is half of it
		if i%2 == 0 {
			check(t, os.Remove(m.Path(fmt.Sprint("f", i))))
		}
	}
	check(t, os.Truncate(m.Path(fmt.Sprint("f", whole)), 10))
	m.Run("wait", "--committed", "--timeout", "1m")
	eventually(t, "a status without a problem", func() bool { return m.Status().Resources[0].Problem == "" })
	m.Umount()
	check(t, errors.Join(sameAsHead(m, nil), fsck(m)))
}

// TestLargeFileWithoutRoom has a file that is on the disk, but for which there is no
// room in the store as well: what fits is committed all the same, and the disk is
// not filled over and over.
func TestLargeFileWithoutRoom(t *testing.T) {
	forRoot(t)
	t.Parallel()
	d := newDisk(t, 100<<20)
	check(t, os.Mkdir(d.dir+"/M", 0o755))
	m := fstest.MirrorAt(t, fstest.Program{Path: fstest.Build(t)}, d.dir+"/M")
	m.Mount()
	write(t, m.Path("large"), string(noise(1, 60<<20)))
	write(t, m.Path("small"), "first")
	exitsWith(t, m, exitFailure, "large: the store has no room for it", "wait", "--committed", "--timeout", "1m")
	for i := range 20 {
		write(t, m.Path("small"), fmt.Sprint("edit ", i))
		eventually(t, "a commit of the small file", func() bool { return m.Git("show", "HEAD:small") == fmt.Sprint("edit ", i) })
		var st unix.Statfs_t
		check(t, unix.Statfs(d.dir, &st))
		if free := int64(st.Bavail) * st.Bsize; free < 4<<20 {
			t.Fatalf("%d bytes are free", free)
		}
	}
	contains(t, m.Status().Resources[0].Problem, "large", "no space left on device")
	check(t, os.Truncate(m.Path("large"), 20<<20))
	m.Run("wait", "--committed", "--timeout", "1m")
	eventually(t, "a status without a problem", func() bool { return m.Status().Resources[0].Problem == "" })
	m.Umount()
	check(t, errors.Join(sameAsHead(m, nil), fsck(m)))
}

// TestRemoveOnFullDisk fills the disk to the last byte, and what is in the journal
// beyond: files can be removed all the same, and the mirror can be mounted.
func TestRemoveOnFullDisk(t *testing.T) {
	forRoot(t)
	t.Parallel()
	d := newDisk(t, 32<<20)
	check(t, os.Mkdir(d.dir+"/M", 0o755))
	m := fstest.MirrorAt(t, fstest.Program{Path: fstest.Build(t)}, d.dir+"/M")
	m.Mount()
	for i := range 4 {
		write(t, m.Path(fmt.Sprint("large", i)), string(noise(byte(i), 1<<20)))
	}
	write(t, m.Path("file"), "x")
	m.Run("wait", "--committed")
	links := 0
	full := func() {
		t.Helper()
		filler, err := os.OpenFile(d.dir+"/filler", os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		check(t, err)
		for size := 1 << 20; size > 0; size /= 2 {
			for err = error(nil); err == nil; {
				_, err = filler.Write(make([]byte, size))
			}
		}
		check(t, filler.Close())
		for err = nil; err == nil; links++ { // the journal's last block has some room
			err = os.Symlink("x", m.Path(fmt.Sprint("link", links)))
		}
		if !errors.Is(err, unix.ENOSPC) {
			t.Fatal(err)
		}
	}
	full()
	for range 500 { // a program that goes on trying gets nothing of what is kept for removals
		if f, err := os.OpenFile(m.Path("file"), os.O_WRONLY|os.O_APPEND, 0); err == nil {
			_, err = f.Write(make([]byte, 4096))
			if f.Close(); err != nil && !errors.Is(err, unix.ENOSPC) {
				t.Fatal(err)
			}
		}
	}
	check(t, errors.Join(os.Remove(m.Path("large0")), os.Truncate(m.Path("large1"), 0)))
	eventually(t, "room for a new file", func() bool { return os.WriteFile(m.Path("new"), []byte("new"), 0o644) == nil })
	m.Run("wait", "--committed", "--timeout", "1m")

	full()
	m.Kill()
	m.Mount()
	check(t, os.Remove(m.Path("large2")))
	check(t, os.Remove(d.dir+"/filler"))
	m.Run("wait", "--committed", "--timeout", "1m")
	m.Umount()

	full() // beside
	m.Mount()
	check(t, os.Remove(m.Path("large3")))
	check(t, os.Remove(d.dir+"/filler"))
	m.Run("wait", "--committed", "--timeout", "1m")
	m.Umount()
	check(t, errors.Join(sameAsHead(m, nil), fsck(m)))
}
