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

// RemoveTemps removes the temps of dead processes. What they left of an exchange is
// not removed but returned: each is either what a slot held, perhaps edited since,
// or what was to replace it; the caller reads it and decides. Directories that
// cannot be listed are passed over: whoever looks at the files in them tells.
func (t *Tree) RemoveTemps(ctx context.Context) (leftovers []string, err error) {
	var errs []error
	err = t.eachTemp(ctx, "", func(path string) {
		if isSwap(path) {
			leftovers = append(leftovers, path)
		} else if err := t.removeTemp(path); err != nil {
			errs = append(errs, err)
		}
	})
	slices.Sort(leftovers)
	return leftovers, errors.Join(append(errs, err)...)
}

// eachTemp calls fn for the temps at any depth below dir that are not this
// process's own.
func (t *Tree) eachTemp(ctx context.Context, dir string, fn func(path string)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	fd, err := toList(func(how int) (int, error) { return t.open(dir, how) })
	if err != nil {
		return nil
	}
	names, temps, err := t.readNames(fd)
	unix.Close(fd)
	if err != nil {
		return nil
	}
	for _, n := range temps {
		t.mu.Lock()
		own := t.temps[ownName(n.Name)]
		t.mu.Unlock()
		if !own {
			fn(join(dir, n.Name))
		}
	}
	for _, n := range names {
		if n.Mode != unix.S_IFDIR {
			continue
		}
		if err := t.eachTemp(ctx, join(dir, n.Name), fn); err != nil {
			return err
		}
	}
	return nil
}
