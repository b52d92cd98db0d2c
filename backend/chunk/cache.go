package chunk

import (
	"container/list"
	"sync"
)

// Limits of a Cache, in bytes of chunks. A file needs the chunk that is read and
// the next ones; what programs read at random they find again in the kernel.
const (
	cacheOfFile = 8 << 20
	cacheOfAll  = 64 << 20
)

// Cache holds the chunks that open files have used last. It is safe for
// concurrent use.
type Cache struct {
	mu    sync.Mutex // guards the rest, and each file's held and heldSize
	size  int64
	order *list.List // of *loaded; front: used last
}

// NewCache returns an empty cache.
func NewCache() *Cache { return &Cache{order: list.New()} }

// loaded is a chunk in memory, or on its way there.
type loaded struct {
	file *ReaderAt
	part part
	done chan struct{} // closed once data and err are set
	data []byte
	err  error
}

// get returns a chunk that is there or on its way. Otherwise it makes room for
// one, which the caller has to load.
func (c *Cache) get(f *ReaderAt, p part) (l *loaded, load bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := f.held[p.id]; ok {
		c.order.MoveToFront(e)
		return e.Value.(*loaded), false
	}
	l = &loaded{file: f, part: p, done: make(chan struct{})}
	f.held[p.id] = c.order.PushFront(l)
	f.heldSize += p.size
	c.size += p.size
	for e := c.order.Back(); e != nil && (c.size > cacheOfAll || f.heldSize > cacheOfFile); {
		old := e
		e = e.Prev()
		if o := old.Value.(*loaded); o != l && (c.size > cacheOfAll || o.file == f) {
			c.dropLocked(old)
		}
	}
	return l, true
}

func (c *Cache) dropLocked(e *list.Element) {
	l := c.order.Remove(e).(*loaded)
	delete(l.file.held, l.part.id)
	l.file.heldSize -= l.part.size
	c.size -= l.part.size
}

// failed takes out a chunk that could not be read: it may be whole next time.
func (c *Cache) failed(l *loaded) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := l.file.held[l.part.id]; ok && e.Value == any(l) {
		c.dropLocked(e)
	}
}

// dropFile takes out all chunks of a file.
func (c *Cache) dropFile(f *ReaderAt) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range f.held {
		c.dropLocked(e)
	}
}

// held are a file's chunks in the cache.
type held map[[20]byte]*list.Element
