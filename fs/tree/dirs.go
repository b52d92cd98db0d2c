package tree

import (
	"container/list"
	"fmt"
	"sync"

	"github.com/silvermirror/smfs/journal"
	"golang.org/x/sys/unix"
)

// DirRef is one use of an open directory: its fd stays open until Release.
type DirRef struct {
	t    *Tree
	d    *openDir
	done bool
}

// openDir is an O_PATH fd shared by its users and the cache.
type openDir struct {
	fd   int
	info Info
	refs int // guarded by dirCache.mu
}

// FD is an O_PATH fd: good for *at calls, fstatfs and statx, not for reading.
func (r *DirRef) FD() int { return r.d.fd }

// Key identifies the directory, and its slot lock.
func (r *DirRef) Key() journal.FileKey { return r.d.info.Key }

// Release gives the fd back. It is idempotent.
func (r *DirRef) Release() {
	if !r.done {
		r.done = true
		r.t.dirs.release(r.d)
	}
}

// Lookup looks at one name of the directory without following it. Errors are
// as for Tree.Stat; here the kernel does look into a mount point's root before
// ErrForeignMount is returned.
func (r *DirRef) Lookup(name string) (Info, error) {
	if err := CheckName(name); err != nil {
		return Info{}, err
	}
	info, err := r.t.statAt(r.d.fd, name)
	return info, r.t.fail("look up", name, err)
}

// OpenDir walks to a directory. The walk is fresh each time.
func (t *Tree) OpenDir(path string) (*DirRef, error) {
	return t.openDir("open directory", path)
}

func (t *Tree) openDir(op, path string) (*DirRef, error) {
	fd, err := t.open(path, unix.O_PATH|unix.O_DIRECTORY)
	if err == unix.ENOTDIR || err == unix.ELOOP {
		return nil, fmt.Errorf("%s %q: %w", op, path, ErrNotDirectory)
	}
	if err != nil {
		return nil, t.fail(op, path, err)
	}
	info, err := StatFD(fd)
	if err != nil {
		unix.Close(fd)
		return nil, t.fail(op, path, err)
	}
	return &DirRef{t: t, d: &openDir{fd: fd, info: info, refs: 1}}, nil
}

// openParent walks to the directory that holds path's slot. A parent that is
// proven to be no directory means that path is absent.
func (t *Tree) openParent(op, path string) (*DirRef, string, error) {
	dir, name, err := split(path)
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", op, err)
	}
	fd, err := t.open(dir, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return nil, "", t.fail(op, path, t.provenAbsent(path, err))
	}
	info, err := StatFD(fd)
	if err != nil {
		unix.Close(fd)
		return nil, "", t.fail(op, path, err)
	}
	return &DirRef{t: t, d: &openDir{fd: fd, info: info, refs: 1}}, name, nil
}

// DirByKey opens the directory with that key, from a bounded cache of fds if
// it is there, else by walking to path(). The fd pins the inode, so a hit is
// right whatever has been renamed since. ErrChanged: path() leads to another
// directory.
func (t *Tree) DirByKey(key journal.FileKey, path func() string) (*DirRef, error) {
	if d := t.dirs.get(key); d != nil {
		return &DirRef{t: t, d: d}, nil
	}
	p := path()
	r, err := t.openDir("open directory", p)
	if err != nil {
		return nil, err
	}
	if r.Key() != key {
		r.Release()
		return nil, fmt.Errorf("open directory %q: %w", p, ErrChanged)
	}
	t.dirs.put(r.d)
	return r, nil
}

// ForgetDir drops a directory from DirByKey's cache: after it was removed, so
// that its inode is freed.
func (t *Tree) ForgetDir(key journal.FileKey) { t.dirs.forget(key) }

// dirCache keeps the most recently used directories open. mu guards all of it
// and every openDir.refs; nothing is called under it but close(2).
type dirCache struct {
	mu    sync.Mutex
	max   int
	used  *list.List // of *openDir, most recent first; the cache holds one ref of each
	byKey map[journal.FileKey]*list.Element
}

func (c *dirCache) init(max int) {
	c.max, c.used, c.byKey = max, list.New(), make(map[journal.FileKey]*list.Element)
}

func (c *dirCache) get(key journal.FileKey) *openDir {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.byKey[key]
	if e == nil {
		return nil
	}
	c.used.MoveToFront(e)
	d := e.Value.(*openDir)
	d.refs++
	return d
}

func (c *dirCache) put(d *openDir) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byKey[d.info.Key] != nil || c.max == 0 {
		return
	}
	d.refs++
	c.byKey[d.info.Key] = c.used.PushFront(d)
	for c.used.Len() > c.max {
		c.dropLocked(c.used.Back())
	}
}

func (c *dirCache) forget(key journal.FileKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.byKey[key]; e != nil {
		c.dropLocked(e)
	}
}

func (c *dirCache) dropLocked(e *list.Element) {
	d := c.used.Remove(e).(*openDir)
	delete(c.byKey, d.info.Key)
	c.unrefLocked(d)
}

func (c *dirCache) release(d *openDir) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unrefLocked(d)
}

func (c *dirCache) unrefLocked(d *openDir) {
	if d.refs--; d.refs == 0 {
		unix.Close(d.fd)
	}
}

func (c *dirCache) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.used.Len() > 0 {
		c.dropLocked(c.used.Front())
	}
	c.max = 0
}
