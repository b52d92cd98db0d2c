package fs

import (
	"context"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"github.com/silvermirror/smfs/journal"
	"golang.org/x/sys/unix"
)

// Link gives an inode another name, or an O_TMPFILE its first. A link from one
// resource into another is refused as from one filesystem into another: a
// write through one name would change the other without a trace in its journal.
func (d *DirNode) Link(ctx context.Context, to fs.InodeEmbedder, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	n := nodeOf(to)
	if n == nil {
		return nil, refusal(to)
	}
	if d.reserved(name) {
		return nil, syscall.EPERM
	}
	if d.isPlace(name) {
		return nil, syscall.EBUSY
	}
	z, release := d.hold()
	defer release()
	from, err := n.reach()
	if err != nil {
		return nil, d.m.errno(err)
	}
	defer from.release()
	return d.made(n, d.linkHeld(ctx, z, n, from, name, out))
}

// linkRecord says what a link in zone z does: another name of a file in the same
// zone, or the appearance of one that had none.
func (n *node) linkRecord(z *zone, to string) (journal.Record, error) {
	appears := journal.Record{Kind: journal.KindCreate, Key: n.key, Path: to}
	l, ok := n.link()
	if !ok {
		return appears, nil
	}
	from, dir, ok := l.dir.where()
	if !ok {
		return appears, nil
	}
	if from != z {
		return appears, unix.EXDEV
	}
	return journal.Record{Kind: journal.KindLink, Key: n.key, Path: join(dir, l.name), To: to, Linked: true}, nil
}

func (d *DirNode) linkHeld(ctx context.Context, z *zone, n *node, from reached, name string, out *fuse.EntryOut) error {
	if err := z.refuses(); err != nil {
		return err
	}
	_, dir, ok := d.where()
	if !ok {
		return unix.ENOENT
	}
	r, err := n.linkRecord(z, join(dir, name))
	if err != nil {
		return err
	}
	ref, err := d.acquire()
	if err != nil {
		return err
	}
	defer ref.release()
	return d.m.journaled(ctx, z, r, func() error {
		if err := unix.Linkat(unix.AT_FDCWD, procPath(from.fd), ref.fd, name, unix.AT_SYMLINK_FOLLOW); err != nil {
			return err
		}
		var st unix.Statx_t
		if err := statFD(from.fd, &st); err != nil {
			return err
		}
		n.addLink(link{d, name})
		n.entry(d, &st, out)
		return nil
	})
}
