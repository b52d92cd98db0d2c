package journal

import (
	"errors"

	"golang.org/x/sys/unix"
)

// Failure says why the last mutation of a resource failed, where that is the
// disk's fault: it could not be journaled, or the filesystem is read-only or
// damaged. nil: one has succeeded since, or none has failed so.
func (j *Journal) Failure(resource string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.set(resource).failure
}

// onDisk tells an error that is about the disk from one about a name or a right.
func onDisk(err error) bool {
	for _, e := range []error{unix.EROFS, unix.EIO, unix.EUCLEAN, unix.EBADMSG} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
