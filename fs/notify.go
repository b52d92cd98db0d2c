package fs

import (
	"cmp"
	"log/slog"
	"sync"
	"syscall"
	"time"

	"github.com/silvermirror/smfs/fs/tree"
	"github.com/silvermirror/smfs/journal"
	"golang.org/x/sys/unix"
)

// queue tells the kernel what it must forget. The kernel may wait for a handler
// before it answers, so nobody but run's goroutine notifies of names, and it holds
// no lock meanwhile.
type queue struct {
	log     *slog.Logger
	tell    func(note, change) // hears of what the kernel has forgotten
	covered func() covered

	mu      sync.Mutex // guards the rest
	wake    *sync.Cond
	notes   []note
	changes map[note]change // those of notes, to leave out repetitions
	busy    bool
	closed  bool
	stopped chan struct{}
}

// uncovered is how often it is looked whether something is still mounted on a name
// that the kernel is to forget.
const uncovered = time.Second

// note is one thing to forget: a name in a directory, and the listing with it;
// or, with name "", the attributes of a node.
type note struct {
	n    *node
	name string
}

// change is what has happened to a name, or to a sequence of changes taken as
// one. Types are S_IFMT bits; 0 is nothing.
type change struct {
	before, after uint32
	gone          *node // what the name held before, if anybody asked for it
}

// then is a change with a later one of the same name.
func (c change) then(later change) change {
	c.after = later.after
	c.gone = cmp.Or(c.gone, later.gone)
	return c
}

func newQueue(log *slog.Logger, tell func(note, change), covered func() covered) *queue {
	q := &queue{log: log, tell: tell, covered: covered, changes: make(map[note]change), stopped: make(chan struct{})}
	q.wake = sync.NewCond(&q.mu)
	go q.run()
	return q
}

func (q *queue) add(n note, c change) { q.join(n, c, false) }

// addEarlier adds what has happened before all that is queued.
func (q *queue) addEarlier(n note, c change) { q.join(n, c, true) }

func (q *queue) join(n note, c change, earlier bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return
	}
	if queued, ok := q.changes[n]; ok {
		if earlier {
			queued, c = c, queued
		}
		q.changes[n] = queued.then(c)
		return
	}
	q.changes[n] = c
	q.notes = append(q.notes, n)
	q.wake.Broadcast()
}

func (q *queue) attr(n *node)                         { q.add(note{n, ""}, change{}) }
func (q *queue) entry(d *node, name string, c change) { q.add(note{d, name}, c) }

// run sends what is queued until close.
func (q *queue) run() {
	defer close(q.stopped)
	for {
		notes, changes := q.take()
		if notes == nil {
			return
		}
		listed, covered := make(map[*node]bool), q.covered()
		for _, n := range notes {
			if n.name != "" && covered.holds(n.n, n.name) {
				c := changes[n]
				time.AfterFunc(uncovered, func() { q.addEarlier(n, c) })
				continue
			}
			q.tell(n, q.send(n, changes[n], listed))
		}
	}
}

// take waits for notes; nil: closed.
func (q *queue) take() ([]note, map[note]change) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.busy = false
	q.wake.Broadcast()
	for len(q.notes) == 0 && !q.closed {
		q.wake.Wait()
	}
	if q.closed {
		return nil, nil
	}
	notes, changes := q.notes, q.changes
	q.notes, q.changes = nil, make(map[note]change)
	q.busy = true
	return notes, changes
}

// send drops what the kernel keeps. A new name is in no dentry, so the listing
// is dropped by itself, once for all names of a batch. What remains to be told is
// returned: the inode that has gone, where the kernel has it and not its name.
func (q *queue) send(n note, c change, listed map[*node]bool) change {
	if n.name == "" {
		q.sendAttr(n.n)
		return c
	}
	if !listed[n.n] {
		listed[n.n] = true
		q.check(n, n.n.NotifyContent(0, 0))
	}
	if c.gone != nil && c.gone.named() {
		c.gone = nil
	}
	if c.gone != nil {
		// It takes the last link away: who watches the inode hears of its end.
		errno := n.n.NotifyDelete(n.name, &c.gone.Inode)
		q.check(n, errno)
		if errno == 0 {
			c.gone = nil
		}
	}
	q.check(n, n.n.NotifyEntry(n.name))
	return c
}

// sendAttr drops the attributes of a node. The kernel waits for nothing meanwhile,
// so a handler may do it.
func (q *queue) sendAttr(n *node) { q.check(note{n, ""}, n.NotifyContent(-1, 0)) }

// check logs what is not normal: the kernel does not know most of what changes.
func (q *queue) check(n note, errno syscall.Errno) {
	switch errno {
	case 0, syscall.ENOENT, syscall.ENOTDIR, syscall.ENODEV, syscall.EBADF, syscall.ENOTEMPTY, syscall.EBUSY:
		return
	}
	q.log.Warn("kernel keeps a stale name or attribute", slog.String("name", n.name), slog.Any("error", errno))
}

// drain waits until all that was queued before has been sent.
func (q *queue) drain() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for !q.closed && (q.busy || len(q.notes) > 0) {
		q.wake.Wait()
	}
}

// close ends run and waits for it.
func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.wake.Broadcast()
	q.mu.Unlock()
	<-q.stopped
}

// notifier hears of what apply did.
type notifier struct {
	m *Mount
}

var _ tree.Notifier = notifier{}

// Changed queues a name.
func (t notifier) Changed(dir journal.FileKey, name string, before, after tree.Info) {
	d := t.m.known(dir)
	if d == nil {
		return
	}
	c := change{before: before.Mode & unix.S_IFMT, after: after.Mode & unix.S_IFMT}
	if c.before != 0 {
		c.gone = t.m.known(before.Key)
	}
	t.m.queue.entry(d, name, c)
}

// Attr queues the attributes of an inode.
func (t notifier) Attr(key journal.FileKey) {
	if n := t.m.known(key); n != nil {
		t.m.queue.attr(n)
	}
}

// Moved keeps the node's name right, and queues both names. A directory takes
// the paths of all below with it: who changes something there has announced it by
// the old path before, and by the new one after.
func (t notifier) Moved(fromDir journal.FileKey, from string, toDir journal.FileKey, to string, moved tree.Info) {
	a, b, n := t.m.known(fromDir), t.m.known(toDir), t.m.known(moved.Key)
	if n != nil {
		if n.isDir() {
			t.m.names.Lock()
			t.relink(n, a, from, b, to)
			t.m.names.Unlock()
		} else {
			t.relink(n, a, from, b, to)
		}
	}
	if a != nil {
		t.m.queue.entry(a, from, change{before: moved.Mode & unix.S_IFMT})
	}
	if b != nil {
		t.m.queue.entry(b, to, change{after: moved.Mode & unix.S_IFMT})
	}
}

func (t notifier) relink(n, a *node, from string, b *node, to string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if a != nil {
		n.dropLinkLocked(link{a.Operations().(*DirNode), from})
	}
	if b != nil {
		n.addLinkLocked(link{b.Operations().(*DirNode), to})
	}
}

// known is the node with that key, on whichever volume; nil: nobody asked for
// it yet, so nobody keeps anything of it.
func (m *Mount) known(key journal.FileKey) *node {
	for _, vol := range m.vols.all() {
		if n := m.table.find(vol, key); n != nil {
			return n
		}
	}
	return nil
}
