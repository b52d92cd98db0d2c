package fs

import (
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// handles counts files that programs have open: there is one descriptor of this
// process for each of them, two with passthrough, and the mirror is to go on being
// committed and synced, which takes some too, whatever programs do.
type handles struct {
	open, max atomic.Int64
}

// maxHandles leaves an eighth of the descriptors that this process may have, beside
// those for directories; where there are few, programs get a quarter.
func maxHandles(passthrough bool) int64 {
	var l unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &l) != nil {
		l.Cur = 1024
	}
	limit := int64(min(l.Cur, 1<<30))
	limit = max(limit-limit/8-dirFDsMax, limit/4)
	if passthrough {
		limit /= 2
	}
	return limit
}

// room is ENFILE where no file can be opened any more: the fault is not the
// caller's, who may be far from its own limit.
func (h *handles) room() error {
	if max := h.max.Load(); max > 0 && h.open.Load() >= max { // 0: mounting
		return unix.ENFILE
	}
	return nil
}
