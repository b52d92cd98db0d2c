package fs

import (
	"context"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/silvermirror/smfs/journal"
	"golang.org/x/sys/unix"
)

// Rename moves a name, over another one or (RENAME_EXCHANGE) against it. It
// follows no symlink. Between resources it is allowed and journaled in both.
func (d *DirNode) Rename(ctx context.Context, name string, newParent fs.InodeEmbedder, newName string, flags uint32) syscall.Errno {
	to, ok := newParent.(*DirNode)
	if !ok {
		return refusal(newParent)
	}
	if d.reserved(name) || to.reserved(newName) {
		return syscall.EPERM
	}
	if d.isPlace(name) || to.isPlace(newName) {
		return syscall.EBUSY
	}
	if flags&^(unix.RENAME_NOREPLACE|unix.RENAME_EXCHANGE) != 0 {
		return syscall.EINVAL
	}
	r := &renaming{ctx: ctx, m: d.m, from: link{d, name}, to: link{to, newName}, flags: uint(flags)}
	return d.m.errno(r.run())
}

// renaming is one rename under way.
type renaming struct {
	ctx      context.Context
	m        *Mount
	from, to link
	flags    uint

	moved    *victim // what is at from
	replaced *victim // what is at to; nil: nothing
}

func (r *renaming) exchanges() bool { return r.flags&unix.RENAME_EXCHANGE != 0 }

func (r *renaming) run() error {
	za, zb, release, err := r.hold()
	if err != nil {
		return err
	}
	defer release()
	defer r.close()
	for _, z := range []*zone{za, zb} {
		if err := z.refuses(); err != nil {
			return err
		}
	}
	if za != zb && r.splitsLinks() {
		return unix.EXDEV
	}
	ops, err := r.begin(za, zb)
	if err == nil {
		err = r.act()
	}
	for _, op := range ops {
		if op != nil && err == nil && za == zb && !r.exchanges() {
			op.EndMoved() // nothing is left at the old name
		} else {
			end(op, err)
		}
	}
	return err
}

// hold takes the slot locks of both directories and the names lock: alone if a
// directory moves, because that changes the paths of all below. What is there
// is opened under the slot locks, so that it stays what it is.
func (r *renaming) hold() (za, zb *zone, release func(), err error) {
	for {
		za, zb = r.from.dir.zone(), r.to.dir.zone()
		unlock := r.lockSlots(za, zb)
		if err = r.open(); err != nil {
			r.close()
			unlock()
			return nil, nil, nil, err
		}
		lock, unlockNames := r.m.names.RLock, r.m.names.RUnlock
		if r.movesDirectory() {
			lock, unlockNames = r.m.names.Lock, r.m.names.Unlock
		}
		lock()
		if r.from.dir.zone() == za && r.to.dir.zone() == zb || za.res == nil || zb.res == nil {
			return za, zb, func() { unlockNames(); unlock() }, nil
		}
		unlockNames()
		r.close()
		unlock()
	}
}

func (r *renaming) lockSlots(za, zb *zone) (unlock func()) {
	switch {
	case za.res == nil:
		return zb.lock(r.to.dir)
	case zb.res == nil:
		return za.lock(r.from.dir)
	case za.res == zb.res:
		return za.res.tree.Lock2(r.from.dir.key, r.to.dir.key)
	}
	first, second := r.from.dir, r.to.dir
	if za.res.order > zb.res.order {
		za, zb = zb, za
		first, second = second, first
	}
	unlockA, unlockB := za.lock(first), zb.lock(second)
	return func() { unlockB(); unlockA() }
}

func (r *renaming) open() (err error) {
	if r.moved, err = r.from.dir.victim(r.from.name); err != nil {
		return err
	}
	r.replaced, err = r.to.dir.victim(r.to.name)
	if err == unix.ENOENT && !r.exchanges() {
		return nil
	}
	return err
}

func (r *renaming) close() {
	for _, v := range []*victim{r.moved, r.replaced} {
		if v != nil {
			v.close()
		}
	}
	r.moved, r.replaced = nil, nil
}

func (r *renaming) movesDirectory() bool {
	return r.moved.dir || r.exchanges() && r.replaced.dir
}

// splitsLinks reports whether a file with other names would leave its resource
// and them behind.
func (r *renaming) splitsLinks() bool {
	return !r.moved.last || r.exchanges() && !r.replaced.last
}

// begin journals the rename: in one record within a resource, else as what each
// resource sees of it.
func (r *renaming) begin(za, zb *zone) (ops []*journal.Op, err error) {
	_, a, okA := r.from.dir.where()
	_, b, okB := r.to.dir.where()
	if !okA || !okB {
		return nil, unix.ENOENT
	}
	a, b = join(a, r.from.name), join(b, r.to.name)
	records := r.records(za, zb, a, b)
	for _, rec := range records {
		op, err := r.m.begin(r.ctx, rec.zone, rec.Record)
		if err != nil {
			return ops, err
		}
		ops = append(ops, op)
	}
	return ops, nil
}

type zoneRecord struct {
	zone *zone
	journal.Record
}

func (r *renaming) records(za, zb *zone, a, b string) []zoneRecord {
	if za == zb {
		over := r.replaced != nil && !r.exchanges()
		return []zoneRecord{{za, journal.Record{Kind: journal.KindRename, Key: r.moved.key, Path: a, To: b, Frees: over}}}
	}
	leaves := journal.Record{Kind: r.moved.kind(journal.KindUnlink, journal.KindRmdir), Key: r.moved.key, Path: a}
	arrives := journal.Record{Kind: r.moved.kind(journal.KindCreate, journal.KindMkdir), Key: r.moved.key, Path: b}
	if r.exchanges() {
		leaves.Kind = r.replaced.kind(journal.KindCreate, journal.KindMkdir)
	}
	return []zoneRecord{{za, leaves}, {zb, arrives}}
}

func (v *victim) kind(file, dir journal.Kind) journal.Kind {
	if v.dir {
		return dir
	}
	return file
}

// act renames, and keeps the nodes' names right: whoever looks for a node
// meanwhile waits for it.
func (r *renaming) act() error {
	from, err := r.from.dir.acquire()
	if err != nil {
		return err
	}
	defer from.release()
	to, err := r.to.dir.acquire()
	if err != nil {
		return err
	}
	defer to.release()
	defer lockNodes(r.moved.node, r.replacedNode())()
	if err := unix.Renameat2(from.fd, r.from.name, to.fd, r.to.name, r.flags); err != nil {
		return err
	}
	r.relink()
	return nil
}

func (r *renaming) replacedNode() *node {
	if r.replaced == nil {
		return nil
	}
	return r.replaced.node
}

// relink is called with both nodes' mu held.
func (r *renaming) relink() {
	if r.moved.node != nil && r.moved.node == r.replacedNode() {
		return // two names of one inode: rename(2) does nothing
	}
	if n := r.moved.node; n != nil {
		n.dropLinkLocked(r.from)
		n.addLinkLocked(r.to)
	}
	if r.replaced == nil {
		return
	}
	if !r.exchanges() {
		r.replaced.unlinkedLocked(r.to)
		return
	}
	if n := r.replaced.node; n != nil {
		n.dropLinkLocked(r.to)
		n.addLinkLocked(r.from)
	}
}
