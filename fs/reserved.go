package fs

import "github.com/silvermirror/smfs/fs/tree"

// Names at the mount's root that are not the user's.
const (
	tagsName    = "@tags"
	historyName = "@history"
	smfsName    = ".smfs"
)

// reserved reports a name of d that nobody may create, remove or rename.
func (d *DirNode) reserved(name string) bool {
	if tree.IsTemp(name) {
		return true
	}
	if !d.IsRoot() {
		return false
	}
	return name == tagsName || name == historyName || name == smfsName || name == d.m.stateDir
}

// isPlace reports a name of d that belongs to the layout: a resource's root, or
// a directory above one.
func (d *DirNode) isPlace(name string) bool { return d.place.child(name) != nil }
