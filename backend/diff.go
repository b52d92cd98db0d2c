package backend

import (
	"fmt"
	"sort"

	"github.com/silvermirror/smfs/backend/object"
)

// directories reads directories by tree id.
type directories interface {
	Directory(object.TreeID) (*object.Directory, error)
}

// finder looks names up in directories: nil where one has no such entry.
type finder interface {
	Lookup(dir object.TreeID, name string) (*object.Entry, error)
}

// placed is an entry with the place where a tree has it.
type placed struct {
	Parent object.FileID // of the directory that holds it
	Path   string        // of the entry
	Entry  object.Entry
}

// pair is one entry that has the same identity and the same place in both trees.
type pair struct {
	Old, New placed
}

// treeDiff says how to get from one tree to another by identity. A FileID in
// both Removed and Added has moved (or, with several names, was linked anew).
// Added is sorted by path, so that parents come before their children; Removed
// in the opposite order.
type treeDiff struct {
	Removed []placed
	Added   []placed
	Changed []pair // attributes or content differ; a directory whose Tree alone differs is not listed
}

// diffTrees compares two trees, reading only directories whose ids differ and
// those that appear or vanish. The zero TreeID is the empty tree.
func diffTrees(src directories, old, new object.TreeID) (*treeDiff, error) {
	d := differ{src: src}
	if err := d.compare(object.FileID{}, "", "", old, new); err != nil {
		return nil, err
	}
	if err := d.expand(); err != nil {
		return nil, err
	}
	return d.result(), nil
}

type differ struct {
	src            directories
	dirs           map[object.FileID]bool // that were added: each can be at one place only
	removed, added []placed
	changed        []pair
}

func (d *differ) entries(id object.TreeID) ([]object.Entry, error) {
	if id.IsZero() {
		return nil, nil
	}
	dir, err := d.src.Directory(id)
	if err != nil {
		return nil, err
	}
	return dir.Entries, nil
}

// compare lists the differences of one directory, which is at oldPath in the
// old tree and at newPath in the new one.
func (d *differ) compare(parent object.FileID, oldPath, newPath string, old, new object.TreeID) error {
	if old == new {
		return nil
	}
	a, err := d.entries(old)
	if err != nil {
		return fmt.Errorf("read directory %q: %w", oldPath, err)
	}
	b, err := d.entries(new)
	if err != nil {
		return fmt.Errorf("read directory %q: %w", newPath, err)
	}
	for len(a) > 0 || len(b) > 0 {
		switch {
		case len(b) == 0 || len(a) > 0 && a[0].Name < b[0].Name:
			d.removed = append(d.removed, placed{parent, join(oldPath, a[0].Name), a[0]})
			a = a[1:]
		case len(a) == 0 || b[0].Name < a[0].Name:
			if err := d.add(placed{parent, join(newPath, b[0].Name), b[0]}); err != nil {
				return err
			}
			b = b[1:]
		default:
			if err := d.same(placed{parent, join(oldPath, a[0].Name), a[0]}, placed{parent, join(newPath, b[0].Name), b[0]}); err != nil {
				return err
			}
			a, b = a[1:], b[1:]
		}
	}
	return nil
}

// add lists an entry of the new tree. A directory that is there twice is an
// error: a hostile tree of such would have no end.
func (d *differ) add(p placed) error {
	if p.Entry.Kind == object.Dir {
		if d.dirs[p.Entry.ID] {
			return fmt.Errorf("%w: directory %q is at two places", ErrUntrusted, p.Path)
		}
		if d.dirs == nil {
			d.dirs = map[object.FileID]bool{}
		}
		d.dirs[p.Entry.ID] = true
	}
	d.added = append(d.added, p)
	return nil
}

// same handles one name that both trees have in the same directory.
func (d *differ) same(old, new placed) error {
	if old.Entry.ID != new.Entry.ID || old.Entry.Kind != new.Entry.Kind {
		d.removed = append(d.removed, old)
		return d.add(new)
	}
	if !sameEntry(old.Entry, new.Entry) {
		d.changed = append(d.changed, pair{old, new})
	}
	if old.Entry.Kind == object.Dir {
		return d.compare(old.Entry.ID, old.Path, new.Path, old.Entry.Tree, new.Entry.Tree)
	}
	return nil
}

// expand lists what is inside directories that appear or vanish. A directory
// that did both (it moved) is compared with itself instead.
func (d *differ) expand() error {
	nr, na := 0, 0 // how much of removed and added has been looked at
	compared := map[object.FileID]bool{}
	for nr < len(d.removed) || na < len(d.added) {
		oldDirs, newDirs := dirsByID(d.removed), dirsByID(d.added)
		endRemoved, endAdded := len(d.removed), len(d.added)
		for id, o := range oldDirs {
			if n, ok := newDirs[id]; ok && !compared[id] && o.at >= nr && n.at >= na {
				compared[id] = true
				if err := d.compare(id, o.p.Path, n.p.Path, o.p.Entry.Tree, n.p.Entry.Tree); err != nil {
					return err
				}
			}
		}
		for i := nr; i < endRemoved; i++ {
			if p := d.removed[i]; p.Entry.Kind == object.Dir && !compared[p.Entry.ID] {
				if err := d.compare(p.Entry.ID, p.Path, "", p.Entry.Tree, object.TreeID{}); err != nil {
					return err
				}
			}
		}
		for i := na; i < endAdded; i++ {
			if p := d.added[i]; p.Entry.Kind == object.Dir && !compared[p.Entry.ID] {
				if err := d.compare(p.Entry.ID, "", p.Path, object.TreeID{}, p.Entry.Tree); err != nil {
					return err
				}
			}
		}
		nr, na = endRemoved, endAdded
	}
	return nil
}

type dirAt struct {
	p  placed
	at int
}

func dirsByID(list []placed) map[object.FileID]dirAt {
	m := map[object.FileID]dirAt{}
	for i, p := range list {
		if p.Entry.Kind == object.Dir {
			m[p.Entry.ID] = dirAt{p, i}
		}
	}
	return m
}

// result pairs what was removed and added at one place: a directory whose move
// was noticed only after its children had been listed leaves such pairs.
func (d *differ) result() *treeDiff {
	type slot struct {
		parent object.FileID
		name   string
		id     object.FileID
		kind   object.Kind
	}
	at := func(p placed) slot { return slot{p.Parent, p.Entry.Name, p.Entry.ID, p.Entry.Kind} }
	old := make(map[slot]placed, len(d.removed))
	for _, p := range d.removed {
		old[at(p)] = p
	}
	r := &treeDiff{Changed: d.changed}
	for _, n := range d.added {
		o, ok := old[at(n)]
		if !ok {
			r.Added = append(r.Added, n)
			continue
		}
		delete(old, at(n))
		if !sameEntry(o.Entry, n.Entry) {
			r.Changed = append(r.Changed, pair{o, n})
		}
	}
	for _, p := range d.removed {
		if _, ok := old[at(p)]; ok {
			r.Removed = append(r.Removed, p)
		}
	}
	sort.Slice(r.Added, func(i, j int) bool { return r.Added[i].Path < r.Added[j].Path })
	sort.Slice(r.Removed, func(i, j int) bool { return r.Removed[i].Path > r.Removed[j].Path })
	sort.Slice(r.Changed, func(i, j int) bool { return r.Changed[i].New.Path < r.Changed[j].New.Path })
	return r
}

// sameEntry compares all but Tree: what is inside a directory is not the
// directory's own.
func sameEntry(a, b object.Entry) bool {
	return sameOnDisk(a, b) && a.ID == b.ID && a.Conflict == b.Conflict && a.Tags.Equal(b.Tags)
}

// sameOnDisk compares what a file on disk shows: not identity, tags, conflicts.
func sameOnDisk(a, b object.Entry) bool {
	return a.Kind == b.Kind && a.Blob == b.Blob && a.Mtime == b.Mtime &&
		mirroredMode(a.Mode, a.Kind) == mirroredMode(b.Mode, b.Kind) && sameXattrs(a.Xattrs, b.Xattrs)
}

func sameXattrs(a, b []object.Xattr) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func join(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}
