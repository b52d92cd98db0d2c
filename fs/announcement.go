package fs

import (
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// step is one thing to raise an event by, with the directory that the name is in.
type step struct {
	raising
	dir *DirNode
}

// steps are what makes up an announcement; none where the name has changed again.
func (n announcement) steps() []step {
	if n.name == "" {
		return n.attributes()
	}
	dir, ok := n.n.Operations().(*DirNode)
	if !ok {
		return nil
	}
	if n.gone == nil {
		return n.named(dir)
	}
	leave := step{raising{verb: verbLeave, in: dir.StableAttr().Ino, name: n.name, gone: n.gone}, dir}
	return append([]step{leave}, n.named(dir)...)
}

// named are the steps for the name.
func (n announcement) named(dir *DirNode) []step {
	now, holds := dir.holds(n.name, n.after)
	if !holds {
		return nil
	}
	if now != nil && now.isOpen() {
		// A ghost would take its name from the inode, which whoever has it open sees.
		return []step{{raising{verb: verbTouch, in: now.StableAttr().Ino, name: n.name}, dir}}
	}
	by := func(v verb, mode uint32) step {
		return step{raising{verb: v, in: dir.StableAttr().Ino, name: n.name, mode: mode}, dir}
	}
	switch {
	case n.before == 0 && n.after == 0:
		return nil
	case n.before == 0:
		return []step{by(verbCreate, n.after)}
	case n.after == 0:
		return []step{by(verbDelete, n.before)}
	case n.before == unix.S_IFDIR || n.after == unix.S_IFDIR:
		return []step{by(verbDelete, n.before), by(verbCreate, n.after)}
	}
	return []step{by(verbModify, n.after)}
}

// attributes is the step for an inode whose attributes have changed.
func (n announcement) attributes() []step {
	var st unix.Statx_t
	l, ok := n.n.link()
	if !ok || n.n.stat(nil, &st) != nil {
		return nil
	}
	return []step{{raising{verb: verbAttr, in: n.n.StableAttr().Ino, name: l.name}, l.dir}}
}

// inodes are those whose watchers hear of a change, by their numbers in the mount.
func (c change) inodes(n note) []uint64 {
	own := n.n.StableAttr().Ino
	if n.name != "" && c.gone != nil {
		return []uint64{own, c.gone.StableAttr().Ino}
	}
	if n.name != "" {
		return []uint64{own}
	}
	if l, ok := n.n.link(); ok {
		return []uint64{own, l.dir.StableAttr().Ino}
	}
	return nil
}

// holds tells whether a name holds something of a type, 0: nothing, and what, if
// anybody has asked for it.
func (d *DirNode) holds(name string, mode uint32) (*node, bool) {
	ref, err := d.acquire()
	if err != nil {
		return nil, false
	}
	defer ref.release()
	var st unix.Statx_t
	if err := statAt(ref.fd, name, &st); err != nil {
		return nil, mode == 0 && err == unix.ENOENT
	}
	return d.m.table.find(d.m.vols.get(devOf(&st)), keyOf(&st)), uint32(st.Mode)&unix.S_IFMT == mode
}

// isOpen tells whether somebody has the file open.
func (n *node) isOpen() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.open) > 0
}

// inMount is the directory's path from the root of the mount.
func (d *DirNode) inMount() (path string, ok bool) {
	names := []string{}
	for c := d; c != d.m.root; {
		l, ok := c.link()
		if !ok || len(names) == maxDepth {
			return "", false
		}
		names = append(names, l.name)
		c = l.dir
	}
	slices.Reverse(names)
	return "./" + strings.Join(names, "/"), true
}
