package backend

import (
	"errors"
	"maps"
	"os"
	"slices"
	"sort"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/silvermirror/smfs/backend/index"
	"github.com/silvermirror/smfs/backend/object"
	"github.com/silvermirror/smfs/fs/tree"
	"github.com/silvermirror/smfs/journal"
)

// seen is what the backing directory has at one path that may have changed.
type seen struct {
	path    string
	kinds   journal.KindSet
	actor   journal.Actor
	arrived []journal.FileKey // that were renamed here, as far as the mark tells
	present bool
	info    tree.Info // where present
	mark    string    // of the file, where it has one beside that of the path
	walked  string    // the new directory that it was found in, where it has no mark
	partly  bool      // a new directory in which the walk has not come to the end
}

// also counts what is marked of the file as marked of the name.
func (s *seen) also(m journal.Mark) {
	s.kinds |= m.Kinds
	s.mark = m.Path
}

// deed tells whether a missing path was taken away by somebody: through the
// mount, or while a complete scan of a healthy root found it gone. Without a
// deed a missing path is no delete (invariant 2).
func (s *seen) deed() bool { return s.takenAway() || s.kinds.Has(journal.KindFound) }

// takenAway tells whether somebody took away what was at the path.
func (s *seen) takenAway() bool {
	return s.kinds.Has(journal.KindUnlink) || s.kinds.Has(journal.KindRmdir) || s.kinds.Has(journal.KindRename)
}

// observation is a consistent look at all marked paths: no operation on any of
// them, or on a directory above, was under way or began while it was taken.
type observation struct {
	seen   []seen         // sorted by path, so parents come before children
	marks  []journal.Mark // those that the look covers, to be cleared once committed
	inodes []journal.Mark // all there are of files with several names
	moving bool           // a name that something was renamed to or from is not covered
	more   bool           // there is more to look at than one commit takes
	failed map[string]error
}

// observe looks at every path of due, a subset of all marks. New directories
// are walked, since not every name in them needs to have a mark of its own.
func (r *resource) observe(tx *index.Tx, all, due []journal.Mark) *observation {
	o := &observation{failed: map[string]error{}}
	at := map[string]seen{}
	for _, m := range due {
		if m.Busy {
			continue
		}
		if aside, _, _ := strings.Cut(m.Path, "/"); tree.IsTemp(aside) {
			if _, there := tx.Lookup(aside); there {
				continue // it was moved out of the way by an apply, which gives it a name again
			}
		}
		if m.Path == "" || m.Inode != (journal.FileKey{}) || r.skip(m.Path, false) && r.skip(m.Path, true) {
			o.marks = append(o.marks, m)
			continue
		}
		info, err := r.tree.Stat(m.Path)
		switch {
		case err == nil:
			at[m.Path] = seen{path: m.Path, kinds: m.Kinds, actor: m.Actor, arrived: m.Arrived, present: true, info: info}
		case errors.Is(err, os.ErrNotExist):
			at[m.Path] = seen{path: m.Path, kinds: m.Kinds, actor: m.Actor}
		case errors.Is(err, tree.ErrNotDirectory):
			continue // a directory above is changing
		default:
			o.failed[m.Path] = err
			continue
		}
		o.marks = append(o.marks, m)
	}
	w := &walker{
		r: r, tx: tx, all: all, at: at, failed: o.failed, done: map[string]bool{}, next: map[string]bool{},
		names: r.atOnce + r.stayed, bytes: commitBytes,
	}
	for _, s := range snapshotOf(at) {
		w.walk(s, s.path)
	}
	o.more = w.full()
	o.drop(w.next, at)
	r.remember(o, all, at)
	now := r.journal.Snapshot(r.name)
	o.keepStable(now, all, at)
	o.more = o.more || len(r.finds.paths) > 0
	o.moving = o.more || r.uncoveredRename(now, o.marks)
	o.inodes = slices.DeleteFunc(now, func(m journal.Mark) bool { return m.Inode == journal.FileKey{} })
	o.seen = snapshotOf(at)
	return o
}

// uncoveredRename tells whether something may have been renamed to a name that
// the look does not cover. Files that wait since they are open are no such
// names: they were looked at.
func (r *resource) uncoveredRename(now, covered []journal.Mark) bool {
	set := make(map[string]bool, len(covered))
	for _, m := range covered {
		set[m.Path] = true
	}
	for _, m := range now {
		if m.Kinds.Has(journal.KindRename) && !set[m.Path] && r.looks[m.Path] == nil {
			return true
		}
	}
	return false
}

// remember marks what a walk could not look at: a new directory that cannot be
// read is left out, with a mark of its own, or nobody would walk it again. What
// has one gets no other: each wakes the worker.
func (r *resource) remember(o *observation, all []journal.Mark, at map[string]seen) {
	marked := map[string]bool{}
	for _, m := range all {
		marked[m.Path] = true
	}
	for path := range o.failed {
		delete(at, path)
		if marked[path] {
			continue
		}
		if err := r.journal.Found(r.name, path); err != nil {
			r.report(path, err)
		}
	}
	if len(o.failed) > 0 {
		r.retryLater()
	}
}

func snapshotOf(at map[string]seen) []seen {
	list := make([]seen, 0, len(at))
	for _, s := range at {
		list = append(list, s)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].path < list[j].path })
	return list
}

// unknownDir tells whether the index does not know all that is in a directory:
// nothing of it, neither here nor, by its inode, elsewhere, or some names could
// not be settled when it was walked (stays).
func (r *resource) unknownDir(tx *index.Tx, s seen) bool {
	if n, ok := tx.Lookup(s.path); ok && n.Kind == object.Dir && sameKey(n, s.info) {
		return n.Uncertain
	}
	slots := tx.ByKey(s.info.Key)
	for _, slot := range slots {
		if n, ok := tx.Get(slot.Parent, slot.Name); ok && n.Uncertain {
			return true
		}
	}
	return len(slots) == 0
}

// One commit takes this much of what walks find, in names and in bytes, a single
// file apart; the next one takes more. So a small change beside a large import
// does not wait for all of it, nor does memory have to hold it, nor is all of it
// to be done again after a crash.
const (
	commitNames = 10_000
	commitBytes = 256 << 20
)

// walker adds to at what is in directories that the index does not know.
type walker struct {
	r      *resource
	tx     *index.Tx
	all    []journal.Mark
	at     map[string]seen
	failed map[string]error
	done   map[string]bool // directories that were walked
	next   map[string]bool // marked ones that are left for the next commit
	names  int             // and bytes: to be added at most
	bytes  int64
	actors map[string]journal.Actor // by the paths of all marks; nil: not looked up yet
}

// actorOf is who made what a walk has found: its own mark says so, if it is not due
// yet, else it came with its directory.
func (w *walker) actorOf(path string, dir seen) journal.Actor {
	if w.actors == nil {
		w.actors = make(map[string]journal.Actor, len(w.all))
		for _, m := range w.all {
			w.actors[m.Path] = m.Actor
		}
	}
	if a, ok := w.actors[path]; ok {
		return a
	}
	return dir.actor
}

// full tells whether the commit takes no more.
func (w *walker) full() bool { return w.names <= 0 || w.bytes <= 0 }

// leave leaves all that is in a directory for the next commit: with the directory,
// where that has a mark.
func (w *walker) leave(dir seen) {
	if dir.walked == "" {
		w.next[dir.path] = true
	} else {
		w.leavePartly(dir)
	}
}

// leavePartly leaves what is still to be walked in a directory.
func (w *walker) leavePartly(dir seen) {
	dir.partly = true
	w.at[dir.path] = dir
}

// walk adds what is below a name, if that is such a directory, and not settled
// yet. root is where the walk began.
func (w *walker) walk(dir seen, root string) {
	if w.done[dir.path] || !dir.present || !isDir(dir.info) || !w.r.unknownDir(w.tx, dir) {
		return
	}
	if w.full() {
		w.leave(dir)
		return
	}
	w.done[dir.path] = true
	names, err := w.r.tree.ReadDir(dir.path)
	if err != nil {
		if !errors.Is(err, os.ErrNotExist) && !errors.Is(err, tree.ErrNotDirectory) { // that is a change with a mark of its own
			w.failed[dir.path] = err
		}
		return
	}
	id, known := w.knownAs(dir)
	for _, n := range names {
		if w.full() {
			w.leavePartly(dir)
			return
		}
		path := join(dir.path, n.Name)
		s, marked := w.at[path]
		if !marked {
			info, err := w.r.tree.Stat(path)
			if isAbsent(err) {
				continue // gone again: its removal has a mark of its own
			}
			if err != nil {
				w.failed[path] = err
				continue
			}
			if w.r.skip(path, isDir(info)) {
				continue
			}
			node, had := w.tx.Get(id, n.Name)
			had = had && known
			if had && isRecorded(&node, info) {
				continue
			}
			s = seen{path: path, kinds: dir.kinds, actor: w.actorOf(path, dir), present: true, info: info, walked: root}
			w.at[path] = s
			if _, mirrored := kindOf(info); mirrored && (!had || node.Kind != object.Dir) { // else it is met each time
				w.names--
				w.bytes -= info.Size
			}
		}
		w.walk(s, root)
	}
}

// knownAs is the id of a directory that was walked before, but not to the end.
func (w *walker) knownAs(dir seen) (object.FileID, bool) {
	n, ok := w.tx.Lookup(dir.path)
	return n.ID, ok && n.Kind == object.Dir && n.Key == dir.info.Key
}

// keepStable drops every path on which an operation began after the marks were
// taken: both halves of a rename under way are left for the next look.
func (o *observation) keepStable(now, before []journal.Mark, at map[string]seen) {
	gen := make(map[string]uint64, len(before))
	for _, m := range before {
		gen[m.Path] = m.Gen
	}
	moving := map[string]bool{}
	for _, m := range now {
		if g, ok := gen[m.Path]; m.Busy || ok && g != m.Gen || !ok {
			moving[m.Path] = true
		}
	}
	o.drop(moving, at)
}

// drop leaves what is at and below paths for the next look.
func (o *observation) drop(paths map[string]bool, at map[string]seen) {
	if len(paths) == 0 {
		return
	}
	maps.DeleteFunc(at, func(path string, _ seen) bool { return underAny(path, paths) })
	o.marks = slices.DeleteFunc(o.marks, func(m journal.Mark) bool { return underAny(m.Path, paths) })
}

func underAny(path string, set map[string]bool) bool {
	for {
		if set[path] {
			return true
		}
		i := strings.LastIndexByte(path, '/')
		if i < 0 {
			return false
		}
		path = path[:i]
	}
}

func isDir(i tree.Info) bool { return i.Mode&unix.S_IFMT == unix.S_IFDIR }

// kindOf maps a file type to an entry's kind; false for what is not mirrored.
func kindOf(i tree.Info) (object.Kind, bool) {
	switch i.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return object.File, true
	case unix.S_IFDIR:
		return object.Dir, true
	case unix.S_IFLNK:
		return object.Symlink, true
	}
	return 0, false
}
