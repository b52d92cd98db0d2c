package journal

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func newOSFile(t *testing.T, dir string) (*osFile, string) {
	t.Helper()
	path := filepath.Join(dir, "segment")
	f, err := openFile(path, os.O_RDWR|os.O_CREATE)
	if err != nil {
		t.Fatal(err)
	}
	return f.(*osFile), path
}

// writeAt writes p and checks that it counts.
func writeAt(t *testing.T, f file, p []byte, off int64) {
	t.Helper()
	if n, err := f.WriteAt(p, off); n != len(p) || err != nil {
		t.Fatalf("WriteAt %d: %d, %v", off, n, err)
	}
}

// TestOSFile writes pieces of many sizes over several windows, and goes on
// after cutting some off.
func TestOSFile(t *testing.T) {
	f, path := newOSFile(t, t.TempDir())
	var want []byte
	for i := range 3000 {
		p := bytes.Repeat([]byte{byte(i) | 1}, i*7919%700)
		writeAt(t, f, p, int64(len(want)))
		want = append(want, p...)
		if i%500 == 499 {
			want = want[:len(want)-100]
			if err := f.Truncate(int64(len(want))); err != nil {
				t.Fatal(err)
			}
		}
	}
	large := bytes.Repeat([]byte("x"), windowSize+5)
	writeAt(t, f, large, int64(len(want)))
	want = append(want, large...)
	if f.plain {
		t.Fatal("nothing is mapped here")
	}
	got, err := os.ReadFile(path)
	if err != nil || !bytes.HasPrefix(got, want) || len(bytes.Trim(got[len(want):], "\x00")) > 0 {
		t.Fatalf("what the file holds before Close is not what was written (%v)", err)
	}
	if err := errors.Join(f.Datasync(), f.Close()); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%d bytes after Close, want %d (%v)", len(got), len(want), err)
	}
}

// TestOSFileFault takes the pages away beneath a mapping, as a failing disk
// does: the write that meets it is made all the same.
func TestOSFileFault(t *testing.T) {
	f, path := newOSFile(t, t.TempDir())
	first, second := bytes.Repeat([]byte("a"), 100), bytes.Repeat([]byte("b"), 100)
	writeAt(t, f, first, 0)
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	writeAt(t, f, second, 100)
	if !f.plain || f.mapped != nil {
		t.Fatal("no fault was met")
	}
	writeAt(t, f, first, 200)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	want := append(append(make([]byte, 100), second...), first...)
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("the file holds %q (%v)", got, err)
	}
}

// TestOSFileFull fills a disk that has no room for a window: to the last byte,
// and then an error.
func TestOSFileFull(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can mount")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=128k"); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	}()
	f, _ := newOSFile(t, dir)
	defer f.Close()
	size := int64(0)
	for ; size < 128<<10; size += 1024 {
		writeAt(t, f, bytes.Repeat([]byte("x"), 1024), size)
	}
	if _, err := f.WriteAt([]byte("x"), size); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("a write to a full disk: %v", err)
	}
}
