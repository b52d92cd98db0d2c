package tree

import "github.com/silvermirror/smfs/journal"

// Notifier hears of what this package changed, so that the kernel's caches of
// a mount can be dropped. It is called with slot locks held, in the order of
// the changes: it must not wait for the kernel.
type Notifier interface {
	// Changed: the slot was filled, replaced or emptied. before and after are what
	// it held and holds, as far as the caller of this package knew; the zero Info
	// is nothing.
	Changed(dir journal.FileKey, name string, before, after Info)
	// Attr: mode, times, link count or extended attributes changed.
	Attr(key journal.FileKey)
	// Moved: the inode went from one slot to another, empty one.
	Moved(fromDir journal.FileKey, from string, toDir journal.FileKey, to string, moved Info)
}

// SetNotifier replaces the notifier; nil means none. Without a mount there is
// nobody to tell.
func (t *Tree) SetNotifier(n Notifier) {
	if n == nil {
		t.notifier.Store(nil)
		return
	}
	t.notifier.Store(&n)
}

func (t *Tree) notify(tell func(Notifier)) {
	if n := t.notifier.Load(); n != nil {
		tell(*n)
	}
}
