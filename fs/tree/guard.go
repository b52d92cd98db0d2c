package tree

import (
	"errors"

	"golang.org/x/sys/unix"
)

// compare looks at a slot: ErrChanged unless it holds what is expected.
func (t *Tree) compare(dir *dirRef, name string, want Expect) error {
	got, err := t.statAt(dir.FD(), name)
	switch {
	case err == unix.ENOENT && want.absent:
		return t.rootGone()
	case err == unix.ENOENT:
		if gone := t.rootGone(); gone != nil {
			return gone
		}
		return emptySlot{}
	case err != nil:
		return err
	case !want.matches(got):
		return ErrChanged
	}
	return nil
}

// guard holds a file still while its slot is changed: as long as the lease is
// held, an open for writing waits.
type guard struct {
	fd   int // -1: not a regular file, or one that the process may not read
	held bool
}

// hold compares the slot and, for a regular file, takes a lease on what is in
// it. Where no lease can be had, the comparison is all there is.
func (t *Tree) hold(dir *dirRef, name string, want Expect) (*guard, error) {
	if err := t.compare(dir, name, want); err != nil {
		return nil, err
	}
	if !want.info.IsRegular() {
		return &guard{fd: -1}, nil
	}
	at, err := t.openBelow(dir.FD(), name, unix.O_PATH)
	if err == unix.ENOENT {
		return nil, ErrChanged
	}
	if err != nil {
		return nil, err
	}
	defer unix.Close(at)
	return holdInode(at, want)
}

// holdInode is hold for the inode of an O_PATH fd.
func holdInode(at int, want Expect) (*guard, error) {
	now, err := StatFD(at)
	if err == nil && !want.matches(now) {
		err = ErrChanged // before reopen: it may be a device by now
	}
	if err != nil {
		return nil, err
	}
	g := &guard{fd: -1}
	if g.fd, err = reopen(at, unix.O_RDONLY); err == unix.EACCES {
		g.fd = -1
		return g, nil
	}
	if err != nil {
		g.fd = -1
		return nil, err
	}
	if err := g.settle(want); err != nil {
		g.release()
		return nil, err
	}
	return g, nil
}

// settle takes the lease, then compares: nothing changes the content after.
func (g *guard) settle(want Expect) error {
	if err := g.probe(); err != nil {
		return err
	}
	now, err := StatFD(g.fd)
	if err == nil && !want.matches(now) {
		err = ErrChanged
	}
	return err
}

// probe takes the lease, or asks again with it held: ErrBusy if there is a
// writer, be it one that waits for the lease to go.
func (g *guard) probe() error {
	if g.fd < 0 {
		return nil
	}
	err := takeLease(g.fd)
	if errors.Is(err, errNoLease) {
		return nil
	}
	g.held = g.held || err == nil
	return err
}

// release lets waiting writers go.
func (g *guard) release() {
	if g.held {
		_ = dropLease(g.fd) // close would, but not while a child being started shares the fd
	}
	if g.fd >= 0 {
		unix.Close(g.fd)
		g.fd = -1
	}
}

// displaced compares what came out of the slot: it was renamed since, so its
// ctime moved.
func (t *Tree) displaced(dir *dirRef, name string, want Expect, g *guard) error {
	if err := g.probe(); err != nil {
		return err
	}
	got, err := t.statAt(dir.FD(), name)
	if err != nil {
		return err
	}
	if !want.sameContent(got) {
		return ErrChanged
	}
	return nil
}
