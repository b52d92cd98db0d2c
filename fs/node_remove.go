package fs

import (
	"context"
	"syscall"

	"github.com/silvermirror/smfs/journal"
	"golang.org/x/sys/unix"
)

// Unlink removes a name that is no directory.
func (d *DirNode) Unlink(ctx context.Context, name string) syscall.Errno {
	return d.m.errno(d.remove(ctx, journal.KindUnlink, name, 0))
}

// Rmdir removes an empty directory.
func (d *DirNode) Rmdir(ctx context.Context, name string) syscall.Errno {
	return d.m.errno(d.remove(ctx, journal.KindRmdir, name, unix.AT_REMOVEDIR))
}

func (d *DirNode) remove(ctx context.Context, kind journal.Kind, name string, flags int) error {
	if d.reserved(name) {
		return unix.EPERM
	}
	if d.isPlace(name) {
		return unix.EBUSY
	}
	z, release := d.hold()
	defer release()
	victim, err := d.victim(name)
	if err != nil {
		return err
	}
	defer victim.close()
	return d.mutateHeld(ctx, z, kind, name, victim.key, func(dirfd int) error {
		defer lockNodes(victim.node)()
		if err := unix.Unlinkat(dirfd, name, flags); err != nil {
			return err
		}
		victim.unlinkedLocked(link{d, name})
		return nil
	})
}

// victim is what is about to lose a name, held open so that who has it open
// (or works in it, for a directory) can go on once it has none.
type victim struct {
	fd   int // O_PATH, -1: none
	key  journal.FileKey
	dir  bool
	last bool  // it has no other name
	node *node // nil: nobody knows it
}

// victim opens what a name holds.
func (d *DirNode) victim(name string) (*victim, error) {
	ref, err := d.acquire()
	if err != nil {
		return nil, err
	}
	defer ref.release()
	fd, err := unix.Openat(ref.fd, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	var st unix.Statx_t
	if err := statFD(fd, &st); err != nil {
		unix.Close(fd)
		return nil, err
	}
	dir := st.Mode&unix.S_IFMT == unix.S_IFDIR
	return &victim{
		fd:   fd,
		key:  keyOf(&st),
		dir:  dir,
		last: dir || st.Nlink == 1,
		node: d.m.table.find(d.m.vols.get(devOf(&st)), keyOf(&st)),
	}, nil
}

// unlinkedLocked says that the victim has lost that name; its node's mu has been
// held since before it did.
func (v *victim) unlinkedLocked(l link) {
	if v.node == nil {
		return
	}
	v.node.dropLinkLocked(l)
	if v.last {
		v.node.m.table.remove(v.node)
		v.node.keepLocked(v.fd)
		v.fd = -1
	}
}

func (v *victim) close() {
	if v.fd >= 0 {
		unix.Close(v.fd)
	}
}

// keepLocked takes over an fd of an inode that has lost its last name, until
// the kernel forgets it.
func (n *node) keepLocked(fd int) {
	if d, ok := n.Operations().(*DirNode); ok {
		d.m.dirs.keep(d, fd)
		return
	}
	if n.pin >= 0 {
		unix.Close(fd)
		return
	}
	n.pin = fd
}
