package journal

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// apply puts a record into effect on the marks, as Begin does and replay does
// again. It returns the names it marked. The mutex is held.
func (j *Journal) apply(d *dirtySet, r *Record) (path, to *node) {
	j.gen++
	m := mark{
		kinds: KindSetOf(r.Kind),
		actor: j.shared(r),
		when:  int64(r.Time.Sub(j.epoch)),
		gen:   j.gen,
		rec:   r.Seq,
	}
	if r.Kind == KindCheckpoint {
		m.kinds = KindSet(r.aux)
	}
	path = d.root.walk(r.Path, true)
	d.touch(path, m)
	if r.Kind.hasTo() {
		to = d.root.walk(r.To, true)
		if r.Kind == KindRename {
			m.file = r.Key
		}
		d.touch(to, m)
	}
	if r.moves() {
		d.unite(r.Path, r.To, j.gen)
	}
	return path, to
}

// shared returns r's actor, or nil where it has none. Successive marks of one
// actor share it.
func (j *Journal) shared(r *Record) *Actor {
	if r.Actor == (Actor{}) {
		return nil
	}
	if j.actor == nil || *j.actor != r.Actor {
		actor := r.Actor
		actor.Command = strings.Clone(actor.Command)
		j.actor = &actor
	}
	return j.actor
}

// loaded is a segment as replay finds it.
type loaded struct {
	segment
	data    []byte
	headed  bool // its header is whole
	records int
}

// replay reads all segments and goes on in the last one, or in a new one.
func (j *Journal) replay() error {
	segments, err := j.load()
	if err != nil {
		return err
	}
	j.next = 1
	j.recovery.New = len(segments) == 0
	p := replayer{j: j}
	p.segments(segments)
	for _, g := range p.gaps {
		if g.to >= p.base && !j.damaged {
			j.damaged = true
			j.recovery.Damaged = true
			j.recovery.Problem = fmt.Sprintf("journal: records %d to %d cannot be read (%s)", g.from, g.to, g.where)
		}
	}
	return j.resume(segments)
}

// load reads all segments, in order of their names.
func (j *Journal) load() ([]*loaded, error) {
	names, err := j.files.list()
	if err != nil {
		return nil, fmt.Errorf("list journal: %w", err)
	}
	var segments []*loaded
	for _, name := range names {
		first, ok := parseSegmentName(name)
		if !ok {
			continue
		}
		data, err := j.files.read(name)
		if err != nil {
			return nil, fmt.Errorf("read segment %s: %w", name, err)
		}
		version, headed, ok := decodeHeader(data)
		if ok && version > formatVersion {
			return nil, fmt.Errorf("segment %s has format %d, this smfs knows up to %d: %w", name, version, formatVersion, ErrNewerFormat)
		}
		segments = append(segments, &loaded{
			segment: segment{name: name, first: first},
			data:    data,
			headed:  ok && headed == first && version == formatVersion,
		})
	}
	slices.SortFunc(segments, func(a, b *loaded) int { return strings.Compare(a.name, b.name) })
	return segments, nil
}

// replayer applies the records of all segments in order.
type replayer struct {
	j    *Journal
	gaps []gap  // so far
	base uint64 // records below it do not matter
}

func (p *replayer) lost(g gap) { p.gaps = append(p.gaps, g) }

// segments applies every readable record.
func (p *replayer) segments(segments []*loaded) {
	j := p.j
	for i, s := range segments {
		if s.first > j.next {
			p.lost(gap{j.next, s.first - 1, "missing before " + s.name})
		}
		next, end := readRecords(s.name, s.data, s.first, func(r *Record) {
			s.records++
			p.record(r)
		}, p.lost)
		if !s.headed && (s.records > 0 || i < len(segments)-1 && segments[i+1].first > next) {
			p.lost(gap{s.first, max(s.first, next-1), "damaged header of " + s.name})
		}
		s.size = int64(end)
		j.next = max(j.next, next)
	}
}

func (p *replayer) record(r *Record) {
	j := p.j
	switch r.Kind {
	case kindClear:
		if p.whole(r) {
			j.set(r.Resource).dropBelow(r.aux)
		}
	case kindBase:
		if !p.whole(r) {
			return
		}
		for _, d := range j.sets {
			d.dropBelow(r.aux)
		}
		p.base = max(p.base, r.aux)
		j.recovery.Replayed = 0
	case kindVacate:
		d := j.set(r.Resource)
		if n := d.root.walk(r.Path, false); n != nil && p.whole(r) {
			marks, _ := n.older(r.aux, nil)
			d.clearAll(marks)
		}
	case KindCheckpoint:
		j.apply(j.set(r.Resource), r)
	default:
		j.apply(j.set(r.Resource), r)
		j.recovery.Replayed++
	}
}

// whole reports whether all records from aux on, which r relies on, were
// readable: every mark alive at a kindClear or kindBase is brought back by one
// of them; a kindVacate follows the rename that had copied what it drops.
func (p *replayer) whole(r *Record) bool {
	for _, g := range p.gaps {
		if g.to >= r.aux {
			return false
		}
	}
	return true
}

// resume makes the journal writable again: in its last segment, less what a
// crash cut short, or in a new one.
func (j *Journal) resume(segments []*loaded) error {
	for i, s := range segments {
		j.bytes += int64(len(s.data))
		if i == len(segments)-1 {
			break
		}
		if err := j.keepOld(s); err != nil {
			return err
		}
	}
	if len(segments) == 0 {
		return j.firstSegment()
	}
	last := segments[len(segments)-1]
	torn := int64(len(last.data)) - last.size
	if !last.headed {
		return j.replaceHeaderless(last)
	}
	f, err := j.files.open(last.name)
	if err != nil {
		return fmt.Errorf("open segment %s: %w", last.name, err)
	}
	j.cur = &last.segment
	j.cur.file = f
	j.newDir = true // who made it may have died before its sync
	if torn == 0 {
		return nil
	}
	j.bytes -= torn
	if err := f.Truncate(last.size); err != nil {
		return errors.Join(fmt.Errorf("cut segment %s: %w", last.name, err), f.Close())
	}
	return nil
}

// keepOld takes over a segment that is read only from here on. It is open
// until the next sync: who wrote it may have died before its own.
func (j *Journal) keepOld(s *loaded) error {
	f, err := j.files.open(s.name)
	if err != nil {
		return fmt.Errorf("open segment %s: %w", s.name, err)
	}
	s.file, s.size = f, int64(len(s.data))
	j.old = append(j.old, &s.segment)
	return nil
}

// replaceHeaderless begins a new segment after one whose header is not whole.
// If it holds no record, it was being created when a crash came, and goes.
func (j *Journal) replaceHeaderless(last *loaded) error {
	if last.records > 0 {
		if err := j.keepOld(last); err != nil {
			return err
		}
		return j.firstSegment()
	}
	j.bytes -= int64(len(last.data))
	if err := j.files.remove(last.name); err != nil {
		return fmt.Errorf("remove segment %s: %w", last.name, err)
	}
	j.next = max(j.next, last.first)
	return j.firstSegment()
}

func (j *Journal) firstSegment() error {
	if err := j.rotate(); err != nil {
		return fmt.Errorf("begin journal: %w", err)
	}
	return nil
}

// timeOf is the inverse of the offsets that marks keep.
func (j *Journal) timeOf(offset int64) time.Time { return j.epoch.Add(time.Duration(offset)) }
