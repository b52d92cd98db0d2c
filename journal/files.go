package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// files is the directory of a journal: the few operations whose order decides
// what survives a crash. Names are plain file names.
type files interface {
	list() ([]string, error)
	read(name string) ([]byte, error)
	create(name string) (file, error) // fails where the name exists
	open(name string) (file, error)   // for writing
	remove(name string) error
	sync() error    // makes creations durable
	reserve() error // takes room on the disk, unless it has it, that release gives back
	release() bool  // tells whether there was any
}

// file is an open segment.
type file interface {
	WriteAt(p []byte, off int64) (int, error)
	Truncate(size int64) error      // gives back what is allocated behind it
	Allocate(off, size int64) error // takes room on the disk, and leaves the size
	Datasync() error
	Close() error
}

// osFiles is a directory of the operating system. It uses the path as given,
// never its resolved form: under a mount that would lead into the mount.
type osFiles struct{ dir string }

// openDir returns the journal's directory, made if it is not there.
func openDir(dir string) (osFiles, error) {
	err := os.Mkdir(dir, 0o700)
	if err == nil {
		err = syncDir(filepath.Dir(dir))
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return osFiles{}, fmt.Errorf("make journal directory: %w", err)
	}
	return osFiles{dir}, nil
}

func (d osFiles) path(name string) string { return d.dir + "/" + name }

func (d osFiles) list() ([]string, error) {
	entries, err := os.ReadDir(d.dir)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, nil
}

func (d osFiles) read(name string) ([]byte, error) { return os.ReadFile(d.path(name)) }

func (d osFiles) create(name string) (file, error) {
	return openFile(d.path(name), os.O_WRONLY|os.O_CREATE|os.O_EXCL)
}

func (d osFiles) open(name string) (file, error) { return openFile(d.path(name), os.O_WRONLY) }

func (d osFiles) remove(name string) error { return os.Remove(d.path(name)) }

func (d osFiles) sync() error { return syncDir(d.dir) }

// reserveName is the file that takes room, and reserveSize how much: enough for
// hundreds of records, and for an engine to start. keptSize of it is the current
// segment's once it is needed; the rest is for what the filesystem has to note.
const (
	reserveName = "reserve"
	reserveSize = 128 << 10
	keptSize    = reserveSize - 16<<10
)

func (d osFiles) reserve() error {
	f, err := os.OpenFile(d.path(reserveName), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	// Written, since not every filesystem can allocate; nothing that shrinks.
	_, err = f.Write(bytes.Repeat([]byte("reserved"), reserveSize/8))
	if err = errors.Join(err, f.Close()); err != nil {
		d.release()
	}
	return err
}

func (d osFiles) release() bool { return os.Remove(d.path(reserveName)) == nil }

type osFile struct{ *os.File }

func openFile(path string, flags int) (file, error) {
	f, err := os.OpenFile(path, flags, 0o600)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (f osFile) Allocate(off, size int64) error {
	return unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, off, size)
}

// Datasync makes the content and the size durable.
func (f osFile) Datasync() error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EINTR) {
			return &fs.PathError{Op: "fdatasync", Path: f.Name(), Err: err}
		}
	}
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
