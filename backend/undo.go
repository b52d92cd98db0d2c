package backend

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/silvermirror/smfs/backend/chunk"
	"github.com/silvermirror/smfs/backend/merge"
	"github.com/silvermirror/smfs/backend/object"
	"github.com/silvermirror/smfs/backend/store"
	"github.com/silvermirror/smfs/tags"
)

// Undo takes back the last batch of this mirror's own changes. It is a three-way
// merge: from after the batch to before it, carried over to what is now. So what
// has changed since, by whomever, stays, and an undo is itself a batch to undo.
func (e *Engine) Undo(ctx context.Context, o UndoOptions) (*Undone, error) {
	r, path, err := e.resourceAt(o.Path)
	if err != nil {
		return nil, err
	}
	if o.Last < 0 || o.Last > maxLast {
		return nil, fmt.Errorf("%w: the last %d batches; it takes up to %d", ErrInvalid, o.Last, maxLast)
	}
	var out *Undone
	err = r.do(ctx, func() error {
		err := r.refresh(ctx)
		if err == nil {
			out, err = r.undo(ctx, path, o.Last, o.DryRun)
		}
		return err
	})
	return out, err
}

// undo is Undo on the worker.
func (r *resource) undo(ctx context.Context, path string, last int, dryRun bool) (*Undone, error) {
	if err := r.publishNext(); err != nil {
		return nil, err
	}
	batches, err := r.lastBatches(path, last)
	if err != nil {
		return nil, err
	}
	w, err := r.store.NewBatch()
	if err != nil {
		return nil, err
	}
	defer w.Discard()
	id, head := r.headNow()
	u := &undoer{r: r, w: w, cover: head.FullCover(id), tree: head.Tree, out: &Undone{Resource: r.name}}
	for _, b := range batches {
		u.out.Batches = append(u.out.Batches, b.describe())
		for len(b) > 0 {
			n := 1 // that follow on each other: one step
			for n < len(b) && b[n-1].c.Parents[0] == b[n].id {
				n++
			}
			if err := u.takeBack(ctx, b[0], b[n-1].before); err != nil {
				return nil, err
			}
			b = b[n:]
		}
	}
	d, err := diffTrees(w, head.Tree, u.tree)
	if err != nil {
		return nil, err
	}
	u.out.Changes = r.changes(d)
	if len(u.out.Changes) == 0 {
		return nil, WithHint(fmt.Errorf("%w: what %q changed has changed again since, and stays as it is", ErrRefused, u.out.Batches[0].What),
			"`smfs log PATH` lists the versions of a file, `smfs restore PATH --at` brings one back")
	}
	if dryRun {
		return u.out, nil
	}
	if err := u.checkReadable(d); err != nil {
		return nil, err
	}
	id, err = r.commitTree(ctx, w, u.tree, byCommand("undo", undoMessage(u.out.Batches)))
	u.out.Commit = id.String()
	r.mu.Lock()
	defer r.mu.Unlock()
	u.out.Waiting = r.waitingList()
	return u.out, err
}

// maxLast is how many batches one undo takes back: its message names them all.
const maxLast = 500

// lastBatches finds what to undo at a path: the last batch, be it an undo, or, with
// a count, so many that are in effect: an undo and what it undid are not.
func (r *resource) lastBatches(path string, count int) ([]ownBatch, error) {
	var all []ownBatch
	var b ownBatch
	left := undoneRanges{}
	for o, err := range r.ownCommits() {
		if err != nil {
			return nil, err
		}
		out := count > 0 && left.out(o)
		if len(b) > 0 && !out && b.goesOn(o) {
			b = append(b, o)
			continue
		}
		if len(b) > 0 {
			if all = append(all, b); len(all) >= count {
				b = nil
				break
			}
			b = nil
		}
		if !out && !o.empty() && !o.startsAnew() && o.touches(path) {
			b = ownBatch{o}
		}
	}
	if len(b) > 0 {
		all = append(all, b)
	}
	if len(all) == 0 {
		where := "in " + r.name
		if path != "" {
			where = "at " + r.mirrorPath(path)
		}
		return nil, WithHint(fmt.Errorf("%w: nothing that this mirror changed %s can be undone", ErrNotFound, where),
			"what came from peers is undone where it was done; `smfs restore PATH` brings back any version")
	}
	for _, b := range all {
		if err := r.checkNotImport(b); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// undoneRanges leaves out undos and what they undid, on the way back through a
// mirror's own commits.
type undoneRanges struct {
	oldest map[string]string // of commits that were undone, by the newest
	until  string            // the range that is being left out ends there
}

func (u *undoneRanges) out(o *ownCommit) bool {
	id := o.id.String()
	if u.until == "" {
		u.until = u.oldest[id]
	}
	if u.until != "" {
		if u.until == id {
			u.until = ""
		}
		return true
	}
	if o.command != "undo" {
		return false
	}
	if u.oldest == nil {
		u.oldest = map[string]string{}
	}
	_, list, _ := strings.Cut(bodyOf(o.c.Message), undoneHead)
	for line := range strings.Lines(list) {
		oldest, newest, several := strings.Cut(strings.TrimSpace(line), undoneTo)
		if !several {
			newest = oldest
		}
		u.oldest[newest] = oldest
	}
	return true
}

// startsAnew tells a commit that records again, after a fork, what others before
// it did: no change.
func (o *ownCommit) startsAnew() bool { return strings.HasPrefix(o.c.Message, merge.RecordedAnew) }

// importPause is how long a commit of an import may take.
const importPause = time.Minute

// checkNotImport refuses to undo what was there when the mirror was made: nobody
// did that, and undoing it would delete all files.
func (r *resource) checkNotImport(b ownBatch) error {
	if b[0].program != "" || b[0].command != "" || b[0].kind != added {
		return nil
	}
	last := b[0]
	for o, err := range r.ownCommits() {
		switch {
		case err != nil:
			return err
		case o.c.Gen > b[0].c.Gen:
			continue
		case o.program != "" || o.command != "" || o.kind != added || last.at().Sub(o.at()) > importPause:
			return nil
		case len(o.c.Parents) == 0:
			return WithHint(fmt.Errorf("%w: the last change is that %s began, with the files that were there", ErrRefused, r.name),
				"undoing that would delete them all; `rm` does, if it is meant")
		}
		last = o
	}
	return nil
}

// What an undo's message has below its subject: a line for each batch, its oldest
// and its newest commit.
const (
	undoneHead = "Undone:"
	undoneTo   = " to "
)

// undoMessage is the commit message of an undo.
func undoMessage(batches []Batch) string {
	verb, what := "undo", batches[0].What
	if rest, ok := strings.CutPrefix(what, "undo "); ok {
		verb, what = "redo", rest
	} else if rest, ok := strings.CutPrefix(what, "redo "); ok {
		what = rest
	}
	subject := verb + " " + what
	if n := len(batches) - 1; n > 0 {
		subject += " and " + counted(n, "batch", "batches") + " before it"
	}
	body := undoneHead
	for _, b := range batches {
		body += "\n" + b.Commits[len(b.Commits)-1]
		if len(b.Commits) > 1 {
			body += undoneTo + b.Commits[0]
		}
	}
	return subject + "\n\n" + body
}

// undoer takes batches back, one step after the other.
type undoer struct {
	r     *resource
	w     *store.Batch
	cover object.Cover  // of the head
	tree  object.TreeID // what the head's has become
	out   *Undone
}

// takeBack carries the way from after a commit to an earlier tree over to the tree.
// The ids that it gives the sides settle what is a matter of taste to a merge for
// what is now: the lower one wins.
func (u *undoer) takeBack(ctx context.Context, newest *ownCommit, before object.TreeID) error {
	after := newest.c.Tree
	back, err := diffTrees(u.w, after, before)
	if err != nil {
		return err
	}
	since, err := diffTrees(u.w, after, u.tree)
	if err != nil {
		return err
	}
	if before, err = u.prepare(before, back, since); err != nil {
		return err
	}
	m, err := merge.Merge(ctx, u.w, after,
		merge.Side{Tree: u.tree, Cover: u.cover},
		merge.Side{Commit: object.CommitID{0: 0xff}, Tree: before, Cover: newest.c.FullCover(newest.id)})
	if err != nil {
		return fmt.Errorf("undo %s: %w", newest.id, err)
	}
	if u.tree, err = u.unmark(m); err != nil {
		return err
	}
	return u.skipKept(back)
}

// prepare makes of the tree to go back to what the merge is given. Content that was
// edited since stays as it is. Tags that come back get a dot that nobody has seen
// yet: by their old ones peers would know them as taken away.
func (u *undoer) prepare(before object.TreeID, back, since *treeDiff) (object.TreeID, error) {
	e := &edits{}
	newer := contents(since)
	dot := u.dot()
	change := func(at placed, was *object.Entry) {
		entry, put := at.Entry, false
		if s, ok := newer[entry.ID]; ok && was != nil && was.Blob != entry.Blob && s.Blob != entry.Blob && entry.Kind == was.Kind {
			entry.Blob, entry.Chunks, entry.Mtime, put = was.Blob, was.Chunks, was.Mtime, true
			u.skip(at.Path, "edited since")
		}
		for _, t := range entry.Tags {
			if was == nil || !was.Tags.Has(t.Name) {
				entry.Tags, put = entry.Tags.Without(t.Name).With(t.Name, dot), true
			}
		}
		if put {
			e.put(at.Path, entry)
		}
	}
	left := map[object.FileID]*object.Entry{}
	for i := range back.Removed {
		left[back.Removed[i].Entry.ID] = &back.Removed[i].Entry
	}
	for _, p := range back.Added {
		change(p, left[p.Entry.ID])
	}
	for _, p := range back.Changed {
		change(p.New, &p.Old.Entry)
	}
	return e.build(u.w, before)
}

// contents are the new contents of the files that a difference edits, by identity.
func contents(d *treeDiff) map[object.FileID]object.Entry {
	out := map[object.FileID]object.Entry{}
	left := map[object.FileID]object.Entry{}
	for _, p := range d.Removed {
		left[p.Entry.ID] = p.Entry
	}
	for _, p := range d.Added {
		if was, ok := left[p.Entry.ID]; ok && was.Blob != p.Entry.Blob {
			out[p.Entry.ID] = p.Entry
		}
	}
	for _, p := range d.Changed {
		if p.Old.Entry.Blob != p.New.Entry.Blob {
			out[p.New.Entry.ID] = p.New.Entry
		}
	}
	return out
}

// dot is that of the commit that the undo is going to be.
func (u *undoer) dot() tags.Dot {
	dot := tags.Dot{Writer: u.r.writer, Seq: 1}
	if tip, ok := u.cover.Get(u.r.writer); ok {
		dot.Seq = tip.Seq + 1
	}
	return dot
}

// unmark takes the marks away of names that were chosen of two: an undo leaves what
// was renamed since where it is, and that is no question to anybody. Other
// conflicts are reported.
func (u *undoer) unmark(m merge.Result) (object.TreeID, error) {
	e := &edits{}
	for _, c := range m.Conflicts {
		if c.ID != c.Of {
			u.out.Conflicts = append(u.out.Conflicts, u.r.mirrorPath(c.Path))
			continue
		}
		u.skip(c.Path, "renamed since")
		entry, err := findEntry(u.w, m.Tree, c.Path)
		if err != nil {
			return m.Tree, err
		}
		if entry != nil && entry.Conflict == c.ID {
			entry := *entry
			entry.Conflict = object.FileID{}
			e.put(c.Path, entry)
		}
	}
	return e.build(u.w, m.Tree)
}

// skipKept reports what the batch had made and is still there, since it or
// something in it was changed since.
func (u *undoer) skipKept(back *treeDiff) error {
	stays := map[object.FileID]bool{}
	for _, p := range back.Added {
		stays[p.Entry.ID] = true
	}
	for _, p := range back.Removed {
		if stays[p.Entry.ID] {
			continue
		}
		now, err := findEntry(u.w, u.tree, p.Path)
		if err != nil {
			return err
		}
		if now != nil && now.ID == p.Entry.ID {
			reason := "changed since"
			if now.Kind == object.Dir {
				reason = "something in it is newer"
			}
			u.skip(p.Path, reason)
		}
	}
	return nil
}

func (u *undoer) skip(path, reason string) {
	u.out.Skipped = append(u.out.Skipped, Skip{u.r.mirrorPath(path), reason})
}

// checkReadable reads what is going to be a version again, as restore does.
func (u *undoer) checkReadable(d *treeDiff) error {
	here := map[object.BlobID]bool{}
	for _, p := range d.Removed {
		here[p.Entry.Blob] = true // it moves, and is on disk
	}
	check := func(p placed) error {
		if p.Entry.Kind == object.Dir || here[p.Entry.Blob] {
			return nil
		}
		here[p.Entry.Blob] = true
		return u.r.readable(p.Path, chunk.Of(&p.Entry))
	}
	for _, p := range d.Added {
		if err := check(p); err != nil {
			return err
		}
	}
	for _, p := range d.Changed {
		if p.Old.Entry.Blob == p.New.Entry.Blob {
			continue
		}
		if err := check(p.New); err != nil {
			return err
		}
	}
	return nil
}

// changes lists what a difference does, by path.
func (r *resource) changes(d *treeDiff) []Change {
	var out []Change
	from := map[object.FileID]string{}
	for _, p := range d.Removed {
		from[p.Entry.ID] = p.Path
	}
	for _, p := range d.Added {
		c := Change{Action: "add", Path: r.mirrorPath(p.Path)}
		if was, ok := from[p.Entry.ID]; ok {
			delete(from, p.Entry.ID)
			c.Action, c.From = "rename", r.mirrorPath(was)
		}
		out = append(out, c)
	}
	for _, p := range d.Changed {
		out = append(out, Change{Action: "edit", Path: r.mirrorPath(p.New.Path)})
	}
	for _, p := range d.Removed {
		if from[p.Entry.ID] == p.Path {
			out = append(out, Change{Action: "delete", Path: r.mirrorPath(p.Path)})
		}
	}
	return out
}
