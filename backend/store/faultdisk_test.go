package store

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
)

var errCrash = errors.New("crashed")

// lazyDisk makes nothing durable.
type lazyDisk struct{ osDisk }

type lazyFile struct{ diskFile }

func (lazyFile) Sync() error          { return nil }
func (lazyDisk) syncDir(string) error { return nil }
func (d lazyDisk) create(path string) (diskFile, error) {
	f, err := d.osDisk.create(path)
	return lazyFile{f}, err
}

// faultDisk dies at a given step: that one and all after it fail, a write
// leaving half of its bytes. lose then does to the directory what a loss of
// power does: what was not synced may be gone.
type faultDisk struct {
	osDisk
	backups string // directory on the same file system

	mu      sync.Mutex
	left    int // steps until it dies
	crashed bool
	n       int
	pending []dirOp               // changes of directories that no syncDir covered
	files   map[string]*faultFile // backup name -> files not synced
}

// dirOp is one change of a directory and how it is taken back.
type dirOp struct {
	dirs []string // not yet synced
	undo func() error
}

func (d *faultDisk) step() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.left == 0 {
		d.crashed = true
	}
	if d.crashed {
		return errCrash
	}
	d.left--
	return nil
}

// backup links path to a name that no operation of the store reaches.
func (d *faultDisk) backup(path string) (string, error) {
	d.n++
	name := filepath.Join(d.backups, fmt.Sprint(d.n))
	return name, os.Link(path, name)
}

func (d *faultDisk) did(undo func() error, dirs ...string) {
	d.pending = append(d.pending, dirOp{dirs, undo})
}

func (d *faultDisk) create(path string) (diskFile, error) {
	if err := d.step(); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	f, err := d.osDisk.create(path)
	if err != nil {
		return nil, err
	}
	name, err := d.backup(path)
	if err != nil {
		return nil, err
	}
	d.did(func() error { return os.Remove(path) }, filepath.Dir(path))
	file := &faultFile{osFile: f.(*osFile), disk: d, name: name}
	d.files[name] = file
	return file, nil
}

func (d *faultDisk) rename(from, to string) error {
	if err := d.step(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	old := ""
	if _, err := os.Lstat(to); err == nil {
		if old, err = d.backup(to); err != nil {
			return err
		}
	}
	if err := d.osDisk.rename(from, to); err != nil {
		return err
	}
	d.did(func() error {
		if err := os.Rename(to, from); err != nil || old == "" {
			return err
		}
		return os.Link(old, to)
	}, filepath.Dir(from), filepath.Dir(to))
	return nil
}

func (d *faultDisk) link(from, to string) error {
	if err := d.step(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.osDisk.link(from, to); err != nil {
		return err
	}
	d.did(func() error { return os.Remove(to) }, filepath.Dir(to))
	return nil
}

func (d *faultDisk) remove(path string) error {
	if err := d.step(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, err := os.Lstat(path); err != nil {
		return err
	}
	old, err := d.backup(path)
	if err != nil {
		return err
	}
	if err := d.osDisk.remove(path); err != nil {
		return err
	}
	d.did(func() error { return os.Link(old, path) }, filepath.Dir(path))
	return nil
}

func (d *faultDisk) syncDir(path string) error {
	if err := d.step(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	var pending []dirOp
	for _, op := range d.pending {
		var dirs []string
		for _, p := range op.dirs {
			if p != path {
				dirs = append(dirs, p)
			}
		}
		if op.dirs = dirs; len(dirs) > 0 {
			pending = append(pending, op)
		}
	}
	d.pending = pending
	return nil
}

// lose takes back a random number of the last directory changes that nothing
// made durable, and empties, cuts or zeroes what was not synced in files.
func (d *faultDisk) lose(r *rand.Rand) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for n := r.IntN(len(d.pending) + 1); n > 0; n-- {
		last := d.pending[len(d.pending)-1]
		d.pending = d.pending[:len(d.pending)-1]
		if err := last.undo(); err != nil {
			return err
		}
	}
	for name, f := range d.files {
		info, err := os.Stat(name)
		if err != nil {
			return err
		}
		size := f.synced
		if lost := info.Size() - size; lost > 0 && r.IntN(2) == 0 {
			size += r.Int64N(lost)
		}
		if err := os.Truncate(name, size); err != nil {
			return err
		}
		if r.IntN(3) == 0 {
			if err := os.Truncate(name, info.Size()); err != nil { // zeros
				return err
			}
		}
	}
	return nil
}

type faultFile struct {
	*osFile
	disk   *faultDisk
	name   string
	synced int64 // bytes
}

func (f *faultFile) Write(b []byte) (int, error) {
	if err := f.disk.step(); err != nil {
		n, _ := f.osFile.Write(b[:len(b)/2])
		return n, err
	}
	return f.osFile.Write(b)
}

func (f *faultFile) WriteAt(b []byte, off int64) (int, error) {
	if err := f.disk.step(); err != nil {
		return 0, err
	}
	return f.osFile.WriteAt(b, off)
}

func (f *faultFile) Truncate(size int64) error {
	if err := f.disk.step(); err != nil {
		return err
	}
	return f.osFile.Truncate(size)
}

func (f *faultFile) Sync() error {
	if err := f.disk.step(); err != nil {
		return err
	}
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	delete(f.disk.files, f.name)
	return nil
}
