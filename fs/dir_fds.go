package fs

import (
	"container/list"
	"sync"

	"golang.org/x/sys/unix"
)

// dirFDs keeps the most recently used directories open. mu guards all of it,
// and every DirNode.fd; nothing is called under it but close(2).
type dirFDs struct {
	mu   sync.Mutex
	max  int
	used list.List // of *dirFD, most recent first
}

// dirFD is an O_PATH fd of a directory.
type dirFD struct {
	dir  *DirNode
	fd   int
	refs int           // users, and one for the cache or the node that keeps it
	elem *list.Element // nil: kept for good
}

// dirRef is one use of a directory's fd.
type dirRef struct {
	*dirFD
}

func (r dirRef) release() {
	c := &r.dir.m.dirs
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unrefLocked(r.dirFD)
}

func (c *dirFDs) unrefLocked(f *dirFD) {
	if f.refs--; f.refs == 0 {
		unix.Close(f.fd)
	}
}

// get returns the directory's fd if it is open.
func (c *dirFDs) get(d *DirNode) (dirRef, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d.fixed != nil {
		d.fixed.refs++
		return dirRef{d.fixed}, true
	}
	if d.fd == nil {
		return dirRef{}, false
	}
	if d.fd.elem != nil {
		c.used.MoveToFront(d.fd.elem)
	}
	d.fd.refs++
	return dirRef{d.fd}, true
}

// put takes over an fd of the directory and returns a use of it.
func (c *dirFDs) put(d *DirNode, fd int) dirRef {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d.fd != nil {
		unix.Close(fd)
		d.fd.refs++
		return dirRef{d.fd}
	}
	d.fd = &dirFD{dir: d, fd: fd, refs: 2}
	d.fd.elem = c.used.PushFront(d.fd)
	for c.used.Len() > c.max {
		c.dropLocked(c.used.Back().Value.(*dirFD).dir)
	}
	return dirRef{d.fd}
}

// keep takes over an fd of the directory that stays open until drop: the
// directory has lost its name.
func (c *dirFDs) keep(d *DirNode, fd int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d.fd == nil {
		d.fd = &dirFD{dir: d, fd: fd, refs: 1}
		return
	}
	unix.Close(fd)
	if d.fd.elem != nil {
		c.used.Remove(d.fd.elem)
		d.fd.elem = nil
	}
}

// drop closes the directory's fd once nobody uses it.
func (c *dirFDs) drop(d *DirNode) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropLocked(d)
}

func (c *dirFDs) dropLocked(d *DirNode) {
	f := d.fd
	if f == nil {
		return
	}
	d.fd = nil
	if f.elem != nil {
		c.used.Remove(f.elem)
	}
	c.unrefLocked(f)
}

// close drops every fd that is not kept for good.
func (c *dirFDs) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.used.Len() > 0 {
		c.dropLocked(c.used.Front().Value.(*dirFD).dir)
	}
}
