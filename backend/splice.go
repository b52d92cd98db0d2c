package backend

import (
	"errors"
	"fmt"
	"strings"

	"github.com/silvermirror/smfs/backend/index"
	"github.com/silvermirror/smfs/backend/object"
)

// dirWriter writes directories.
type dirWriter interface {
	PutDirectory(*object.Directory) (object.TreeID, error)
}

// treeWriter reads and changes directories.
type treeWriter interface {
	finder
	dirWriter
	EditDirectory(base object.TreeID, changes []object.Change) (object.TreeID, error)
}

// edits is a set of changes to a tree, by path: a trie whose inner nodes are
// the directories to rewrite. An entry set at a path comes before what is set
// inside it, so a moved directory keeps its Tree and is edited from there.
type edits struct {
	touched bool
	entry   *object.Entry // nil: the name is removed
	sub     map[string]*edits
}

// put sets the entry at path; entry.Name is taken from the path.
func (e *edits) put(path string, entry object.Entry) {
	n := e.at(path)
	entry.Name = path[strings.LastIndexByte(path, '/')+1:]
	n.touched, n.entry = true, &entry
}

// remove takes the name at path away, with all edits below it.
func (e *edits) remove(path string) {
	n := e.at(path)
	n.touched, n.entry, n.sub = true, nil, nil
}

func (e *edits) at(path string) *edits {
	n := e
	for _, name := range strings.Split(path, "/") {
		c := n.sub[name]
		if c == nil {
			c = &edits{}
			if n.sub == nil {
				n.sub = map[string]*edits{}
			}
			n.sub[name] = c
		}
		n = c
	}
	return n
}

// build writes the directories that the edits change and returns the new id of
// the directory that was base. Cost is proportional to the changed directories.
func (e *edits) build(w treeWriter, base object.TreeID) (object.TreeID, error) {
	if len(e.sub) == 0 && !base.IsZero() {
		return base, nil
	}
	changes := make([]object.Change, 0, len(e.sub))
	for name, sub := range e.sub {
		var was *object.Entry
		if !base.IsZero() && !sub.touched {
			var err error
			if was, err = w.Lookup(base, name); err != nil {
				return object.TreeID{}, err
			}
		}
		entry, err := sub.apply(w, was)
		if err != nil {
			return object.TreeID{}, fmt.Errorf("%s: %w", name, err)
		}
		changes = append(changes, object.Change{Name: name, Entry: entry})
	}
	if base.IsZero() {
		return w.PutDirectory((&object.Directory{}).With(changes))
	}
	return w.EditDirectory(base, changes)
}

// apply returns the entry of one name after the edits, nil where it is removed.
func (e *edits) apply(w treeWriter, was *object.Entry) (*object.Entry, error) {
	entry := was
	if e.touched {
		entry = e.entry
	}
	if entry == nil && !e.touched {
		return nil, errors.New("is not in the tree, but something below it is changed")
	}
	if entry == nil || entry.Kind != object.Dir {
		return entry, nil
	}
	tree, err := e.build(w, entry.Tree)
	if err != nil {
		return nil, err
	}
	out := *entry
	out.Tree = tree
	return &out, nil
}

// editsOf turns what the index has at the touched names into edits of the tree
// that it made up before. oldTree is what that tree has for a directory, zero
// for a new one.
func editsOf(tx *index.Tx, touched map[index.Slot]bool, oldTree func(object.FileID) (object.TreeID, error)) (*edits, error) {
	e := &edits{}
	puts := map[string]object.Entry{}
	for slot := range touched {
		path, err := tx.Path(slot)
		if err != nil {
			continue // its directory is gone
		}
		if n, ok := tx.Get(slot.Parent, slot.Name); ok {
			puts[path] = treeEntry(n)
		} else {
			e.remove(path)
		}
	}
	for path, entry := range puts {
		if entry.Kind == object.Dir {
			var err error
			if entry.Tree, err = oldTree(entry.ID); err != nil {
				return nil, err
			}
		}
		e.put(path, entry)
	}
	return e, nil
}

// treeEntry is the entry that the tree has for a node.
func treeEntry(n index.Node) object.Entry {
	e := withoutTree(n.Entry)
	e.Mode = mirroredMode(n.Mode, n.Kind)
	return e
}

func withoutTree(e object.Entry) object.Entry {
	e.Tree = object.TreeID{}
	return e
}
