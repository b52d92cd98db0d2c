package tree

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// RootXattr is the attribute of a root that MarkRoot writes.
const RootXattr = ReservedXattrs + "resource"

// MarkRoot writes a resource's id to the root, so that another directory in
// its place is noticed. ErrUnsupported: the filesystem has no attributes.
func (t *Tree) MarkRoot(id string) error {
	if err := unix.Fsetxattr(t.rootFD, RootXattr, []byte(id), 0); err != nil {
		return t.fail("mark root of", t.o.Resource, err)
	}
	return nil
}

// RootID reads what MarkRoot wrote; "" if the root was never marked.
func (t *Tree) RootID() (string, error) {
	id, err := readGrowing(func(buf []byte) (int, error) { return unix.Fgetxattr(t.rootFD, RootXattr, buf) })
	if errors.Is(err, unix.ENODATA) {
		return "", nil
	}
	return id, t.fail("read mark of root of", t.o.Resource, err)
}

// Filesystem identifies the filesystem that holds the root, the same after a
// reboot where the filesystem has an id of its own (ext4, xfs, btrfs have).
func (t *Tree) Filesystem() (string, error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(t.rootFD, &st); err != nil {
		return "", t.fail("statfs root of", t.o.Resource, err)
	}
	return fmt.Sprintf("%x:%08x%08x", uint32(st.Type), uint32(st.Fsid.Val[0]), uint32(st.Fsid.Val[1])), nil
}

// Healthy returns nil if the root is linked and carries that id on that
// filesystem ("" is any). ErrRootGone, ErrUnhealthy: what is absent from it
// must not be taken for deleted.
func (t *Tree) Healthy(id, filesystem string) error {
	if err := t.rootGone(); err != nil {
		return err
	}
	is, err := t.RootID()
	if err != nil {
		return err
	}
	if is != id {
		return fmt.Errorf("root of %q is marked %q, not %q: %w", t.o.Resource, is, id, ErrUnhealthy)
	}
	on, err := t.Filesystem()
	if err != nil {
		return err
	}
	if filesystem != "" && on != filesystem {
		return fmt.Errorf("root of %q is on filesystem %s, not %s: %w", t.o.Resource, on, filesystem, ErrUnhealthy)
	}
	return nil
}
