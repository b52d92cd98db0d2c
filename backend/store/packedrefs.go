package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/silvermirror/smfs/backend/object"
)

const packedRefs = "packed-refs"

// delete removes a ref whose lock is held: from packed-refs first, or the old
// value would show again.
func (r *refStore) delete(name string) error {
	packed, err := r.packed()
	if err != nil {
		return err
	}
	if _, ok := packed[name]; ok {
		if err := r.dropPacked(name); err != nil {
			return fmt.Errorf("rewrite packed-refs: %w", err)
		}
	}
	if err := r.disk.remove(r.path(name)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// dropPacked writes packed-refs without one ref, under git's lock for it.
func (r *refStore) dropPacked(name string) error {
	l, err := r.lock(packedRefs, object.CommitID{})
	if err != nil {
		return err
	}
	defer l.release()
	data, err := os.ReadFile(filepath.Join(r.dir, packedRefs))
	if err != nil {
		return err
	}
	if err := writeFile(r.disk, l.temp+"~new", []byte(withoutRef(string(data), name)), true); err != nil {
		return err
	}
	if err := r.disk.rename(l.temp+"~new", l.path); err != nil {
		return err
	}
	return r.disk.syncDir(r.dir)
}

// withoutRef drops the line of a ref and the peeled value that may follow it.
func withoutRef(text, name string) string {
	var b strings.Builder
	dropped := false
	for line := range strings.Lines(text) {
		peeled := strings.HasPrefix(line, "^")
		if !peeled {
			dropped = strings.HasSuffix(strings.TrimSuffix(line, "\n"), " "+name)
		}
		if !dropped {
			b.WriteString(line)
		}
	}
	return b.String()
}
