package store

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// Mend makes the files of the store whole as far as their content can be read:
// an index that does not fit its pack is made again, and what is readable in a
// damaged pack moves to a new one. Damaged packs go to the directory aside,
// nothing is deleted. Objects that could not be read are missing after it: who
// has them elsewhere puts them into a batch. It calls did for each thing done.
func (s *Store) Mend(ctx context.Context, aside string, did func(string)) error {
	s.consolidating.Lock()
	defer s.consolidating.Unlock()
	m := mender{s: s, aside: aside, did: did, buf: make([]byte, 256<<10)}
	for _, p := range s.packs() {
		err := m.pack(ctx, p)
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("mend pack %s: %w", filepath.Base(p.name), err)
		}
	}
	err := m.unreadable()
	if err == nil {
		err = m.head()
	}
	if err != nil {
		return fmt.Errorf("mend store: %w", err)
	}
	s.mu.Lock()
	s.problems = nil
	s.mu.Unlock()
	return nil
}

// mender is one run of Mend.
type mender struct {
	s     *Store
	aside string
	did   func(string)
	buf   []byte
}

func (m *mender) tell(format string, args ...any) { m.did(fmt.Sprintf(format, args...)) }

func (m *mender) pack(ctx context.Context, p *pack) error {
	if vanished(p) {
		return nil
	}
	if p.damaged || p.checkContent(ctx) != nil && ctx.Err() == nil {
		return m.salvage(ctx, p)
	}
	if p.checkIdx(ctx) == nil || ctx.Err() != nil {
		return nil
	}
	fresh, err := m.s.rebuildIdx(p.name)
	if err != nil {
		return err
	}
	m.s.replacePack(p, fresh)
	m.tell("the index of pack %s was made again from the pack", filepath.Base(p.name))
	return nil
}

// salvage copies what is readable in a damaged pack to a new one, and puts it aside
// when that is durable. Where only the frame was damaged the new pack has its name.
func (m *mender) salvage(ctx context.Context, p *pack) error {
	w := newPackWriter(m.s.disk, m.s.tempPath("mend"))
	defer w.discard()
	for _, place := range p.idx.byOffset() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := m.copy(w, p, p.idx.at(int(place))); err != nil && !errors.Is(err, ErrCorrupt) {
			return err
		}
	}
	kept := w.count()
	if kept > 0 {
		sum, size, err := w.finish()
		if err != nil {
			return err
		}
		x := newIdx(w.entries, sum)
		if filepath.Base(p.name) == "pack-"+hex.EncodeToString(sum[:]) {
			return m.replace(p, w.path, x, size, kept)
		}
		if err := m.s.install(w.path, x, size); err != nil {
			return err
		}
	}
	if err := m.putAside(p); err != nil {
		return err
	}
	m.tell("pack %s was damaged: %d objects in it could be read and were copied, the pack was put into %s", filepath.Base(p.name), kept, m.aside)
	return nil
}

// replace installs a pack in the place of the damaged one that has its name, whose
// files are kept aside by links: it goes when the new one takes the name.
func (m *mender) replace(p *pack, temp string, x *idx, size int64, kept int) error {
	dir, err := m.packsAside()
	if err != nil {
		return err
	}
	for _, ext := range packFiles {
		err := m.s.disk.link(p.name+ext, filepath.Join(dir, filepath.Base(p.name)+ext))
		if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	if err := m.s.disk.syncDir(dir); err != nil {
		return err
	}
	m.s.replacePack(p, nil)
	if err := m.s.install(temp, x, size); err != nil {
		m.s.addPack(p) // what of it can be read still can
		return err
	}
	m.tell("pack %s was damaged at its ends: all of its %d objects were copied, it was put into %s", filepath.Base(p.name), kept, m.aside)
	return nil
}

func (m *mender) packsAside() (string, error) {
	dir := filepath.Join(m.aside, "objects", "pack")
	return dir, m.s.disk.mkdirAll(dir)
}

// copy appends an object of a damaged pack; one that cannot be read is
// ErrCorrupt.
func (m *mender) copy(w *packWriter, p *pack, rec idxEntry) error {
	e, err := readEntry(p.r, rec.off, p.end())
	if err != nil {
		return corrupt(0, rec.id, err)
	}
	if e.kind.IsDelta() {
		kind, data, err := p.read(rec.off, maxDelta)
		if err == nil {
			err = verify(kind, rec.id, data)
		}
		if err != nil {
			return corrupt(kind, rec.id, err)
		}
		return w.add(rec.id, m.s.codec.deflated(kind, data))
	}
	kind, _, r, err := p.open(rec.id, rec.off)
	if err != nil {
		return corrupt(kind, rec.id, err)
	}
	defer r.Close()
	if _, err := io.CopyBuffer(io.Discard, r, m.buf); err != nil {
		return corrupt(kind, rec.id, err)
	}
	end := e.data + r.(*verifyingReader).in.consumed()
	at := w.end()
	crc, err := p.copyRaw(w, rec.off, end-rec.off, m.buf)
	if err == nil {
		w.record(idxEntry{rec.id, at, crc})
	}
	return err
}

// unreadable puts packs aside that cannot be opened at all. One that can, another
// goroutine or git has just made.
func (m *mender) unreadable() error {
	names, err := m.s.packNames()
	if err != nil {
		return err
	}
	for _, name := range names {
		if m.s.hasPack(name) {
			continue
		}
		if garbage, err := m.s.isGarbage(name); err != nil {
			return err
		} else if !garbage {
			continue
		}
		if err := m.putFilesAside(name); err != nil {
			return err
		}
		m.tell("pack %s was put into %s: nothing in it can be read", filepath.Base(name), m.aside)
	}
	return nil
}

// isGarbage tells whether a pack is damaged, not only out of reach for now.
func (s *Store) isGarbage(name string) (bool, error) {
	p, err := openPack(s.codec, name, nil)
	if errors.Is(err, ErrBadIdx) || errors.Is(err, os.ErrNotExist) {
		p, err = s.rebuildIdx(name)
	}
	if p != nil {
		_ = p.file.Close() // it was only read
	}
	switch {
	case err == nil, errors.Is(err, os.ErrNotExist): // gone by now
		return false, nil
	case errors.Is(err, ErrDamaged), errors.Is(err, ErrBadPack), errors.Is(err, unix.EIO):
		return true, nil
	}
	return false, err
}

// head writes the ref of the head again where it is gone or unreadable. One that
// names another commit somebody moved, with plain git.
func (m *mender) head() error {
	r := &m.s.refs
	r.mu.Lock()
	defer r.mu.Unlock()
	head := m.s.Head()
	if id, err := r.read(HeadRef); head.IsZero() || err == nil && !id.IsZero() {
		return nil
	}
	to := filepath.Join(m.aside, HeadRef)
	if err := m.s.disk.mkdirAll(filepath.Dir(to)); err != nil {
		return err
	}
	if err := m.s.disk.rename(r.path(HeadRef), to); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	l, err := r.lock(HeadRef, head)
	if err != nil {
		return err
	}
	defer l.release()
	if err := l.commit(); err != nil {
		return err
	}
	m.tell("%s was missing or unreadable: it is %s again", HeadRef, head)
	return m.s.disk.syncDir(filepath.Dir(r.path(HeadRef)))
}

// putAside takes a pack off the list and moves its files.
func (m *mender) putAside(p *pack) error {
	m.s.replacePack(p, nil)
	return m.putFilesAside(p.name)
}

func (m *mender) putFilesAside(name string) error {
	dir, err := m.packsAside()
	if err != nil {
		return err
	}
	for _, ext := range packFiles {
		err := m.s.disk.rename(name+ext, filepath.Join(dir, filepath.Base(name)+ext))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return errors.Join(m.s.disk.syncDir(dir), m.s.disk.syncDir(m.s.packDir()))
}

// replacePack puts another pack in the place of one, or nothing where it is nil.
func (s *Store) replacePack(old, by *pack) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := slices.Clone(*s.list.Load())
	i := slices.Index(list, old)
	switch {
	case i < 0: // git gc was faster
		return
	case by != nil:
		list[i] = by
	default:
		list = slices.Delete(list, i, i+1)
	}
	s.list.Store(&list)
}

// PutHeadAside moves the ref of the head of the store at dir, which does not
// open, to the directory aside: the head can then be looked for in the packs.
// Where something else keeps the store from opening, that is the error.
func PutHeadAside(dir, aside string) error {
	s := newStore(dir, osDisk{})
	defer s.Close()
	if _, err := readMeta(dir); err != nil {
		return err
	}
	if err := s.loadPacks(); err != nil {
		return err
	}
	for _, name := range []string{HeadRef, packedRefs} {
		if s.checkHead() == nil {
			return nil
		}
		to := filepath.Join(aside, name)
		if err := s.disk.mkdirAll(filepath.Dir(to)); err != nil {
			return err
		}
		if err := s.disk.rename(s.refs.path(name), to); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("put %s aside: %w", name, err)
		}
		if err := s.disk.syncDir(filepath.Dir(s.refs.path(name))); err != nil {
			return err
		}
	}
	return s.checkHead()
}
