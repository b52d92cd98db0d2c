package tree

import (
	"sync"

	"github.com/silvermirror/smfs/journal"
)

const stripes = 256

// slotLocks are mutexes striped by directory: holding one's stripe means that
// no other holder changes a slot of that directory.
type slotLocks [stripes]sync.Mutex

func stripe(dir journal.FileKey) int {
	h := (dir.Ino ^ dir.Gen>>10) * 0x9e3779b97f4a7c15
	return int(h >> 56)
}

// Lock takes the slot lock of a directory and returns its release. One
// goroutine holds at most one Lock or Lock2 at a time.
func (t *Tree) Lock(dir journal.FileKey) (unlock func()) {
	m := &t.slots[stripe(dir)]
	m.Lock()
	return m.Unlock
}

// Lock2 takes the slot locks of two directories, which may be the same one,
// lower stripe first.
func (t *Tree) Lock2(a, b journal.FileKey) (unlock func()) {
	i, j := stripe(a), stripe(b)
	if i == j {
		return t.Lock(a)
	}
	if i > j {
		i, j = j, i
	}
	t.slots[i].Lock()
	t.slots[j].Lock()
	return func() {
		t.slots[j].Unlock()
		t.slots[i].Unlock()
	}
}
