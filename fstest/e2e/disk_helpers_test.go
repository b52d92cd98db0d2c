package e2e

import (
	"errors"
	"fmt"
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

// debug has debugfs change the filesystem, which is not mounted.
func (d *disk) debug(command string) string {
	d.t.Helper()
	out, err := exec.Command("debugfs", "-w", "-R", command, d.image).CombinedOutput()
	if err != nil {
		d.t.Fatalf("debugfs %s: %v\n%s", command, err, out)
	}
	return string(out)
}

// moveToEnd says that the only extent of a file is elsewhere.
func (d *disk) moveToEnd(file string, block int) {
	d.t.Helper()
	contains(d.t, d.debug("stat "+file), "EXTENTS:\n(0-4):")
	d.debug(fmt.Sprintf("set_inode_field %s block[5] %d", file, block))
	d.fsck() // for the map of blocks
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
	fill(t, a, "")
	mirrored(a, b)
	return a, b
}

// pairWithDisk makes two mounted mirrors with a resource, which the first of them
// has on the disk, and two files in it.
func pairWithDisk(t *testing.T, d *disk) (a, b *fstest.Mirror) {
	t.Helper()
	a, b, host := pairOf(t)
	configured(t, a, "[::SilverMirror::]", "[far]", "directory = "+d.dir)
	configured(t, b, "[::SilverMirror::]", "[far]")
	a.Mount()
	b.Mount()
	connect(t, a, b, host)
	fill(t, a, "far/")
	mirrored(a, b)
	return a, b
}

func fill(t *testing.T, m *fstest.Mirror, in string) {
	t.Helper()
	check(t, errors.Join(put(m, in+"one", "1"), os.Mkdir(m.Path(in+"d"), 0o755), put(m, in+"d/two", "2")))
}

// changesTo tries the ways to change what fill has made.
func changesTo(m *fstest.Mirror, in string) map[string]error {
	return map[string]error{
		"create":    put(m, in+"new", "n"),
		"overwrite": put(m, in+"one", "other"),
		"remove":    os.Remove(m.Path(in + "one")),
		"rename":    os.Rename(m.Path(in+"d"), m.Path(in+"e")),
		"mkdir":     os.Mkdir(m.Path(in+"f"), 0o755),
		"chmod":     os.Chmod(m.Path(in+"one"), 0o600),
	}
}

// keeps wants a mirror to have all that fill has made.
func keeps(t *testing.T, m *fstest.Mirror, in string) {
	t.Helper()
	has(in+"one", "1")(t, m, "")
	has(in+"d/two", "2")(t, m, "")
}
