package e2e

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/silvermirror/smfs/fstest"
)

// TestReadOnlyDisk has the filesystem below made read-only by the kernel, after an
// error (a mount -o remount,ro is refused while the daemon writes its journal).
func TestReadOnlyDisk(t *testing.T) {
	forRoot(t)
	t.Parallel()
	d := newDisk(t, 64<<20)
	run(t, "mount", "-o", "remount,errors=remount-ro", d.dir)
	a, b := pairOnDisk(t, d)
	check(t, os.WriteFile("/sys/fs/ext4/"+d.device()+"/trigger_fs_error", []byte("1"), 0))
	for what, err := range changesTo(a, "") {
		if !errors.Is(err, unix.EROFS) && !errors.Is(err, unix.EIO) {
			t.Errorf("%s: %v", what, err)
		}
	}
	keeps(t, a, "")
	contains(t, a.Status().Resources[0].Problem, "refused", "read-only", "fsck")
	check(t, put(b, "three", "3"))
	b.Run("wait", "--committed")
	keeps(t, b, "")
	_, _ = a.Try("umount", a.Dir) // it may say that it could not write something

	d.umount()
	d.fsck()
	d.mount()
	run(t, "mount", "-o", "remount,ro", d.dir)
	for _, args := range [][]string{{"mount", a.Dir}, {"status"}} {
		refused(t, a, args, "read-only", "hint: ", "remount,rw")
	}
	run(t, "mount", "-o", "remount,rw", d.dir)
	a.Mount()
	meet(t, a, b)
	keeps(t, a, "")
	has("three", "3")(t, a, "")
}

// TestReadOnlyRemount has the disk of one resource made read-only and writable again
// below the mount: all goes on by itself.
func TestReadOnlyRemount(t *testing.T) {
	forRoot(t)
	t.Parallel()
	d := newDisk(t, 64<<20)
	a, b := pairWithDisk(t, d)
	run(t, "mount", "-o", "remount,ro", d.dir)
	for what, err := range changesTo(a, "far/") {
		if !errors.Is(err, unix.EROFS) {
			t.Errorf("%s: %v", what, err)
		}
	}
	keeps(t, a, "far/")
	contains(t, a.Status().Resources[0].Problem, "refused", "read-only")
	check(t, put(b, "far/three", "3"))
	b.Run("wait", "--committed")
	eventually(t, "b's commit", func() bool { return a.Status().Resources[0].Head == b.Head() })
	keeps(t, b, "far/")

	run(t, "mount", "-o", "remount,rw", d.dir)
	check(t, put(a, "far/four", "4"))
	meet(t, a, b)
	keeps(t, a, "far/")
	has("far/three", "3")(t, a, "")
	eventually(t, "a status without a problem", func() bool { return a.Status().Resources[0].Problem == "" })
}

// shutDown is EXT4_IOC_SHUTDOWN, and without a flush of its log the filesystem is as
// if its device were gone.
const (
	shutDown   = 0x8004587d
	noLogFlush = 2
)

// TestDiskGone has the device below vanish.
func TestDiskGone(t *testing.T) {
	forRoot(t)
	t.Parallel()
	d := newDisk(t, 64<<20)
	a, b := pairOnDisk(t, d)
	root, err := os.Open(d.dir)
	check(t, err)
	check(t, errors.Join(unix.IoctlSetPointerInt(int(root.Fd()), shutDown, noLogFlush), root.Close()))
	for what, err := range changesTo(a, "") {
		if !errors.Is(err, unix.EIO) {
			t.Errorf("%s: %v", what, err)
		}
	}
	contains(t, a.Status().Resources[0].Problem, "refused", "input/output error", "fsck")
	check(t, put(b, "three", "3"))
	b.Run("wait", "--committed")
	keeps(t, b, "")
	_, _ = a.Try("umount", a.Dir)

	d.umount()
	d.mount()
	a.Mount()
	meet(t, a, b)
	keeps(t, a, "")
	has("three", "3")(t, a, "")
}

// TestDiskDetached unmounts the disk lazily below a mirror: who has a file open goes
// on, the daemon ends with the last of them, and all is there when the disk is back.
func TestDiskDetached(t *testing.T) {
	forRoot(t)
	t.Parallel()
	d := newDisk(t, 64<<20)
	a, b := pairOnDisk(t, d)
	daemon, err := unix.PidfdOpen(a.Status().PID, 0)
	check(t, err)
	defer unix.Close(daemon)
	f, err := os.OpenFile(a.Path("late"), os.O_CREATE|os.O_RDWR, 0o644)
	check(t, err)
	check(t, unix.Unmount(d.dir, unix.MNT_DETACH))
	if err := put(a, "lost", "x"); !errors.Is(err, unix.ENOENT) {
		t.Errorf("a write to where the disk was: %v", err)
	}
	_, err = f.WriteString("written to what is detached")
	check(t, errors.Join(err, f.Close()))
	check(t, exited(daemon))
	keeps(t, b, "")
	a.Mount() // which makes another mirror, where nothing is
	keeps(t, b, "")
	a.Umount()
	check(t, os.RemoveAll(a.Dir))

	d.mount()
	a.Mount()
	meet(t, a, b)
	keeps(t, b, "")
	has("late", "written to what is detached")(t, b, "")
}

// TestDiskNotMounted has a resource on a disk of its own: what is missing since the
// disk is not mounted is not deleted.
func TestDiskNotMounted(t *testing.T) {
	forRoot(t)
	t.Parallel()
	d := newDisk(t, 64<<20)
	a, b := pairWithDisk(t, d)
	keptBy := func(m *fstest.Mirror) {
		t.Helper()
		keeps(t, m, "far/")
	}

	check(t, unix.Unmount(d.dir, unix.MNT_DETACH)) // below the daemon, which has it still
	a.Run("sync")
	contains(t, a.Status().Resources[0].Problem, "moved or removed", "mount")
	keptBy(b)
	a.Umount()

	a.Mount()
	_, _ = a.Try("wait", "--committed", "--timeout", "5s")
	contains(t, a.Status().Resources[0].Problem, "nothing is deleted")
	keptBy(b)
	check(t, errors.Join(put(b, "far/three", "3"), put(a, "far/stray", "written in the wrong place")))
	one := func() bool { return a.Status().Resources[0].Head == b.Head() && b.Status().Resources[0].Files == 4 }
	eventually(t, "one head", one)
	if _, err := os.Stat(a.Path("far/three")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what b has made is in the wrong directory: %v", err)
	}
	contains(t, a.Run("status"), "a newer version waits: far")
	keptBy(b)
	_, _ = a.Try("umount", a.Dir)

	d.mount()
	a.Mount()
	a.Run("wait")
	contains(t, a.Status().Resources[0].Problem, "1 of 4 files are missing", "restore far")
	a.Run("restore", "far")
	meet(t, a, b)
	keptBy(a)
	has("far/three", "3")(t, a, "")
	has("far/stray", "written in the wrong place")(t, a, "")
	if p := a.Status().Resources[0].Problem; p != "" {
		t.Errorf("still: %s", p)
	}
}

// TestUmountFreesDisk unmounts the disk as soon as the mirror on it is unmounted.
func TestUmountFreesDisk(t *testing.T) {
	forRoot(t)
	t.Parallel()
	d := newDisk(t, 64<<20)
	dir := filepath.Join(d.dir, "A")
	check(t, os.Mkdir(dir, 0o755))
	m := fstest.MirrorAt(t, fstest.Program{Path: fstest.Build(t)}, dir)
	for range 5 {
		m.Mount()
		check(t, put(m, "file", "text"))
		m.Umount()
		if err := unix.Unmount(d.dir, 0); err != nil {
			t.Fatalf("unmount the disk: %v", err)
		}
		d.mount()
	}
}
