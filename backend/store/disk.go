package store

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// disk is every operation by which the store changes its directory. Its order
// of calls is what survives a crash; tests put a failing disk in its place.
type disk interface {
	create(path string) (diskFile, error) // new, for reading and writing; ErrExist where the name is taken
	rename(from, to string) error         // replaces to
	link(from, to string) error           // ErrExist where to is taken
	remove(path string) error
	mkdirAll(path string) error
	syncDir(path string) error // the names in the directory are durable
}

type diskFile interface {
	io.Writer
	io.WriterAt
	io.ReaderAt
	io.Closer
	Truncate(size int64) error // also moves the end for Write
	Sync() error               // content and size are durable
}

type osDisk struct{}

// osFile is a file whose bytes are on their way to the disk from early on, so
// that Sync has little to wait for, and nobody else's fsync much of this to write.
type osFile struct {
	*os.File
	end, started int64 // bytes written, and those that the disk was asked to take
}

// writeBehind is after how many bytes the disk is asked to take them.
const writeBehind = 8 << 20

func (f *osFile) Write(b []byte) (int, error) {
	n, err := f.File.Write(b)
	f.end += int64(n)
	if f.end-f.started >= writeBehind {
		// A hint: where the system has no such call, Sync does it all.
		_ = unix.SyncFileRange(int(f.Fd()), f.started, f.end-f.started, unix.SYNC_FILE_RANGE_WRITE)
		f.started = f.end
	}
	return n, err
}

func (osDisk) create(path string) (diskFile, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	return &osFile{File: f}, nil
}

func (f *osFile) Truncate(size int64) error {
	if err := f.File.Truncate(size); err != nil {
		return err
	}
	f.end, f.started = size, min(size, f.started)
	_, err := f.Seek(size, io.SeekStart)
	return err
}

func (f *osFile) Sync() error {
	if err := unix.Fdatasync(int(f.Fd())); err != nil {
		return fmt.Errorf("fdatasync %s: %w", f.Name(), err)
	}
	return nil
}

func (osDisk) rename(from, to string) error { return os.Rename(from, to) }
func (osDisk) link(from, to string) error   { return os.Link(from, to) }
func (osDisk) remove(path string) error     { return os.Remove(path) }
func (osDisk) mkdirAll(path string) error   { return os.MkdirAll(path, 0o700) }

func (osDisk) syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("fsync directory %s: %w", path, err)
	}
	return nil
}

// writeDurably puts data at path by way of a temporary beside it.
func writeDurably(d disk, dir, path string, data []byte) error {
	tmp := path + ".tmp"
	if err := d.remove(tmp); err != nil && !os.IsNotExist(err) {
		return err
	}
	if err := writeFile(d, tmp, data, true); err != nil {
		return err
	}
	if err := d.rename(tmp, path); err != nil {
		return err
	}
	return d.syncDir(dir)
}

// writeFile writes a new file, with a Sync where asked.
func writeFile(d disk, path string, data []byte, sync bool) error {
	f, err := d.create(path)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil && sync {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}
