package journal

import "fmt"

// Sync makes durable everything whose Begin or Found returned before the call.
// Concurrent callers share one fdatasync. After a sync that failed, the kernel
// may have dropped what it could not write: the next Sync therefore writes all
// marks anew, by a checkpoint.
func (j *Journal) Sync() error {
	j.mu.Lock()
	target := j.next
	j.mu.Unlock()
	suspect, err := j.syncTo(target)
	if suspect {
		return j.Checkpoint()
	}
	return err
}

// syncTo makes the records below target durable, unless a failed sync makes
// that impossible (suspect).
func (j *Journal) syncTo(target uint64) (suspect bool, err error) {
	j.syncing.Lock()
	defer j.syncing.Unlock()
	j.mu.Lock()
	done, suspect, closed := j.synced >= target, j.suspect, j.closed
	j.mu.Unlock()
	switch {
	case closed:
		return false, ErrClosed
	case suspect || done:
		return suspect, nil
	}
	return false, j.syncSegments()
}

// syncSegments makes durable everything appended until now. The caller holds
// syncing.
func (j *Journal) syncSegments() error {
	j.mu.Lock()
	upto, newDir, cur := j.next, j.newDir, j.cur
	var open []*segment
	for _, s := range j.old {
		if s.file != nil {
			open = append(open, s)
		}
	}
	j.mu.Unlock()

	err := j.syncFiles(append(open, cur), newDir)
	j.mu.Lock()
	defer j.mu.Unlock()
	if err != nil {
		j.suspect = true
		return err
	}
	j.synced = max(j.synced, upto)
	if newDir && j.cur == cur {
		j.newDir = false
	}
	for _, s := range open {
		f := s.file
		s.file = nil
		if err := f.Close(); err != nil {
			return fmt.Errorf("close segment %s: %w", s.name, err)
		}
	}
	return nil
}

func (j *Journal) syncFiles(segments []*segment, dir bool) error {
	for _, s := range segments {
		if err := s.file.Datasync(); err != nil {
			return fmt.Errorf("sync segment %s: %w", s.name, err)
		}
	}
	if !dir {
		return nil
	}
	if err := j.files.sync(); err != nil {
		return fmt.Errorf("sync journal directory: %w", err)
	}
	return nil
}
