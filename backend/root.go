package backend

import (
	"errors"
	"fmt"
	"os"

	"github.com/silvermirror/smfs/fs/tree"
)

// markRoot writes the resource's id to its root, where the filesystem can.
func (r *resource) markRoot() error {
	err := r.tree.MarkRoot(r.store.Meta().ResourceIDs[0])
	if errors.Is(err, tree.ErrUnsupported) {
		return nil
	}
	return err
}

// checkRoot tells whether the root is the one that the resource was recorded
// for: an empty mount point or another disk in its place deletes nothing.
func (r *resource) checkRoot() error {
	if err := r.checkPlace(); err != nil {
		return err
	}
	var err error
	for _, id := range r.store.Meta().ResourceIDs {
		if err = r.tree.Healthy(id, ""); err == nil {
			return nil
		}
	}
	return fmt.Errorf("another directory may be in its place, so nothing is deleted; if it is meant to be there, run in the mirror: smfs restore %s: %w",
		orHere(r.mirrorPath("")), err)
}

// errMoved means that the root of a resource elsewhere is not where it was.
var errMoved = errors.New("its directory was moved or removed")

// checkPlace tells whether the root, if it is elsewhere, still is where it was
// opened. The kernel says where it is: to look there might lead into the mount.
func (r *resource) checkPlace() error {
	if r.rootPath == "" {
		return nil
	}
	if at, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", r.tree.RootFD())); err == nil && at != r.rootPath {
		return fmt.Errorf("%w: put it back, or unmount and mount the mirror (%s is %s now)", errMoved, r.rootPath, at)
	}
	return nil
}

// adoptRoot makes the directory that is there the resource's, should it belong to
// none. It tells whether it had to.
func (r *resource) adoptRoot() (adopted bool, err error) {
	if err := r.checkRoot(); !errors.Is(err, tree.ErrUnhealthy) {
		return false, nil
	}
	id, err := r.tree.RootID()
	if err != nil {
		return false, err
	}
	if id != "" {
		return false, WithHint(fmt.Errorf("%w: %s is the directory of another resource, %s", ErrInvalid, r.conf.Directory, id),
			"put the right directory in its place; or have this one adopted, with: setfattr -x "+tree.RootXattr+" "+r.conf.Directory)
	}
	return true, r.markRoot()
}
