package journal

import (
	"fmt"
	"time"
)

// checkpointBatch is how many marks a checkpoint writes while Begin waits.
const checkpointBatch = 256

// hardFactor times the segment size is what may pile up while nothing is
// cleared, before Begin itself makes a checkpoint.
const hardFactor = 16

// Checkpoint writes the live marks of all resources to a new segment, makes it
// durable and removes the older ones. Begin goes on meanwhile. After an error
// the older segments are still there. While damage is not repaired (see
// Repaired) they stay in any case.
func (j *Journal) Checkpoint() error {
	j.checkpoints.Lock()
	defer j.checkpoints.Unlock()
	return j.checkpoint()
}

// shrink makes a checkpoint that nobody asked for, unless one is under way. If
// it fails, the next one is due when the journal has grown as much again.
func (j *Journal) shrink() {
	if !j.checkpoints.TryLock() {
		return
	}
	defer j.checkpoints.Unlock()
	if j.checkpoint() == nil {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.postpone()
}

// checkpoint is Checkpoint for a caller that holds checkpoints.
func (j *Journal) checkpoint() error {
	j.mu.Lock()
	first, err := j.beginCheckpoint()
	damaged := j.damaged
	j.mu.Unlock()
	for more := true; more && err == nil; {
		j.mu.Lock()
		more, err = j.restateBelow(first)
		if err == nil && !more && !damaged {
			err = j.write([]Record{{Kind: kindBase, Time: time.Now(), aux: first}})
		}
		j.mu.Unlock()
	}
	if err == nil {
		err = j.finishCheckpoint(first, damaged)
	}
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	return nil
}

// beginCheckpoint returns the first number of the segment that will hold the
// live marks.
func (j *Journal) beginCheckpoint() (uint64, error) {
	if j.closed {
		return 0, ErrClosed
	}
	if j.cur.first == j.next {
		return j.next, j.writable() // nothing in it yet
	}
	return j.next, j.rotate()
}

// restateBelow writes a batch of the marks that need records below first, and
// reports whether there may be more. The mutex is held.
func (j *Journal) restateBelow(first uint64) (more bool, err error) {
	for resource, d := range j.sets {
		var again []*node
		j.recs = j.recs[:0]
		for n := d.ends.next; n != &d.ends && n.rec < first && len(again) < checkpointBatch; n = n.next {
			again = append(again, n)
			j.recs = append(j.recs, j.restatement(resource, n))
		}
		if len(again) == 0 {
			continue
		}
		if err := j.write(j.recs); err != nil {
			return false, err
		}
		for i, n := range again {
			d.restate(n, j.recs[i].Seq)
		}
		return true, nil
	}
	return false, nil
}

// finishCheckpoint makes the segments from first on durable and, unless the
// older ones are damaged, removes those.
func (j *Journal) finishCheckpoint(first uint64, damaged bool) error {
	j.syncing.Lock()
	defer j.syncing.Unlock()
	j.mu.Lock()
	upto, cur := j.next, j.cur
	var keep, gone []*segment
	for _, s := range j.old {
		if s.first >= first {
			keep = append(keep, s)
		} else {
			gone = append(gone, s)
		}
	}
	keep = append(keep, cur)
	j.mu.Unlock()

	err := j.syncFiles(keep, true)
	j.mu.Lock()
	j.suspect = err != nil
	if err == nil {
		j.synced = max(j.synced, upto)
		j.newDir = j.newDir && j.cur != cur
	}
	if damaged {
		j.postpone()
	}
	j.mu.Unlock()
	if err != nil || damaged {
		return err
	}
	return j.removeSegments(gone)
}

// removeSegments removes the segments that a checkpoint replaced, which are
// the first ones of old, oldest first: what a crash leaves has no gap. The
// caller holds checkpoints and syncing.
func (j *Journal) removeSegments(gone []*segment) error {
	for _, s := range gone {
		if err := j.files.remove(s.name); err != nil {
			return fmt.Errorf("remove segment %s: %w", s.name, err)
		}
		j.mu.Lock()
		j.old = j.old[1:]
		j.bytes -= s.size
		j.mu.Unlock()
		if s.file == nil {
			continue
		}
		if err := s.file.Close(); err != nil {
			return fmt.Errorf("close segment %s: %w", s.name, err)
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.setLimits(j.bytes)
	return nil
}

// setLimits decides when the next checkpoint is due, given how many bytes the
// live marks take: in proportion, so that many marks are not written over and
// over. The mutex is held.
func (j *Journal) setLimits(live int64) {
	j.limit = j.size + 2*live
	j.hardLimit = hardFactor*j.size + 2*live
}

// postpone makes the next checkpoint due when the journal has grown as much
// again. The mutex is held.
func (j *Journal) postpone() {
	j.limit = j.bytes + j.size
	j.hardLimit = j.bytes + hardFactor*j.size
}
