package backend

import (
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/silvermirror/smfs/backend/object"
	"github.com/silvermirror/smfs/journal"
)

// ownCommit is one of this mirror's own commits, with what it changed.
type ownCommit struct {
	id      object.CommitID
	c       *object.Commit
	before  object.TreeID // its parent's tree
	diff    *treeDiff     // from before to its tree
	program string        // that its subject names
	command string        // of smfs, that made it; "": the committer
	kind    change
}

// ownCommits yields the commits that this mirror made, newest first, by the
// covers: what others made between them is not read.
func (r *resource) ownCommits() iter.Seq2[*ownCommit, error] {
	return func(yield func(*ownCommit, error) bool) {
		head, c := r.headNow()
		if c == nil {
			return
		}
		tip, ok := c.FullCover(head).Get(r.writer)
		for ok {
			o, err := r.ownCommit(tip.Commit)
			if !yield(o, err) || err != nil {
				return
			}
			tip, ok = o.c.Cover.Get(r.writer)
		}
	}
}

func (r *resource) ownCommit(id object.CommitID) (*ownCommit, error) {
	o := &ownCommit{id: id}
	var err error
	if o.c, err = r.store.Commit(id); err != nil {
		return nil, fmt.Errorf("read history of %s: %w", r.name, err)
	}
	if len(o.c.Parents) > 0 {
		p, err := r.store.Commit(o.c.Parents[0])
		if err != nil {
			return nil, fmt.Errorf("read history of %s: %w", r.name, err)
		}
		o.before = p.Tree
	}
	if o.diff, err = diffTrees(r.store, o.before, o.c.Tree); err != nil {
		return nil, err
	}
	o.program = programOf(o.c.Message)
	_, o.command = splitMessage(o.c.Message)
	o.kind = changeIn(o.diff)
	return o, nil
}

func (o *ownCommit) at() time.Time { return time.Unix(o.c.Time, 0) }
func (o *ownCommit) empty() bool   { return o.c.Tree == o.before }

// touches tells whether a commit changed something at a path or below.
func (o *ownCommit) touches(path string) bool {
	for _, list := range [][]placed{o.diff.Removed, o.diff.Added} {
		for _, p := range list {
			if within(p.Path, path) {
				return true
			}
		}
	}
	for _, p := range o.diff.Changed {
		if within(p.New.Path, path) {
			return true
		}
	}
	return path == ""
}

// changeIn tells what all of a difference is. Attributes of directories are no
// matter: unpacking an archive sets them after all else.
func changeIn(d *treeDiff) change {
	edits := 0
	for _, p := range d.Changed {
		if p.New.Entry.Kind != object.Dir {
			edits++
		}
	}
	switch n, m := len(d.Removed), len(d.Added); {
	case edits > 0 && n+m == 0:
		return edited
	case edits > 0 || n+m == 0:
		return mixed
	case m == 0:
		return removed
	case n == 0:
		return added
	}
	left := map[object.FileID]bool{}
	for _, p := range d.Removed {
		left[p.Entry.ID] = true
	}
	for _, p := range d.Added {
		if !left[p.Entry.ID] {
			return mixed
		}
		delete(left, p.Entry.ID)
	}
	if len(left) > 0 {
		return mixed
	}
	return moved
}

// ownBatch is own commits that were one thing to whoever did it, newest first.
type ownBatch []*ownCommit

// unnamedPause is deedPause where no program is known: without a mount.
const unnamedPause = 2 * time.Second

// goesOn tells whether an older commit belongs to the batch: the same program did
// the same kind of thing, without a pause. A second version of a file is a batch
// of its own.
func (b ownBatch) goesOn(older *ownCommit) bool {
	first := b[len(b)-1]
	if older.kind == mixed || older.kind != first.kind || older.command != "" || first.command != "" {
		return false
	}
	pause := first.at().Sub(older.at())
	if older.program != first.program {
		return pause <= deedPause && b.fills(older)
	}
	switch {
	case older.program == "":
		return pause <= unnamedPause && (older.kind == added || older.kind == removed)
	case older.kind == edited && b.editsAgain(older):
		return false
	}
	return pause <= deedPause
}

// fills tells whether all of the batch went into directories that an older commit
// made and had begun to fill: who made them, with mkdir, is another program than
// who fills them, and a commit of both names none.
func (b ownBatch) fills(older *ownCommit) bool {
	if older.kind != added || older.program != "" {
		return false
	}
	dirs, files := map[string]bool{}, false
	for _, p := range older.diff.Added {
		if p.Entry.Kind == object.Dir {
			dirs[p.Path] = true
		} else {
			files = true
		}
	}
	for _, o := range b {
		for _, p := range o.diff.Added {
			if !underAny(p.Path, dirs) {
				return false
			}
		}
	}
	return files
}

// editsAgain tells whether the batch has a later version of a file that an older
// commit edited.
func (b ownBatch) editsAgain(older *ownCommit) bool {
	files := map[object.FileID]bool{}
	for _, o := range b {
		for _, p := range o.diff.Changed {
			files[p.New.Entry.ID] = true
		}
	}
	return slices.ContainsFunc(older.diff.Changed, func(p pair) bool { return files[p.New.Entry.ID] })
}

// describe says what a batch was: its commit's subject, or what several did.
func (b ownBatch) describe() Batch {
	out := Batch{What: firstLine(b[0].c.Message), Program: b[0].program, Time: b[0].at()}
	for _, o := range b {
		out.Commits = append(out.Commits, o.id.String())
	}
	if len(b) == 1 {
		return out
	}
	files, dirs := map[object.FileID]bool{}, map[object.FileID]bool{}
	s := summary{}
	note := func(e object.Entry, path string) {
		if e.Kind == object.Dir {
			s.note("", path+"/", journal.Actor{}) // what is in it is all in there
			dirs[e.ID] = true
			return
		}
		s.note("", path, journal.Actor{})
		files[e.ID] = true
	}
	for _, o := range b {
		for _, list := range [][]placed{o.diff.Removed, o.diff.Added} {
			for _, p := range list {
				note(p.Entry, p.Path)
			}
		}
		for _, p := range o.diff.Changed {
			note(p.New.Entry, p.New.Path)
		}
	}
	what := map[change]string{removed: "removal", added: "addition", edited: "edit", moved: "renaming"}[b[0].kind]
	if out.Program != "" {
		what = out.Program
	}
	of := counted(len(files), "file", "files")
	if len(files) == 0 {
		of = counted(len(dirs), "directory", "directories")
	}
	out.What = what + " of " + of
	if s.dir != "" {
		out.What += " in " + s.dir + "/"
	}
	return out
}

func counted(n int, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprint(n, " ", more)
}
