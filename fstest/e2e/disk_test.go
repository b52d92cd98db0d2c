package e2e

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/silvermirror/smfs/fstest"
	"github.com/silvermirror/smfs/fstest/sshd"
)

// disk is an ext4 filesystem in a file, which only root can mount.
type disk struct {
	image, dir string
	t          *testing.T
}

func newDisk(t *testing.T, size int64) *disk {
	t.Helper()
	tmp := t.TempDir()
	d := &disk{filepath.Join(tmp, "image"), filepath.Join(tmp, "disk"), t}
	check(t, errors.Join(sparse(d.image, size), os.Mkdir(d.dir, 0o755)))
	run(t, "mkfs.ext4", "-q", "-b", "4096", d.image)
	t.Cleanup(func() { unix.Unmount(d.dir, unix.MNT_DETACH) })
	d.mount()
	return d
}

func (d *disk) mount(options ...string) {
	d.t.Helper()
	run(d.t, "mount", "-o", strings.Join(append(options, "loop"), ","), d.image, d.dir)
}

// umount unmounts, when a daemon that has ended lets go of it.
func (d *disk) umount() {
	d.t.Helper()
	eventually(d.t, "an end of the disk's use", func() bool {
		err := unix.Unmount(d.dir, 0)
		if err != nil && err != unix.EBUSY {
			d.t.Fatal(err)
		}
		return err == nil
	})
}

// fsck mends the filesystem, which must not be mounted.
func (d *disk) fsck() {
	d.t.Helper()
	out, err := exec.Command("e2fsck", "-fy", d.image).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) { // 1: mended
		d.t.Fatalf("e2fsck: %v\n%s", err, out)
	}
}

// device is the name of the loop device.
func (d *disk) device() string {
	d.t.Helper()
	table, err := os.ReadFile("/proc/self/mounts")
	check(d.t, err)
	for _, line := range strings.Split(string(table), "\n") {
		if f := strings.Fields(line); len(f) > 1 && f[1] == d.dir {
			return filepath.Base(f[0])
		}
	}
	d.t.Fatalf("%s is not mounted", d.dir)
	return ""
}

// pairOnDisk makes two mounted mirrors, the first of them on the disk, with two
// files.
func pairOnDisk(t *testing.T, d *disk) (a, b *fstest.Mirror) {
	t.Helper()
	host := sshd.Start(t)
	p := fstest.Program{Path: fstest.Build(t), Env: host.Env()}
	dir := filepath.Join(d.dir, "A")
	check(t, os.Mkdir(dir, 0o755))
	a, b = fstest.MirrorAt(t, p, dir), fstest.NewMirror(t, p, "B")
	t.Cleanup(host.Down)
	a.Mount()
	b.Mount()
	connect(t, a, b, host)
	check(t, errors.Join(put(a, "one", "1"), os.Mkdir(a.Path("d"), 0o755), put(a, "d/two", "2")))
	mirrored(a, b)
	return a, b
}

// changesTo tries the ways to change what pairOnDisk has made.
func changesTo(m *fstest.Mirror) map[string]error {
	return map[string]error{
		"create":    put(m, "new", "n"),
		"overwrite": put(m, "one", "other"),
		"remove":    os.Remove(m.Path("one")),
		"rename":    os.Rename(m.Path("d"), m.Path("e")),
		"mkdir":     os.Mkdir(m.Path("f"), 0o755),
		"chmod":     os.Chmod(m.Path("one"), 0o600),
	}
}

// keeps wants a mirror to have all that pairOnDisk has made.
func keeps(t *testing.T, m *fstest.Mirror) {
	t.Helper()
	has("one", "1")(t, m, "")
	has("d/two", "2")(t, m, "")
}

// TestReadOnlyDisk has the filesystem below made read-only by the kernel, after an
// error (a mount -o remount,ro is refused while the daemon writes its journal).
func TestReadOnlyDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		return
	}
	t.Parallel()
	d := newDisk(t, 64<<20)
	run(t, "mount", "-o", "remount,errors=remount-ro", d.dir)
	a, b := pairOnDisk(t, d)
	check(t, os.WriteFile("/sys/fs/ext4/"+d.device()+"/trigger_fs_error", []byte("1"), 0))
	for what, err := range changesTo(a) {
		if !errors.Is(err, unix.EROFS) && !errors.Is(err, unix.EIO) {
			t.Errorf("%s: %v", what, err)
		}
	}
	keeps(t, a)
	contains(t, a.Status().Resources[0].Problem, "refused", "read-only", "fsck")
	check(t, put(b, "three", "3"))
	b.Run("wait", "--committed")
	keeps(t, b)
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
	keeps(t, a)
	has("three", "3")(t, a, "")
}

// shutDown is EXT4_IOC_SHUTDOWN, and without a flush of its log the filesystem is as
// if its device were gone.
const (
	shutDown   = 0x8004587d
	noLogFlush = 2
)

// TestDiskGone has the device below vanish.
func TestDiskGone(t *testing.T) {
	if os.Geteuid() != 0 {
		return
	}
	t.Parallel()
	d := newDisk(t, 64<<20)
	a, b := pairOnDisk(t, d)
	root, err := os.Open(d.dir)
	check(t, err)
	check(t, errors.Join(unix.IoctlSetPointerInt(int(root.Fd()), shutDown, noLogFlush), root.Close()))
	for what, err := range changesTo(a) {
		if !errors.Is(err, unix.EIO) {
			t.Errorf("%s: %v", what, err)
		}
	}
	contains(t, a.Status().Resources[0].Problem, "refused", "input/output error", "fsck")
	check(t, put(b, "three", "3"))
	b.Run("wait", "--committed")
	keeps(t, b)
	_, _ = a.Try("umount", a.Dir)

	d.umount()
	d.mount()
	a.Mount()
	meet(t, a, b)
	keeps(t, a)
	has("three", "3")(t, a, "")
}

// TestDiskDetached unmounts the disk lazily below a mirror: who has a file open goes
// on, the daemon ends with the last of them, and all is there when the disk is back.
func TestDiskDetached(t *testing.T) {
	if os.Geteuid() != 0 {
		return
	}
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
	keeps(t, b)
	a.Mount() // which makes another mirror, where nothing is
	keeps(t, b)
	a.Umount()
	check(t, os.RemoveAll(a.Dir))

	d.mount()
	a.Mount()
	meet(t, a, b)
	keeps(t, b)
	has("late", "written to what is detached")(t, b, "")
}

// TestDiskNotMounted has a resource on a disk of its own: what is missing since the
// disk is not mounted is not deleted.
func TestDiskNotMounted(t *testing.T) {
	if os.Geteuid() != 0 {
		return
	}
	t.Parallel()
	d := newDisk(t, 64<<20)
	a, b, host := pairOf(t)
	configured(t, a, "[::SilverMirror::]", "[far]", "directory = "+d.dir)
	configured(t, b, "[::SilverMirror::]", "[far]")
	a.Mount()
	b.Mount()
	connect(t, a, b, host)
	check(t, errors.Join(put(a, "far/one", "1"), os.Mkdir(a.Path("far/d"), 0o755), put(a, "far/d/two", "2")))
	mirrored(a, b)
	keptBy := func(m *fstest.Mirror) {
		t.Helper()
		has("far/one", "1")(t, m, "")
		has("far/d/two", "2")(t, m, "")
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
