package fs

import (
	"context"
	"fmt"

	"github.com/silvermirror/smfs/journal"
	"golang.org/x/sys/unix"
)

// hold takes what a mutation of names in d holds: the slot lock of d and, shared,
// the names lock. It returns the zone of d.
func (d *DirNode) hold() (z *zone, release func()) {
	for {
		z = d.zone()
		unlock := z.lock(d)
		d.m.names.RLock()
		if d.zone() == z || z.res == nil {
			return z, func() {
				d.m.names.RUnlock()
				unlock()
			}
		}
		d.m.names.RUnlock()
		unlock()
	}
}

// lock takes the slot lock of d, which is in the zone.
func (z *zone) lock(d *DirNode) (unlock func()) {
	if z.res == nil {
		return func() {}
	}
	return z.res.tree.Lock(d.key)
}

// begin journals what is about to happen in a zone, if the caller may do anything
// there. op is nil where the zone is not journaled.
func (m *Mount) begin(ctx context.Context, z *zone, r journal.Record) (op *journal.Op, err error) {
	if err := m.enters(ctx); err != nil {
		return nil, err
	}
	if z.res == nil {
		return nil, nil
	}
	r.Resource = z.res.name
	r.Actor = m.actors.of(ctx)
	op, err = m.journal.Begin(r)
	if err != nil {
		return nil, fmt.Errorf("journal %q in %s: %w", r.Path, r.Resource, err)
	}
	return op, nil
}

// end says that what begin announced has acted, or failed.
func end(op *journal.Op, err error) {
	if op != nil {
		op.End(err)
	}
}

// journaled runs act between begin and end.
func (m *Mount) journaled(ctx context.Context, z *zone, r journal.Record, act func() error) error {
	op, err := m.begin(ctx, z, r)
	if err != nil {
		return err
	}
	err = act()
	end(op, err)
	return err
}

// mutate changes name in d: act gets the directory's fd. Where the directory is
// nowhere any more the backing filesystem answers.
func (d *DirNode) mutate(ctx context.Context, kind journal.Kind, name string, key journal.FileKey, act func(dirfd int) error) error {
	z, release := d.hold()
	defer release()
	return d.mutateHeld(ctx, z, kind, name, key, act)
}

func (d *DirNode) mutateHeld(ctx context.Context, z *zone, kind journal.Kind, name string, key journal.FileKey, act func(dirfd int) error) error {
	if err := z.refuses(); err != nil {
		return err
	}
	_, dir, ok := d.where()
	if !ok {
		return unix.ENOENT
	}
	ref, err := d.acquire()
	if err != nil {
		return err
	}
	defer ref.release()
	r := journal.Record{Kind: kind, Path: join(dir, name), Key: key}
	return d.m.journaled(ctx, z, r, func() error { return act(ref.fd) })
}

// refuses is why names in the zone cannot change.
func (z *zone) refuses() error {
	switch {
	case z.readonly:
		return unix.EROFS
	case z.fixed:
		return unix.EPERM
	}
	return nil
}

// change alters the inode itself, wherever its name is by now. An inode that
// has no name is altered without a record: there is no path that could change.
func (n *node) change(ctx context.Context, r journal.Record, act func(target) error) error {
	if d, ok := n.Operations().(*DirNode); ok {
		return d.changeSelf(ctx, r, act)
	}
	for {
		l, ok := n.link()
		if !ok {
			return n.changeNameless(act)
		}
		found, err := n.changeAt(ctx, r, l, act)
		if found || !gone(err) {
			return err
		}
		n.dropLink(l)
	}
}

// changeAt alters the inode if it is at l.
func (n *node) changeAt(ctx context.Context, r journal.Record, l link, act func(target) error) (found bool, err error) {
	z, release := l.dir.hold()
	defer release()
	if z.readonly {
		return true, unix.EROFS
	}
	_, dir, ok := l.dir.where()
	if !ok {
		return false, unix.ESTALE
	}
	ref, err := l.dir.acquire()
	if err != nil {
		return true, err
	}
	defer ref.release()
	fd, err := n.openPath(ref.fd, l.name)
	if err != nil {
		return false, err
	}
	defer unix.Close(fd)
	r.Path, r.Key, r.Linked = join(dir, l.name), n.key, linked(fd)
	return true, n.m.journaled(ctx, z, r, func() error { return act(target{fd, true}) })
}

func (n *node) changeNameless(act func(target) error) error {
	ref, err := n.nameless()
	if err != nil {
		return err
	}
	defer ref.release()
	return act(ref.target)
}

// changeSelf alters a directory's own attributes. Its slot is in its parent,
// that of a zone's root in itself.
func (d *DirNode) changeSelf(ctx context.Context, r journal.Record, act func(target) error) error {
	holder := d
	if l, ok := d.link(); ok && d.own == nil {
		holder = l.dir
	}
	_, release := holder.hold()
	defer release()
	ref, err := d.acquire()
	if err != nil {
		return err
	}
	defer ref.release()
	z, path, ok := d.where()
	if !ok {
		return act(target{ref.fd, true})
	}
	if err := z.refuses(); err != nil {
		return err
	}
	r.Path, r.Key = path, d.key
	return d.m.journaled(ctx, z, r, func() error { return act(target{ref.fd, true}) })
}

func join(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}
