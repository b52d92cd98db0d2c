package backend

import (
	"context"
	"fmt"
	"os"
	"sort"

	"github.com/silvermirror/smfs/backend/index"
	"github.com/silvermirror/smfs/backend/object"
	"github.com/silvermirror/smfs/fs/tree"
	"github.com/silvermirror/smfs/journal"
)

// Check compares, for each resource, what the head says with what the index
// says and with what is on disk, and lists all that is not as it should be in
// an engine that has nothing left to do.
func (e *Engine) Check(ctx context.Context) (problems []string, err error) {
	for _, r := range e.resources {
		err := r.do(ctx, func() error {
			c := &checker{r: r, head: map[string]object.Entry{}, inodes: map[object.FileID]journal.FileKey{}}
			if err := c.check(); err != nil {
				return fmt.Errorf("check %s: %w", r.name, err)
			}
			problems = append(problems, c.problems...)
			return nil
		})
		if err != nil {
			return problems, err
		}
	}
	return problems, nil
}

type checker struct {
	r        *resource
	head     map[string]object.Entry // by path
	inodes   map[object.FileID]journal.FileKey
	problems []string
}

func (c *checker) fault(format string, args ...any) {
	c.problems = append(c.problems, fmt.Sprintf(format, args...))
}

func (c *checker) check() error {
	c.state()
	root, err := c.r.headTree()
	if err != nil {
		return err
	}
	if err := c.readHead("", root); err != nil {
		return err
	}
	if err := c.checkIndex(root); err != nil {
		return err
	}
	if err := c.checkDisk(""); err != nil {
		return err
	}
	for path := range c.head { // what checkDisk has met is gone from it
		c.fault("%s is in the head but not on disk", path)
	}
	sort.Strings(c.problems)
	return nil
}

// SyncDue has the resources sync their filesystem now.
func (e *Engine) SyncDue(ctx context.Context) error {
	for _, r := range e.resources {
		if err := r.do(ctx, func() error {
			r.synced.next = r.now()
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// state looks at what the engine holds back.
func (c *checker) state() {
	r := c.r
	if r.behind {
		c.fault("the disk is behind the head")
	}
	if n := r.journal.Pending(r.name); n > 0 {
		c.fault("%d marks are pending: %v", n, r.journal.Snapshot(r.name))
	}
	for _, text := range r.problems.list() {
		c.fault("problem: %s", text)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for path := range r.waiting {
		c.fault("%s waits", path)
	}
}

func (c *checker) readHead(dir string, id object.TreeID) error {
	if id.IsZero() {
		return nil
	}
	d, err := c.r.store.Directory(id)
	if err != nil {
		return err
	}
	for _, e := range d.Entries {
		path := join(dir, e.Name)
		c.head[path] = e
		if e.Kind == object.Dir {
			if err := c.readHead(path, e.Tree); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkIndex compares every node of the index with the head's entry.
func (c *checker) checkIndex(root object.TreeID) error {
	return c.r.index.View(func(tx *index.Tx) error {
		if tx.Disk() != root && len(c.head) > 0 {
			c.fault("the index is of tree %s, the head's is %s", tx.Disk(), root)
		}
		if tx.Apart() {
			c.fault("the tree of the disk is not that of the index")
		}
		left := map[string]bool{}
		for path := range c.head {
			left[path] = true
		}
		err := tx.All(func(n index.Node) error {
			path, err := tx.Path(n.Slot())
			if err != nil {
				c.fault("index: %q below %s has no path: %v", n.Name, n.Parent, err)
				return nil
			}
			delete(left, path)
			e, ok := c.head[path]
			switch {
			case !ok:
				c.fault("%s is in the index but not in the head", path)
			case !sameEntry(treeEntry(n), e):
				c.fault("%s is %+v in the index, %+v in the head", path, treeEntry(n), e)
			}
			return nil
		})
		for path := range left {
			c.fault("%s is in the head but not in the index", path)
		}
		return err
	})
}

// checkDisk compares a directory and all below it with the head.
func (c *checker) checkDisk(dir string) error {
	names, temps, err := c.list(dir)
	if err != nil {
		return err
	}
	for _, name := range temps {
		c.fault("%s is left over", join(dir, name))
	}
	for _, n := range names {
		path := join(dir, n)
		info, err := c.r.tree.Stat(path)
		if err != nil {
			return err
		}
		if c.r.skip(path, info.IsDir()) {
			continue
		}
		e, ok := c.head[path]
		if !ok {
			c.fault("%s is on disk but not in the head", path)
			continue
		}
		delete(c.head, path)
		if err := c.checkEntry(path, info, e); err != nil {
			return err
		}
		if info.IsDir() {
			if err := c.checkDisk(path); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *checker) checkEntry(path string, info tree.Info, e object.Entry) error {
	kind, _ := kindOf(info)
	if kind != e.Kind {
		c.fault("%s has kind %v on disk, %v in the head", path, kind, e.Kind)
		return nil
	}
	if mirroredMode(info.Mode, kind) != e.Mode {
		c.fault("%s has mode %o on disk, %o in the head", path, info.Mode, e.Mode)
	}
	x, _, err := c.r.xattrs(path)
	if err == nil && !sameXattrs(x, e.Xattrs) {
		c.fault("%s has attributes %v on disk, %v in the head", path, x, e.Xattrs)
	}
	if kind == object.Dir {
		return nil
	}
	if info.Mtime != e.Mtime {
		c.fault("%s has mtime %d on disk, %d in the head", path, info.Mtime, e.Mtime)
	}
	content, err := c.r.hashPath(path, info)
	if err != nil {
		return err
	}
	if content.Blob != e.Blob {
		c.fault("%s has content %s on disk, %s in the head", path, content.Blob, e.Blob)
	}
	if first, ok := c.inodes[e.ID]; ok && first != info.Key && kind == object.File {
		c.fault("%s is not linked with the other names of file %s", path, e.ID)
	}
	c.inodes[e.ID] = info.Key
	return nil
}

// list reads a directory, hidden temporaries apart.
func (c *checker) list(dir string) (names, temps []string, err error) {
	shown, err := c.r.tree.ReadDir(dir)
	if err != nil {
		return nil, nil, err
	}
	for _, n := range shown {
		names = append(names, n.Name)
	}
	at := c.r.conf.Directory + "/" + dir
	all, err := os.ReadDir(at)
	for _, n := range all {
		if tree.IsTemp(n.Name()) {
			temps = append(temps, n.Name())
		}
	}
	return names, temps, err
}
