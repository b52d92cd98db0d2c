package backend

import (
	"time"

	"github.com/silvermirror/smfs/fs/tree"
)

// openLook is for how long a file that stays open for writing must not change
// to be committed as it is.
const openLook = 2 * time.Second

// looks remembers the files that are held open for writing. Such a file is
// committed when it did not change between two looks, so that a log or a
// database that never closes is mirrored too; it stays dirty until its writer
// is gone. Used by the worker alone.
type looks map[string]*look

type look struct {
	info      tree.Info
	since, at time.Time // the first and the last look that found it like this
	done      bool      // it is committed like this
	due       bool      // another look is wanted
}

// steady notes a look at an open file and tells whether to commit it as it is.
func (l looks) steady(path string, info tree.Info, now time.Time) bool {
	k := l[path]
	if k == nil || !sameStat(k.info, info) {
		l[path] = &look{info: info, since: now, at: now}
		return false
	}
	k.at, k.due = now, false
	return !k.done && now.Sub(k.since) >= openLook
}

// committed notes that an open file was committed as it is.
func (l looks) committed(path string, info tree.Info, now time.Time) {
	l[path] = &look{info: info, since: now, at: now, done: true}
}

// share lets the mark of a file with several names wait as the name does that it
// was looked at under.
func (l looks) share(path, mark string) {
	if mark != "" {
		l[mark] = l[path]
	}
}

// closed forgets a file that nobody writes to any more.
func (l looks) closed(path string) { delete(l, path) }

// waits tells that a file was open at a look after its last mark, and that no
// other look is wanted yet.
func (l looks) waits(path string, marked time.Time) bool {
	k := l[path]
	return k != nil && !k.due && marked.Before(k.at)
}

// settled tells that a file is open, and was found as it is committed at a look
// after the given time.
func (l looks) settled(path string, after time.Time) bool {
	k := l[path]
	return k != nil && k.done && !k.at.Before(after)
}

// again asks for another look at every file.
func (l looks) again() {
	for _, k := range l {
		k.due = true
	}
}
