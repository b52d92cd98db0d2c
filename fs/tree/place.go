package tree

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Place moves a temp to path if the slot holds what is expected, and returns
// what it holds then. What it replaces goes only if it was still as expected,
// without a writer, after it had left the slot; otherwise it is put back.
//
// ErrChanged, ErrBusy: the slot is as it was and the temp can be placed again
// or discarded. On any other error too the temp is the caller's to discard.
// A temp may be placed in another directory than it was made in.
func (t *Tree) Place(tmp *Temp, at Slot, want Expect) (Info, error) {
	const op = "place"
	parent, name, err := t.openSlot(op, at)
	if err != nil {
		return Info{}, err
	}
	defer parent.Release()
	if tmp.name == "" {
		return Info{}, fmt.Errorf("%s %q: %w", op, at.Path, ErrClosed)
	}
	if err := tmp.seal(); err != nil {
		return Info{}, err
	}
	defer t.Lock2(parent.Key(), tmp.dir.Key())()
	p := &placement{t: t, tmp: tmp, dir: parent, name: name, want: want}
	if want.absent {
		err = p.fill()
	} else {
		err = p.replace()
	}
	if err != nil {
		return Info{}, t.fail(op, at.Path, err)
	}
	info, err := p.placed()
	return info, t.fail(op, at.Path, err)
}

// placement is one Place, with the slot locks held.
type placement struct {
	t    *Tree
	tmp  *Temp
	dir  *dirRef
	name string
	want Expect
}

// fill moves the temp to an empty slot.
func (p *placement) fill() error {
	err := p.t.renameNew(p.tmp.dir.FD(), p.tmp.name, p.dir.FD(), p.name)
	if err == unix.EEXIST {
		return ErrChanged
	}
	return err
}

// replace exchanges the temp with what is in the slot, then looks at what came
// out. From the first rename to the last the temp's name ends in .swap: at a
// crash it is not known which of the two it holds.
func (p *placement) replace() error {
	if p.want.info.IsDir() {
		return fmt.Errorf("a directory is not replaced: %w", ErrChanged)
	}
	g, err := p.t.hold(p.dir, p.name, p.want)
	if err != nil {
		return err
	}
	defer g.release()
	if err := p.rename(p.tmp.name + swapSuffix); err != nil {
		return err
	}
	err = p.exchange()
	if err == unix.EINVAL || err == unix.ENOSYS {
		return p.replaceByLink(g)
	}
	if err == unix.ENOENT {
		err = ErrChanged
	}
	if err != nil {
		return errors.Join(err, p.unswap())
	}
	if err := p.t.displaced(p.tmp.dir, p.tmp.name, p.want, g); err != nil {
		return errors.Join(err, p.putBack())
	}
	p.t.retire(p.tmp.dir, p.tmp.name)
	return nil
}

func (p *placement) exchange() error {
	if p.t.o.plainRename {
		return unix.EINVAL
	}
	return unix.Renameat2(p.tmp.dir.FD(), p.tmp.name, p.dir.FD(), p.name, unix.RENAME_EXCHANGE)
}

// putBack undoes the exchange. If somebody else has filled the slot meanwhile,
// theirs stays there, and what was displaced stays beside it as a leftover.
func (p *placement) putBack() error {
	err := p.exchange()
	if err == unix.ENOENT { // somebody removed the new file: the old one returns
		err = p.t.renameNew(p.tmp.dir.FD(), p.tmp.name, p.dir.FD(), p.name)
		if err != nil {
			return p.abandon()
		}
		return p.spent()
	}
	if err != nil {
		return errors.Join(err, p.abandon())
	}
	back, err := p.t.statAt(p.tmp.dir.FD(), p.tmp.name)
	if err == nil && back.Key == p.tmp.info.Key {
		return p.unswap()
	}
	// What came back is not the temp: it is newer than what was displaced.
	return errors.Join(err, p.exchange(), p.abandon())
}

// abandon leaves the swap name to RemoveTemps, which will list it.
func (p *placement) abandon() error {
	return p.spent()
}

// spent ends the temp without touching what its name holds.
func (p *placement) spent() error { return p.tmp.end() }

func (p *placement) unswap() error {
	return p.rename(ownName(p.tmp.name))
}

// rename gives the temp another temp name.
func (p *placement) rename(name string) error {
	fd := p.tmp.dir.FD()
	if err := unix.Renameat(fd, p.tmp.name, fd, name); err != nil {
		return err
	}
	p.tmp.name = name
	return nil
}

// replaceByLink is replace for filesystems that cannot exchange: what is in
// the slot gets a second name first, where there are links, then the temp is
// renamed over it. Somebody else's rename over the slot in just that moment
// would be lost; nothing else is.
func (p *placement) replaceByLink(g *guard) error {
	if err := p.unswap(); err != nil {
		return err
	}
	fd, kept := p.dir.FD(), p.t.reserve()+swapSuffix
	defer p.t.forgetTemp(kept)
	linkErr := unix.Linkat(fd, p.name, fd, kept, 0)
	if linkErr == nil {
		if err := p.t.displaced(p.dir, kept, p.want, g); err != nil {
			return errors.Join(err, unix.Unlinkat(fd, kept, 0))
		}
	} else if err := p.t.compare(p.dir, p.name, p.want); err != nil {
		return err
	}
	if err := unix.Renameat(p.tmp.dir.FD(), p.tmp.name, fd, p.name); err != nil {
		return err
	}
	if linkErr != nil {
		return nil
	}
	if err := p.t.displaced(p.dir, kept, p.want, g); err != nil {
		return errors.Join(err, unix.Renameat(fd, kept, fd, p.name), p.spent())
	}
	p.t.retire(p.dir, kept)
	return nil
}

// placed ends the temp, tells the notifier and says what the slot holds. If
// somebody has written to the new file already, the answer is how it was
// placed, so that it differs from the next look at it.
func (p *placement) placed() (Info, error) {
	before := p.tmp.info
	err := p.tmp.end()
	p.t.notify(func(n Notifier) {
		n.Changed(p.dir.Key(), p.name, p.want.info, before)
		if !p.want.absent {
			n.Attr(p.want.info.Key) // it may have other names
		}
		if before.Nlink > 1 {
			n.Attr(before.Key)
		}
	})
	if now, e := p.t.statAt(p.dir.FD(), p.name); e == nil && Exactly(before).sameContent(now) {
		return now, err
	}
	return before, err
}

// renameNew renames to an empty slot: EEXIST if it is not empty.
func (t *Tree) renameNew(fromDir int, from string, toDir int, to string) error {
	err := unix.EINVAL
	if !t.o.plainRename {
		e := unix.Renameat2(fromDir, from, toDir, to, unix.RENAME_NOREPLACE)
		if e == nil {
			return nil
		}
		if e != unix.EINVAL && e != unix.ENOSYS {
			return e
		}
		err = e.(unix.Errno)
	}
	return t.renameNewByLink(fromDir, from, toDir, to, err)
}

// renameNewByLink is renameNew where the kernel has no RENAME_NOREPLACE: a
// link never replaces. What cannot be linked is looked for, then renamed.
func (t *Tree) renameNewByLink(fromDir int, from string, toDir int, to string, cause error) error {
	info, err := t.statAt(fromDir, from)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		switch err := unix.Linkat(fromDir, from, toDir, to, 0); err {
		case nil:
			return unix.Unlinkat(fromDir, from, 0)
		case unix.EPERM, unix.EOPNOTSUPP, unix.EMLINK:
		default:
			return err
		}
	}
	switch _, err := t.statAt(toDir, to); err {
	case nil:
		return unix.EEXIST
	case unix.ENOENT:
		return unix.Renameat(fromDir, from, toDir, to)
	default:
		return errors.Join(cause, err)
	}
}
