package journal

import "fmt"

// Check reads all segments again, as they are on disk now, and calls problem for
// each that is not as it was written. The marks in memory do not depend on
// what it finds: a Checkpoint writes them anew.
func (j *Journal) Check(problem func(text string)) error {
	j.checkpoints.Lock() // no segment goes
	defer j.checkpoints.Unlock()
	names, end, err := j.written()
	if err != nil {
		return err
	}
	next := uint64(0)
	lost := func(g gap) {
		problem(fmt.Sprintf("records %d to %d cannot be read (%s)", g.from, g.to, g.where))
	}
	for _, name := range names {
		first, _ := parseSegmentName(name)
		if next != 0 && first > next {
			lost(gap{next, first - 1, "missing before " + name})
		}
		data, err := j.files.read(name)
		if err != nil {
			problem(fmt.Sprintf("segment %s cannot be read: %v", name, err))
			next = first
			continue
		}
		if version, headed, ok := decodeHeader(data); !ok || headed != first || version != formatVersion {
			problem("the header of segment " + name + " is damaged")
		}
		next, _ = readRecords(name, data, first, func(*Record) {}, func(g gap) {
			if g.from < end {
				lost(g)
			}
		})
	}
	if last := names[len(names)-1]; next < end {
		lost(gap{next, end - 1, last})
	}
	return nil
}

// written lists the segments, oldest first, and the number after the last record
// that is whole in them.
func (j *Journal) written() (names []string, end uint64, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return nil, 0, ErrClosed
	}
	for _, s := range j.old {
		names = append(names, s.name)
	}
	return append(names, j.cur.name), j.next, nil
}
