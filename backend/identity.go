package backend

import (
	"errors"
	"fmt"
	"sort"

	"github.com/silvermirror/smfs/backend/index"
	"github.com/silvermirror/smfs/backend/object"
	"github.com/silvermirror/smfs/fs/tree"
	"github.com/silvermirror/smfs/journal"
	"github.com/silvermirror/smfs/tags"
)

// limbo is the parent of index nodes whose name was taken by another file
// while it is not yet known where they went. No real directory has this id.
var limbo = object.Reserved

// origin says where the identity of the file now at a name comes from.
type origin struct {
	id     object.FileID
	from   *index.Slot // the name it moved away from, if it moved
	node   *index.Node // what the index knew of the file, if anything
	tags   tags.Set    // of a fresh id that replaces one name of a hard link
	minted bool
}

// identify finds the FileID of the file that is at a name. The rules, in order:
//
//   - the same inode as before: the same file;
//   - an inode that the index knows at other names: a hard link if one of them
//     still has it, else the file has moved here, except that
//   - a file renamed over another takes the identity of the one it replaces, so
//     that an editor's save through a temporary is an edit (the replaced one
//     must be gone, and must have had one name: else a fresh id with its tags);
//   - a file whose old name was filled again by a new inode leaves its identity
//     there (an editor's save that first renames the old version away);
//   - a new inode at the name of a file keeps that file's id under the same
//     conditions;
//   - a new inode at the name that a file had moved to, which is gone since, is
//     that file: it was edited there;
//   - else the file is new. A directory that the index knows by its inode is that
//     one wherever it is; a new one takes the place of one that is gone, unless
//     that was taken away: all that was in it went with it.
func (c *committer) identify(s *seen, kind object.Kind, cur index.Node, had bool) (origin, error) {
	if had && cur.Kind == kind && sameKey(cur, s.info) && c.isOne(cur, s.info.Key) {
		return origin{id: cur.ID, node: &cur}, nil
	}
	known, from, linked, err := c.known(s, kind)
	if err != nil {
		return origin{}, err
	}
	replaces := had && cur.Kind == kind && kind != object.Dir
	switch {
	case known != nil && linked:
		return origin{id: known.ID, node: known}, nil
	case known != nil && kind == object.Dir:
		return origin{id: known.ID, from: from, node: known}, nil
	case known != nil && replaces && !c.here[cur.Key]:
		return c.replace(cur, known)
	case known != nil && c.refilled[known.ID]:
		return c.mint(nil)
	case known != nil:
		return origin{id: known.ID, from: from, node: known}, nil
	case replaces:
		return c.replace(cur, nil)
	case had && cur.Kind == kind && !c.here[cur.Key] && !s.takenAway(): // of a directory
		if c.moving {
			return origin{}, errUnplaced
		}
		return origin{id: cur.ID, node: &cur}, nil
	}
	if gone, from := c.wentThrough(s, kind); gone != nil {
		if len(c.tx.Slots(gone.ID)) > 1 {
			return c.mint(gone.Tags)
		}
		return origin{id: gone.ID, from: from, node: gone}, nil
	}
	return c.mint(nil)
}

// wentThrough finds the file that was renamed to the name and replaced there
// before anybody looked, and the name that it had before.
func (c *committer) wentThrough(s *seen, kind object.Kind) (*index.Node, *index.Slot) {
	for _, key := range s.arrived {
		if c.here[key] {
			continue
		}
		for _, slot := range c.tx.ByKey(key) {
			n, ok := c.tx.Get(slot.Parent, slot.Name)
			if !ok || n.Kind != kind || kind == object.Dir || c.refilled[n.ID] {
				continue
			}
			path, err := c.tx.Path(slot)
			if at, _, err := c.whether(slot, path, err == nil, key); err == nil && at == left {
				return &n, &slot
			}
		}
	}
	return nil, nil
}

// isOne tells whether a name, whose inode the index does not know if it was made
// anew, is one of the file that it was: of a hard link's names those are that
// share an inode. Where they share none any more the most have it, or the first.
func (c *committer) isOne(cur index.Node, key journal.FileKey) bool {
	slots := c.tx.Slots(cur.ID)
	if cur.Key != (journal.FileKey{}) || cur.Kind == object.Dir || len(slots) == 1 {
		return true
	}
	names := map[journal.FileKey]int{}
	var most journal.FileKey
	sort.Slice(slots, func(i, j int) bool { return slots[i].Name < slots[j].Name })
	for _, slot := range slots {
		n, ok := c.tx.Get(slot.Parent, slot.Name)
		if !ok {
			continue
		}
		if n.Key != (journal.FileKey{}) {
			return n.Key == key // settled before
		}
		path, err := c.tx.Path(slot)
		if err != nil {
			continue
		}
		info, err := c.r.tree.Stat(path)
		if err != nil {
			continue
		}
		if names[info.Key]++; names[info.Key] > names[most] {
			most = info.Key
		}
	}
	return most == key
}

// replace gives the identity of cur to the file that took its name. content is
// what the index knows of the new file's bytes, if anything.
func (c *committer) replace(cur index.Node, content *index.Node) (origin, error) {
	if len(c.tx.Slots(cur.ID)) > 1 {
		return c.mint(cur.Tags)
	}
	node := cur
	if content != nil {
		node.Blob, node.Chunks, node.Key, node.Size, node.Mtime, node.Ctime, node.Uncertain =
			content.Blob, content.Chunks, content.Key, content.Size, content.Entry.Mtime, content.Ctime, content.Uncertain
	}
	return origin{id: cur.ID, node: &node}, nil
}

func (c *committer) mint(t tags.Set) (origin, error) {
	id, err := object.NewFileID(c.r.random)
	if err != nil {
		return origin{}, fmt.Errorf("mint file id: %w", err)
	}
	return origin{id: id, tags: t, minted: true}, nil
}

// known looks the inode up in the index. linked tells that another name still
// has it; else from is a name that it has left.
func (c *committer) known(s *seen, kind object.Kind) (node *index.Node, from *index.Slot, linked bool, err error) {
	for _, slot := range c.tx.ByKey(s.info.Key) {
		n, ok := c.tx.Get(slot.Parent, slot.Name)
		if !ok || n.Kind != kind {
			continue
		}
		path, perr := c.tx.Path(slot)
		if perr == nil && path == s.path {
			continue
		}
		switch at, _, err := c.whether(slot, path, perr == nil, s.info.Key); {
		case err != nil:
			return nil, nil, false, err
		case at == unsure, at == holds && kind == object.Dir:
			return nil, nil, false, errUnplaced
		case at == holds:
			return &n, nil, true, nil
		}
		node, from = &n, &slot
	}
	return node, from, false, nil
}

// presence tells whether a slot of the index holds its file.
type presence int

const (
	unsure presence = iota // the slot's directory has moved to where it is not settled yet
	holds
	left
)

// whether tells whether a slot, of that path if it has one, still holds the
// inode, and its stat if so. The path may lead to another directory by now: the
// slot's own decides.
func (c *committer) whether(slot index.Slot, path string, ok bool, key journal.FileKey) (presence, tree.Info, error) {
	if !ok {
		if slot.Parent != limbo && c.moving {
			return unsure, tree.Info{}, nil
		}
		return left, tree.Info{}, nil
	}
	dir, _ := splitPath(path)
	parent, ok := c.tx.Lookup(dir)
	if !ok {
		return unsure, tree.Info{}, nil
	}
	info, err := c.r.tree.StatIn(tree.Slot{Path: path, Dir: parent.Key})
	switch {
	case err == nil && info.Key == key:
		return holds, info, nil
	case err == nil, isAbsent(err):
		return left, info, nil
	case errors.Is(err, tree.ErrNotDirectory):
		return unsure, info, nil
	case !errors.Is(err, tree.ErrChanged):
		return unsure, info, err
	}
	if !c.moving && underAny(dir, c.vacant) {
		return left, info, nil // the directory is gone, and the name with it
	}
	return unsure, info, nil
}

// survey notes, before anything is changed, which inodes are where, which
// names have lost what they had, which names of known files were filled again
// by new inodes, and where the directories were.
func (c *committer) survey(list []seen) {
	c.here = map[journal.FileKey]bool{}
	c.refilled = map[object.FileID]bool{}
	c.oldPath = map[object.FileID]string{}
	c.vacant = map[string]bool{}
	for i := range list {
		s := &list[i]
		cur, had := c.tx.Lookup(s.path)
		if had && (s.present && !sameKey(cur, s.info) || !s.present && s.deed()) {
			c.vacant[s.path] = true
		}
		if !s.present {
			continue
		}
		c.here[s.info.Key] = true
		if isDir(s.info) {
			c.noteDir(s.path, s.info)
			continue
		}
		if had && cur.Kind != object.Dir && cur.Key != s.info.Key && len(c.tx.ByKey(s.info.Key)) == 0 {
			c.refilled[cur.ID] = true
		}
	}
}

func (c *committer) noteDir(path string, info tree.Info) {
	if n, ok := c.tx.Lookup(path); ok && n.Kind == object.Dir {
		c.oldPath[n.ID] = path
	}
	for _, slot := range c.tx.ByKey(info.Key) {
		n, ok := c.tx.Get(slot.Parent, slot.Name)
		if !ok || n.Kind != object.Dir {
			continue
		}
		if p, err := c.tx.Path(slot); err == nil {
			c.oldPath[n.ID] = p
		}
	}
}

// sameKey tells whether the node is the inode; a node whose inode is not known
// yet, because the index was made anew, may be.
func sameKey(n index.Node, info tree.Info) bool {
	return n.Key == info.Key || n.Key == (journal.FileKey{})
}
