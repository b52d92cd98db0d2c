package journal

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// write appends recs, all or none, by one write, and numbers them. The mutex
// is held.
func (j *Journal) write(recs []Record) error {
	if j.closed {
		return ErrClosed
	}
	err := j.writable()
	if err == nil && recs[0].spends() && !j.maySpend() {
		err = unix.ENOSPC
	}
	if err != nil {
		return fmt.Errorf("append record %d: %w", j.next, err)
	}
	next := j.next
	j.buf = j.buf[:0]
	for i := range recs {
		recs[i].Seq = next
		if j.offered++; dropped(j.offered, recs[i].Kind) {
			continue
		}
		j.buf = appendRecord(j.buf, &recs[i])
		next++
	}
	err = j.writeBytes()
	if isFull(err) && recs[0].frees() && j.files.release() {
		j.reserved = false
		if err = j.writable(); err == nil {
			j.cur.keep()
			err = j.writeBytes()
		}
	}
	if err != nil {
		for i := range recs {
			recs[i].Seq = 0
		}
		return fmt.Errorf("append record %d: %w", j.next, err)
	}
	j.next = next
	return nil
}

func isFull(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

// keep takes the room that the reserve has just given back, before those who write
// to full files do. Where the filesystem cannot allocate, it is anybody's.
func (s *segment) keep() {
	if s.file.Allocate(s.size, keptSize) == nil {
		s.kept = s.size + keptSize
	}
}

// maySpend tells whether there is room for what takes more of it: what the segment
// has kept is not. There is if a new reserve can be had. The mutex is held.
func (j *Journal) maySpend() bool {
	if !j.reserved && j.cur.size < j.cur.kept {
		j.reserved = j.files.reserve() == nil
		return j.reserved
	}
	return true
}

// writeBytes appends buf to the current segment. After an error nothing of it
// is there, or the segment is torn.
func (j *Journal) writeBytes() error {
	n, err := j.cur.file.WriteAt(j.buf, j.cur.size)
	if err != nil {
		j.cur.torn = true
		return err
	}
	j.cur.size += int64(n)
	j.bytes += int64(n)
	return nil
}

// writable makes sure that the current segment ends with a whole record, by
// cutting off what a failed write left, or else by beginning another.
func (j *Journal) writable() error {
	if !j.cur.torn {
		return nil
	}
	err := j.cur.file.Truncate(j.cur.size)
	if err == nil {
		j.cur.torn, j.cur.kept = false, 0
		return nil
	}
	if j.cur.first == j.next {
		return err // the next segment would have this one's name
	}
	return j.rotate()
}

// rotate begins a new segment. After an error the current one stays. The mutex
// is held.
func (j *Journal) rotate() error {
	s, err := j.newSegment(j.next)
	if err != nil {
		return err
	}
	if j.cur != nil {
		j.old = append(j.old, j.cur)
	}
	j.cur = s
	j.bytes += s.size
	j.newDir = true
	return nil
}

func (j *Journal) newSegment(first uint64) (*segment, error) {
	s := &segment{name: segmentName(first), first: first}
	f, err := j.files.create(s.name)
	if err != nil {
		return nil, fmt.Errorf("create segment %s: %w", s.name, err)
	}
	header := appendHeader(nil, first)
	if _, err := f.WriteAt(header, 0); err != nil {
		return nil, errors.Join(fmt.Errorf("write header of %s: %w", s.name, err), f.Close(), j.files.remove(s.name))
	}
	s.file, s.size = f, int64(len(header))
	return s, nil
}
