package fs

import (
	"sync"
)

// maxKnown is how many inodes the kernel may know before it is made to forget
// some: each costs this process about 650 bytes, and it keeps them until it is
// short of memory itself, however rarely they are used.
const maxKnown = 160_000

// forgetShare is the part of them that it forgets at a time.
const forgetShare = 4

// forgetBatch is how many are picked while nobody can look a name up.
const forgetBatch = 512

// forgetter makes the kernel forget names of files, picked at random: walks that
// go around through more than it may know still find some. It runs beside the
// handlers, for which the kernel may wait before it forgets a name.
//
// Directories stay, since one of them may be somebody's working directory, and so
// do files that are open: their paths would read as deleted.
type forgetter struct {
	table  *table
	wake   chan struct{}
	ended  chan struct{}
	closed sync.WaitGroup
}

func newForgetter(t *table, max int) *forgetter {
	f := &forgetter{table: t, wake: make(chan struct{}, 1), ended: make(chan struct{})}
	t.limit(max, func() {
		select {
		case f.wake <- struct{}{}:
		default:
		}
	})
	f.closed.Go(f.run)
	return f
}

func (f *forgetter) run() {
	for {
		select {
		case <-f.ended:
			return
		case <-f.wake:
		}
		for n := f.table.crowd(); n > 0; n -= forgetBatch {
			for _, victim := range f.table.pick(min(n, forgetBatch)) {
				if victim.idle() {
					victim.forget()
				}
			}
			select {
			case <-f.ended:
				return
			default:
			}
		}
	}
}

func (f *forgetter) close() {
	close(f.ended)
	f.closed.Wait()
}

// forget has the kernel drop the name that it saw last. What it does not know, or
// has in use, is left to it.
func (n *node) forget() {
	if l, ok := n.link(); ok {
		_ = l.dir.NotifyEntry(l.name)
	}
}

// idle tells whether the kernel knows the inode of a file that nobody is known to
// use.
func (n *node) idle() bool {
	if n.isDir() || n.Forgotten() {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.open) == 0 && n.pin < 0
}
