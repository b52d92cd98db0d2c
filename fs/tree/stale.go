package tree

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

func isSwap(path string) bool { return strings.HasSuffix(path, swapSuffix) }

// ownName is a temp's name before an exchange.
func ownName(name string) string { return strings.TrimSuffix(name, swapSuffix) }

// removeTemp unlinks a dead process's temp, if it is still there.
func (t *Tree) removeTemp(path string) error {
	dir, name, err := t.openParent("remove temporary", path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer dir.Release()
	err = unix.Unlinkat(dir.FD(), name, 0)
	if err == unix.EISDIR { // of a Mkdir
		err = unix.Unlinkat(dir.FD(), name, unix.AT_REMOVEDIR)
	}
	if err == unix.ENOENT {
		return nil
	}
	return t.fail("remove temporary", path, err)
}

// foundTemps remembers temps that a scan has met and that are not this
// process's own.
func (t *Tree) foundTemps(paths map[string]bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stale == nil {
		t.stale = make(map[string]bool)
	}
	for p := range paths {
		_, name, err := split(p)
		if err == nil && !t.temps[ownName(name)] {
			t.stale[p] = true
		}
	}
}

// RemoveTemps removes the temps of dead processes that scans have met, or
// scans for them if there was no scan yet. What they left of an exchange is
// not removed but returned: each is either what a slot held, perhaps edited
// since, or what was to replace it; the caller reads it and decides.
func (t *Tree) RemoveTemps(ctx context.Context) (leftovers []string, err error) {
	t.mu.Lock()
	stale := t.stale
	t.mu.Unlock()
	if stale == nil {
		if _, err := t.Scan(ctx, func(string, Info) error { return nil }); err != nil {
			return nil, err
		}
	}
	t.mu.Lock()
	stale, t.stale = t.stale, make(map[string]bool)
	t.mu.Unlock()
	var errs []error
	for path := range stale {
		if isSwap(path) {
			if _, err := t.Stat(path); !errors.Is(err, os.ErrNotExist) {
				leftovers = append(leftovers, path)
			}
			continue
		}
		if err := t.removeTemp(path); err != nil {
			errs = append(errs, err)
		}
	}
	slices.Sort(leftovers)
	return leftovers, errors.Join(errs...)
}
