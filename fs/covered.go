package fs

import (
	"path"
	"strings"
)

// covered are paths in the mount where something else is mounted. A kernel that
// forgets such a name, or one above it, unmounts without a word what is there. Mounts
// that other mount namespaces have there cannot be seen.
type covered []string

// covered goes by where the kernel has the mount: the way to it may lead over symlinks.
func (m *Mount) covered() covered {
	mounts, _ := readMounts() // without them nothing is known
	for _, at := range mounts {
		if at.id == m.mountID {
			return below(mounts, at.point)
		}
	}
	return nil
}

// holds tells whether something is mounted on the name in a directory, or below.
func (c covered) holds(dir *node, name string) bool {
	if len(c) == 0 {
		return false
	}
	d, ok := dir.Operations().(*DirNode)
	if !ok {
		return false
	}
	in, ok := d.inMount()
	if !ok {
		return false
	}
	return c.at(path.Join(in, name))
}

// at tells whether something is mounted on a path in the mount, or below.
func (c covered) at(at string) bool {
	for _, point := range c {
		if point == at || strings.HasPrefix(point, at+"/") {
			return true
		}
	}
	return false
}
