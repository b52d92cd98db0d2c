package bench

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/silvermirror/smfs/fstest"
)

// filesystem is one of those that are compared: each shows a directory of its own
// on the same filesystem below.
type filesystem struct {
	name string
	// mount shows base in dir. settle waits until nothing goes on in the background,
	// end takes all away.
	mount func(b *testing.B, base string) (dir string, settle, end func())
}

// filesystems are the directory itself, the peers, smfs on both data paths, and a
// build of it that does all but write into its journal.
func filesystems(b *testing.B) []filesystem {
	loopback, smfs, unjournaled := buildLoopback(b), fstest.Build(b), fstest.Build(b, "journaloff")
	return []filesystem{
		{"native", func(b *testing.B, base string) (string, func(), func()) { return base, func() {}, func() {} }},
		{"bindfs", func(b *testing.B, base string) (string, func(), func()) {
			at := b.TempDir()
			return at, func() {}, serve(b, at, "bindfs", "-f", "--multithreaded", base, at)
		}},
		{"loopback", func(b *testing.B, base string) (string, func(), func()) {
			at := b.TempDir()
			return at, func() {}, serve(b, at, loopback, "-allow-other", "-q", at, base)
		}},
		{"smfs", mirror(smfs)},
		{"smfs-user", mirror(smfs, "--no-passthrough")},
		{"no journal", mirror(unjournaled)},
	}
}

// mirror mounts a mirror over a directory.
func mirror(program string, options ...string) func(b *testing.B, base string) (string, func(), func()) {
	return func(b *testing.B, base string) (dir string, settle, end func()) {
		m := fstest.MirrorAt(b, fstest.Program{Path: program}, base)
		m.Mount(options...)
		settle = func() { m.Run("wait", "--committed", "--timeout", "10m") }
		return m.Dir, settle, m.Umount
	}
}

// buildLoopback builds go-fuse's example filesystem, of the version that smfs has.
func buildLoopback(b *testing.B) string {
	file := filepath.Join(b.TempDir(), "loopback")
	run(b, "go", "build", "-o", file, "github.com/hanwen/go-fuse/v2/example/loopback")
	return file
}

// serve runs a FUSE daemon in the foreground until end.
func serve(b *testing.B, at, program string, args ...string) (end func()) {
	b.Helper()
	cmd := exec.Command(program, args...)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	end = func() {
		if cmd.ProcessState == nil {
			_ = unix.Unmount(at, unix.MNT_DETACH)
			_ = cmd.Wait()
		}
	}
	b.Cleanup(end)
	for device := deviceOf(b, filepath.Dir(at)); deviceOf(b, at) == device; {
		time.Sleep(time.Millisecond)
	}
	return end
}

func deviceOf(b *testing.B, path string) uint64 {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		b.Fatal(err)
	}
	return st.Dev
}

// bases make the filesystems below: what is measured on tmpfs is what is above it.
var bases = []struct {
	name string
	make func(b *testing.B) string
}{{"tmpfs", tmpfs}, {"ext4", ext4}}

func tmpfs(b *testing.B) string {
	dir := b.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=80%"); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

// ext4 makes one in a file.
func ext4(b *testing.B) string {
	image, dir := filepath.Join(b.TempDir(), "image"), b.TempDir()
	f, err := os.Create(image)
	if err == nil {
		err = f.Truncate(16 << 30)
	}
	if err != nil {
		b.Fatal(err)
	}
	_ = f.Close()
	run(b, "mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", image)
	run(b, "mount", "-o", "loop", image, dir)
	b.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}
