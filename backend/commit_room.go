package backend

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// isFull tells an error of a full disk.
func isFull(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

// errNoRoom means that a file is left out of commits until there is more room.
var errNoRoom = fmt.Errorf("the store has no room for it, free space on the filesystem that holds the mirror: %w", unix.ENOSPC)

// noRoomError says that a large file did not fit into the store: the commit has to
// be made anew without it.
type noRoomError struct {
	path string
	size int64
}

func (e *noRoomError) Error() string { return e.path + " does not fit into the store" }

// leftOut is a file that is left out of commits.
type leftOut struct {
	size int64  // of the file
	free uint64 // bytes of the disk, without what the try took
}

// leaveOut leaves a file out until it is smaller or there is notably more room:
// each try takes all that there is, for as long as it lasts.
func (r *resource) leaveOut(e *noRoomError) {
	free, _ := r.store.Free() // 0 where it is not known: it is tried again
	r.leftOut[e.path] = leftOut{e.size, free}
}

// isLeftOut tells whether to leave a file of that size out.
func (r *resource) isLeftOut(path string, size int64) bool {
	a, ok := r.leftOut[path]
	if !ok {
		return false
	}
	free, err := r.store.Free()
	if err == nil && size >= a.size && free <= a.free+a.free/8+1<<20 {
		return true
	}
	delete(r.leftOut, path)
	return false
}
