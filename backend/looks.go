package backend

import (
	"time"

	"github.com/silvermirror/smfs/fs/tree"
)

// openLook is how far apart two looks without a change between them must be
// for a file that stays open for writing to be committed as it is.
const openLook = 2 * time.Second

// looks remembers the files that are held open for writing. Such a file is
// committed when two looks agree, so that a log or a database that never
// closes is mirrored too; it stays dirty until its writer is gone. Used by the
// worker alone.
type looks map[string]*look

type look struct {
	info tree.Info
	at   time.Time
	done bool // committed as it was at this look
	due  bool // a look is wanted
}

// steady notes a look at a file and tells whether it has not changed since one
// that was long enough ago.
func (l looks) steady(path string, info tree.Info, now time.Time) bool {
	k := l[path]
	if k == nil || !sameStat(k.info, info) {
		l[path] = &look{info: info, at: now}
		return false
	}
	k.due = false
	return !k.done && now.Sub(k.at) >= openLook
}

// committed notes that the file was committed as it is.
func (l looks) committed(path string, info tree.Info) {
	l[path] = &look{info: info, done: true}
}

// waits tells that a file is known to be open and needs no look now.
func (l looks) waits(path string) bool {
	k := l[path]
	return k != nil && !k.due
}

// settled tells that the file is open, but committed as it was.
func (l looks) settled(path string) bool {
	k := l[path]
	return k != nil && k.done
}

// forget ends the watch over a file that was closed.
func (l looks) forget(path string) { delete(l, path) }

// again asks for a look at every file, and tells whether there are any.
func (l looks) again() bool {
	for _, k := range l {
		k.due = true
	}
	return len(l) > 0
}
