package tree

import (
	"fmt"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Options of a Tree.
type Options struct {
	// Resource names the resource in messages.
	Resource string
	// Problem, where set, is told of displaced files that could not be removed. It
	// must not call back.
	Problem func(path string, err error)
	// plainRename does without RENAME_EXCHANGE and RENAME_NOREPLACE, as some
	// filesystems must.
	plainRename bool
}

// Tree is one resource's backing directory.
type Tree struct {
	o      Options
	rootFD int
	mount  mountID
	beside bool // openat2 is missing: walk a component at a time

	slots    slotLocks
	notifier atomic.Pointer[Notifier]

	mu    sync.Mutex      // guards temps; taken after slot locks, held for no call
	temps map[string]bool // of this process
}

// Open makes a Tree of the directory that dirfd (O_PATH will do) refers to.
// dirfd stays the caller's. Call it before mounting over the directory, or
// with an fd from before.
func Open(dirfd int, o Options) (*Tree, error) {
	fd, err := unix.Openat(dirfd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open root of %q: %w", o.Resource, err)
	}
	t := &Tree{o: o, rootFD: fd, temps: make(map[string]bool)}
	if t.mount, err = mountOf(fd); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("stat root of %q: %w", o.Resource, err)
	}
	t.beside = !haveOpenat2(fd)
	return t, nil
}

// Close releases the root's fd; Files and Temps in use are their owners' to
// release. Call it once, when nobody uses the Tree any more.
func (t *Tree) Close() error { return unix.Close(t.rootFD) }

// RootFD is the root's own fd, readable, for fstatfs and the like. It is
// valid until Close.
func (t *Tree) RootFD() int { return t.rootFD }

// SyncFS writes the whole filesystem that holds the root to stable storage.
func (t *Tree) SyncFS() error {
	if err := unix.Syncfs(t.rootFD); err != nil {
		return fmt.Errorf("sync filesystem of %q: %w", t.o.Resource, err)
	}
	return nil
}
