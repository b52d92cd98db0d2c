package backend

import (
	"fmt"
	"strings"

	"github.com/silvermirror/smfs/backend/index"
	"github.com/silvermirror/smfs/backend/object"
	"github.com/silvermirror/smfs/journal"
)

// files compares the disk with the index by stat, as a scan does. What differs and
// is neither journaled nor waits was changed beside the mount, or with none: that
// is no damage, and a scan is going to find it.
func (f *fsck) files(r *resource) error {
	f.looking("%s: the files", r.name)
	s := &scanner{r: r, ctx: f.ctx}
	if err := r.index.View(func(tx *index.Tx) error {
		s.tx = tx
		if err := s.dir("", object.FileID{}); err != nil {
			return err
		}
		return s.finishReplaced()
	}); err != nil {
		return err
	}
	if s.err != nil {
		f.found(Finding{Resource: r.name, Part: "files", State: Noted, Text: "not all could be looked at: " + s.err.Error()})
	}
	var changed []string
	for suspects := append(s.found, s.missing...); len(suspects) > 0; {
		n := min(len(suspects), suspectsAtOnce)
		if err := r.do(f.ctx, func() error {
			list, err := r.unexplained(suspects[:n])
			changed = append(changed, list...)
			return err
		}); err != nil {
			return err
		}
		suspects = suspects[n:]
	}
	for i, text := range changed {
		if i == changesShown && i+1 < len(changed) {
			text = fmt.Sprintf("and %d more", len(changed)-i)
		}
		f.found(Finding{Resource: r.name, Part: "files", State: Noted, Text: text,
			Hint: "it was changed while nothing was mounted, or beside the mount; the next scan, as at a mount, commits it"})
		if i == changesShown {
			break
		}
	}
	return nil
}

const (
	suspectsAtOnce = 256 // looked at while the worker is held
	changesShown   = 20
)

// unexplained looks again, while nothing is committed or applied, at names that
// differed. The disk comes before the marks: what changes is marked first.
func (r *resource) unexplained(paths []string) (texts []string, err error) {
	err = r.index.View(func(tx *index.Tx) error {
		differs := map[string]string{}
		inodes := map[string]journal.FileKey{}
		for _, path := range paths {
			n, known := tx.Lookup(path)
			info, err := r.tree.Stat(path)
			kind, mirrored := kindOf(info)
			switch {
			case err != nil && !isAbsent(err), err != nil && !known:
				continue
			case err != nil:
				differs[path] = "is missing"
			case !known && mirrored && !r.skip(path, isDir(info)) && !r.keeps(tx, path, info):
				differs[path] = "is new"
			case !known:
				continue
			case !isNode(&n, kind, info):
				differs[path] = "is another file"
			case kind != object.Dir && (diskInfo(n).Size != info.Size || n.Entry.Mtime != info.Mtime):
				differs[path] = "has another size or time"
			}
			inodes[path] = info.Key
		}
		known := r.explanations()
		for _, path := range paths {
			if text := differs[path]; text != "" && !known.has(path, inodes[path]) {
				texts = append(texts, r.mirrorPath(path)+" "+text)
			}
		}
		return nil
	})
	return texts, err
}

// explanations are the names and inodes that may differ: marked, waiting, or
// known to be missing.
type explanations struct {
	paths  map[string]bool
	inodes map[journal.FileKey]bool
}

func (r *resource) explanations() explanations {
	e := explanations{map[string]bool{}, map[journal.FileKey]bool{}}
	for _, m := range r.journal.Snapshot(r.name) {
		if m.Inode != (journal.FileKey{}) {
			e.inodes[m.Inode] = true
		} else {
			e.paths[m.Path] = true
		}
	}
	for path := range r.missing {
		e.paths[path] = true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for path := range r.waiting {
		e.paths[path] = true
	}
	return e
}

// has tells whether a name, or a directory above it, may differ.
func (e explanations) has(path string, inode journal.FileKey) bool {
	if e.inodes[inode] {
		return true
	}
	for ; path != ""; path = path[:max(strings.LastIndexByte(path, '/'), 0)] {
		if e.paths[path] {
			return true
		}
	}
	return e.paths[""]
}
