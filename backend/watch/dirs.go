package watch

import (
	"strings"

	"github.com/silvermirror/smfs/journal"
)

// dir is a directory that is watched, with those below it: what goes with one is
// found without a look at all others.
type dir struct {
	key   journal.FileKey
	below map[string]*dir
}

// find returns the directory at a path below d; nil where none is watched.
func (d *dir) find(path string) *dir {
	for name := range strings.SplitSeq(path, "/") {
		if d = d.below[name]; d == nil {
			return nil
		}
	}
	return d
}

// insert puts a directory at a path whose parent is there; "" is d itself.
func (d *dir) insert(path string, key journal.FileKey) {
	if path != "" {
		for name := range strings.SplitSeq(path, "/") {
			next := d.below[name]
			if next == nil {
				next = &dir{}
				if d.below == nil {
					d.below = map[string]*dir{}
				}
				d.below[name] = next
			}
			d = next
		}
	}
	d.key = key
}

// remove takes the directory at a path out and calls fn for it and each below.
func (d *dir) remove(path string, fn func(path string, key journal.FileKey)) {
	parent, name := d, path
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		parent, name = d.find(path[:i]), path[i+1:]
	}
	if parent == nil || parent.below[name] == nil {
		return
	}
	parent.below[name].each(path, fn)
	delete(parent.below, name)
}

func (d *dir) each(path string, fn func(path string, key journal.FileKey)) {
	fn(path, d.key)
	for name, b := range d.below {
		b.each(join(path, name), fn)
	}
}
