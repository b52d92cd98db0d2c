package fs

import (
	"cmp"
	"maps"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"golang.org/x/sys/unix"
)

// maxPast is how many inodes of the history view the kernel may know, as maxKnown is
// of the files that are: a walk through many times would go on adding to them.
const maxPast = 40_000

// pastTime is a name in .smfs/history that somebody has looked up.
type pastTime struct {
	name  string
	used  time.Time    // guarded by historyView.mu
	nodes atomic.Int64 // in memory that were found through it first
}

// use notes that somebody goes through a name of the view's directory.
func (h *historyView) use(dir *fs.Inode, name string) *pastTime {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.dir = dir
	t := h.times[name]
	if t == nil {
		t = &pastTime{name: name}
		h.times[name] = t
	}
	t.used = time.Now()
	return t
}

// count counts a node for as long as it is in memory.
func (h *historyView) count(n *pastNode) {
	n.time.nodes.Add(1)
	runtime.AddCleanup(n, h.collected, n.time)
	if h.known.Add(1) > h.next.Load() {
		select {
		case h.wake <- struct{}{}:
		default:
		}
	}
}

func (h *historyView) collected(t *pastTime) {
	t.nodes.Add(-1)
	h.next.Store(max(int64(h.max), h.known.Add(-1)+int64(h.max/forgetShare)))
}

// start begins to keep the kernel from knowing too much.
func (h *historyView) start() {
	h.max = cmp.Or(h.max, maxPast)
	h.next.Store(int64(h.max))
	h.wake, h.ended = make(chan struct{}, 1), make(chan struct{})
	h.runs.Go(func() {
		for {
			select {
			case <-h.ended:
				return
			case <-h.wake:
				h.trim()
			}
		}
	})
}

func (h *historyView) close() {
	close(h.ended)
	h.runs.Wait()
}

// trim has the kernel forget whole times, with all below, the ones that were used
// longest ago first; of the one used last, where that is not enough, files. Who is at
// work below one goes on there, and looks its name up again. Times below which
// something is mounted stay.
func (h *historyView) trim() {
	dir, times := h.byUse()
	covered := h.v.m.covered()
	excess := h.known.Load() - int64(h.max-h.max/forgetShare)
	for i, t := range times {
		if excess <= 0 {
			break
		}
		if covered.at(smfsName + "/" + historyDirName + "/" + t.name) {
			continue
		}
		if c := dir.GetChild(t.name); c != nil && i == len(times)-1 {
			forgetFiles(c, &excess)
			break
		}
		excess -= t.nodes.Load()
		_ = dir.NotifyEntry(t.name) // what it does not know is left to it
		h.unused(t)
	}
	// The collector will take some time to drop what is forgotten.
	h.next.Store(max(int64(h.max), h.known.Load()+int64(h.max/forgetShare)))
}

// forgetFiles has the kernel forget files in a directory and below, in no order, and
// directories once nothing is known in them: until enough is forgotten.
func forgetFiles(dir *fs.Inode, enough *int64) {
	for name, c := range dir.Children() {
		if *enough <= 0 {
			return
		}
		if c.Mode() == unix.S_IFDIR {
			forgetFiles(c, enough)
			if *enough <= 0 {
				return
			}
		}
		_ = dir.NotifyEntry(name)
		*enough--
	}
}

// byUse returns the directory of the times, and these, the one used longest ago first.
func (h *historyView) byUse() (*fs.Inode, []*pastTime) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.dir, slices.SortedFunc(maps.Values(h.times), func(a, b *pastTime) int { return a.used.Compare(b.used) })
}

// unused takes a time out of the list, which has it again when it is looked up.
func (h *historyView) unused(t *pastTime) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.times[t.name] == t {
		delete(h.times, t.name)
	}
}
