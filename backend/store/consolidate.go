package store

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"

	"github.com/go-git/go-git/v5/plumbing"
)

// keepPacks is to about how many packs Consolidate goes down. A pack is merged
// with smaller ones only once they come near its size, so every object is
// copied a logarithmic number of times.
const keepPacks = 8

// Consolidate merges small packs into one. Older versions are stored as what they
// differ by from newer ones (see deltify), all else as it is. Reads and batches go on meanwhile; a second call waits for the first. After
// a crash at any point every object is in one of the packs or in both. A
// damaged pack is left alone and told by Check.
func (s *Store) Consolidate(ctx context.Context) error {
	s.consolidating.Lock()
	defer s.consolidating.Unlock()
	s.dropVanished()
	for {
		victims := s.victims()
		if len(victims) < 2 {
			return nil
		}
		bad, err := s.merge(ctx, victims)
		if bad == nil {
			if err != nil {
				return fmt.Errorf("consolidate packs: %w", err)
			}
			return nil
		}
		bad.damaged = true
		s.mu.Lock()
		s.problems = append(s.problems, fmt.Errorf("pack %s: %w", filepath.Base(bad.name), err))
		s.mu.Unlock()
	}
}

// dropVanished takes over what git gc did beside us: the new packs first, so
// that no object is missing for a moment.
func (s *Store) dropVanished() {
	if !slices.ContainsFunc(s.packs(), vanished) {
		return
	}
	s.rescan()
	s.mu.Lock()
	defer s.mu.Unlock()
	list := slices.DeleteFunc(slices.Clone(*s.list.Load()), vanished)
	s.list.Store(&list)
}

func vanished(p *pack) bool {
	_, err := os.Lstat(p.name + ".pack")
	return errors.Is(err, os.ErrNotExist)
}

// victims picks the packs to merge: the smallest ones.
func (s *Store) victims() []*pack {
	var packs []*pack
	for _, p := range s.packs() {
		if _, err := os.Lstat(p.name + ".keep"); err != nil && !p.damaged {
			packs = append(packs, p)
		}
	}
	slices.SortFunc(packs, func(a, b *pack) int { return cmp.Compare(a.size, b.size) })
	var sum int64
	for i, p := range packs {
		if i > 0 && i >= len(packs)-keepPacks+1 && p.size > 2*sum {
			return packs[:i]
		}
		sum += p.size
	}
	return packs
}

// merge writes one pack for all and removes them. An error with bad set is
// that pack's own.
func (s *Store) merge(ctx context.Context, victims []*pack) (bad *pack, err error) {
	// Newest first: what a delta is made of is in memory then, from its own.
	victims = slices.DeleteFunc(slices.Clone(s.packs()), func(p *pack) bool { return !slices.Contains(victims, p) })
	plan, err := s.planDeltas(ctx, victims)
	if err != nil {
		return nil, err
	}
	w := newPackWriter(s.disk, s.tempPath("merge"))
	m := merger{w: w, plan: plan, buf: make([]byte, 256<<10), bases: map[[20]byte][20]byte{}}
	for _, p := range victims {
		if err := m.add(ctx, p); err != nil {
			w.discard()
			if errors.Is(err, ErrCorrupt) {
				return p, err
			}
			return nil, err
		}
	}
	if err := m.check(); err != nil {
		w.discard()
		return nil, err
	}
	sum, size, err := w.finish()
	if err == nil {
		err = s.install(w.path, newIdx(w.entries, sum), size)
	}
	if err != nil {
		w.discard()
		return nil, err
	}
	// Where an earlier run was cut short after it had written its pack, that
	// one is a victim too, and the new pack is the same.
	made := filepath.Join(s.packDir(), "pack-"+hex.EncodeToString(sum[:]))
	return nil, s.retire(slices.DeleteFunc(victims, func(p *pack) bool { return p.name == made }))
}

// merger copies packs into a new one.
type merger struct {
	w     *packWriter
	plan  *deltify
	buf   []byte
	bases map[[20]byte][20]byte // of the deltas that were written
}

// check makes sure that all deltas lead to an object that is whole, before the packs
// go that the objects come from.
func (m *merger) check() error {
	for id := range m.bases {
		n := 0
		for at := id; ; n++ {
			base, delta := m.bases[at]
			if !delta {
				break
			}
			if _, ok := m.w.find(base); !ok || n == maxChain {
				return fmt.Errorf("delta of %x: its base %x is missing or too far", id, base)
			}
			at = base
		}
	}
	return nil
}

func (m *merger) add(ctx context.Context, p *pack) error {
	order := p.idx.byOffset()
	for i, place := range order {
		if err := ctx.Err(); err != nil {
			return err
		}
		rec := p.idx.at(int(place))
		end := p.end()
		if i+1 < len(order) {
			end = p.idx.at(int(order[i+1])).off
		}
		if _, ok := m.w.find(rec.id); ok {
			continue
		}
		if err := m.copy(p, rec, end); err != nil {
			return err
		}
	}
	return nil
}

func (m *merger) copy(p *pack, rec idxEntry, end int64) error {
	e, err := readEntry(p.r, rec.off, p.end())
	if err != nil {
		return corrupt(0, rec.id, err)
	}
	if raw := m.plan.entry(rec, end-rec.off, e.kind); raw != nil {
		m.bases[rec.id] = m.plan.base[rec.id]
		return m.w.add(rec.id, raw)
	}
	switch {
	case m.plan.cut[rec.id], p.unshrunk(e, end):
		return m.rewrite(p, rec)
	case e.kind == plumbing.OFSDeltaObject:
		return m.copyDelta(p, rec, e, end)
	case e.kind == plumbing.REFDeltaObject:
		m.bases[rec.id] = e.ref
	}
	at := m.w.end()
	crc, err := p.copyRaw(m.w, rec.off, end-rec.off, m.buf)
	if err != nil {
		return err
	}
	if crc != rec.crc {
		return corrupt(e.kind, rec.id, errCRC)
	}
	m.w.record(idxEntry{rec.id, at, crc})
	return nil
}

// rewrite deflates what a batch stored as it was, or what is no delta any more.
func (m *merger) rewrite(p *pack, rec idxEntry) error {
	kind, data, err := p.read(rec.off, maxDelta)
	if err == nil {
		err = verify(kind, rec.id, data)
	}
	if err != nil {
		return corrupt(kind, rec.id, err)
	}
	var out bytes.Buffer
	out.Write(appendEntryHeader(nil, kind, int64(len(data))))
	z := p.codec.deflater(&out)
	z.Write(data) // a bytes.Buffer takes all
	p.codec.release(z)
	return m.w.add(rec.id, out.Bytes())
}

var errCRC = errors.New("its bytes in the pack have changed")

// copyDelta names the base by its id, for its distance changes.
func (m *merger) copyDelta(p *pack, rec idxEntry, e entry, end int64) error {
	var raw bytes.Buffer
	crc, err := p.copyRaw(&raw, rec.off, end-rec.off, m.buf)
	if err != nil {
		return err
	}
	base, ok := p.idAt(e.base)
	if crc != rec.crc || !ok {
		return corrupt(e.kind, rec.id, errCRC)
	}
	m.bases[rec.id] = base
	b := append(appendEntryHeader(nil, plumbing.REFDeltaObject, e.size), base[:]...)
	return m.w.add(rec.id, append(b, raw.Bytes()[e.data-rec.off:]...))
}

// idAt returns the id of the entry that starts at off.
func (p *pack) idAt(off int64) ([20]byte, bool) {
	order := p.idx.byOffset()
	i := sort.Search(len(order), func(i int) bool { return p.idx.at(int(order[i])).off >= off })
	if i == len(order) {
		return [20]byte{}, false
	}
	rec := p.idx.at(int(order[i]))
	return rec.id, rec.off == off
}

// packFiles are the endings of a pack's files: the index first, so that no git
// sees an index without its pack.
var packFiles = [...]string{".idx", ".rev", ".bitmap", ".mtimes", ".pack"}

// retire takes packs off the list and removes their files.
func (s *Store) retire(victims []*pack) error {
	s.mu.Lock()
	list := slices.DeleteFunc(slices.Clone(*s.list.Load()), func(p *pack) bool { return slices.Contains(victims, p) })
	s.list.Store(&list)
	s.mu.Unlock()
	files := []string{filepath.Join(s.packDir(), "multi-pack-index")} // git does without
	for _, p := range victims {
		for _, ext := range packFiles {
			files = append(files, p.name+ext)
		}
	}
	for _, f := range files {
		if err := s.disk.remove(f); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return s.disk.syncDir(s.packDir())
}
