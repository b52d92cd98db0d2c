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
	name  string
	mount func(b *testing.B, base string) (dir string)
}

// filesystems are the directory itself, the peers, and smfs on both data paths.
func filesystems() []filesystem {
	return []filesystem{
		{"native", func(b *testing.B, base string) string { return base }},
		{"bindfs", func(b *testing.B, base string) string {
			at := b.TempDir()
			serve(b, at, "bindfs", "-f", "--multithreaded", base, at)
			return at
		}},
		{"loopback", func(b *testing.B, base string) string {
			at := b.TempDir()
			serve(b, at, loopback(b), "-allow-other", "-q", at, base)
			return at
		}},
		{"smfs", func(b *testing.B, base string) string { return mirrorOn(b, base) }},
		{"smfs-user", func(b *testing.B, base string) string { return mirrorOn(b, base, "--no-passthrough") }},
	}
}

// mirrorOn mounts a mirror over a directory.
func mirrorOn(b *testing.B, base string, options ...string) string {
	m := fstest.MirrorAt(b, fstest.Program{Path: fstest.Build(b)}, base)
	m.Mount(options...)
	return m.Dir
}

// loopback builds go-fuse's example filesystem, of the version that smfs has.
func loopback(b *testing.B) string {
	file := filepath.Join(b.TempDir(), "loopback")
	run(b, "go", "build", "-o", file, "github.com/hanwen/go-fuse/v2/example/loopback")
	return file
}

// serve runs a FUSE daemon in the foreground until the benchmark ends.
func serve(b *testing.B, at, program string, args ...string) {
	b.Helper()
	cmd := exec.Command(program, args...)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = unix.Unmount(at, unix.MNT_DETACH)
		_ = cmd.Wait()
	})
	for device := deviceOf(b, filepath.Dir(at)); deviceOf(b, at) == device; {
		time.Sleep(time.Millisecond)
	}
}

func deviceOf(b *testing.B, path string) uint64 {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		b.Fatal(err)
	}
	return st.Dev
}

// tmpfs mounts one: what is measured on it is the filesystem above.
func tmpfs(b *testing.B) string {
	dir := b.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=4g"); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}
