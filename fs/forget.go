package fs

import (
	"slices"
	"sync"
)

// maxKnown is how many inodes the kernel may know before it is made to forget
// some: each costs this process nearly a kilobyte, and it keeps them until it is
// short of memory itself, however rarely they are used.
const maxKnown = 80_000

// forgetShare is the part of them that it forgets at a time.
const forgetShare = 4

// forgetter makes the kernel forget names of files, picked at random: walks that
// go around through more than it may know still find some. It runs beside the
// handlers, for which the kernel may wait before it forgets a name.
//
// Directories stay, since one of them may be somebody's working directory, and so
// do files that are open: their paths would read as deleted; and names on which
// something is mounted.
type forgetter struct {
	table   *table
	covered func() covered
	max     int
	wake    chan struct{}
	ended   chan struct{}
	running sync.WaitGroup
}

func newForgetter(t *table, max int, covered func() covered) *forgetter {
	f := &forgetter{table: t, covered: covered, max: max, wake: make(chan struct{}, 1), ended: make(chan struct{})}
	t.limit(max, func() {
		select {
		case f.wake <- struct{}{}:
		default:
		}
	})
	f.running.Go(f.run)
	return f
}

func (f *forgetter) run() {
	for {
		select {
		case <-f.ended:
			return
		case <-f.wake:
			f.trim()
		}
	}
}

func (f *forgetter) close() {
	close(f.ended)
	f.running.Wait()
}

// trim has the kernel forget what it knows beyond the limit, and some more.
func (f *forgetter) trim() {
	known := f.table.all()
	known = slices.DeleteFunc(known, func(n *node) bool { return n.forgotten.Load() }) // those are still to be collected
	excess := len(known) - (f.max - f.max/forgetShare)
	covered := f.covered()
	for _, n := range known {
		select {
		case <-f.ended:
			return
		default:
		}
		if excess <= 0 {
			return
		}
		if l, ok := n.link(); ok && n.idle() && !covered.holds(&l.dir.node, l.name) {
			_ = l.dir.NotifyEntry(l.name) // what it does not know by this name is left to it
			excess--
		}
	}
}

// idle tells whether the inode is that of a file which nobody is known to use.
func (n *node) idle() bool {
	if n.isDir() {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.open) == 0 && n.pin < 0
}
