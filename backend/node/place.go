package node

import (
	"errors"
	"fmt"
	"os"
)

// place makes a file durable under its name, complete or not at all, and
// reports whether it did: a file that is already there stays.
func place(dir, name string, perm os.FileMode, data []byte) (placed bool, err error) {
	path := dir + "/" + name
	if _, err := os.Lstat(path); err == nil {
		return false, nil
	}
	tmp, err := os.CreateTemp(dir, "."+name+".*")
	if err != nil {
		return false, fmt.Errorf("create %s: %w", name, err)
	}
	defer os.Remove(tmp.Name())
	if err := fill(tmp, perm, data); err != nil {
		return false, fmt.Errorf("write %s: %w", name, err)
	}
	err = os.Link(tmp.Name(), path) // fails where rename would overwrite
	if errors.Is(err, os.ErrExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("place %s: %w", name, err)
	}
	return true, syncDir(dir)
}

func fill(f *os.File, perm os.FileMode, data []byte) error {
	_, err := f.Write(data)
	return errors.Join(err, f.Chmod(perm), f.Sync(), f.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	return nil
}
