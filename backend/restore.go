package backend

import (
	"context"
	"fmt"
	"io"

	"github.com/silvermirror/smfs/backend/chunk"
	"github.com/silvermirror/smfs/backend/index"
	"github.com/silvermirror/smfs/backend/object"
)

// Restore brings an old version of a path back: as a new commit that peers
// get like any other change, or, with w, as bytes for the caller. Where files are
// missing that nobody deleted, these come back, unless a version is asked for: by At,
// or by a path in @history.
func (e *Engine) Restore(ctx context.Context, o RestoreOptions, w io.Writer) (*Restored, error) {
	if at, path, ok := inHistory(o.Path); ok {
		if at == "" || o.At != "" {
			return nil, WithHint(fmt.Errorf("%w: %s and a time of --at do not go together", ErrInvalid, o.Path), "a path below @history/TIME has its time already")
		}
		o.Path, o.At = path, at
	}
	r, path, err := e.resourceAt(o.Path)
	if err != nil {
		return nil, err
	}
	var back int
	var missing bool
	if err := r.do(ctx, func() error {
		err := r.refresh(ctx)
		if err == nil && len(r.missing) > 0 { // as it is now
			err = r.rescan(ctx)
		}
		if missing = r.isMissing(path); err == nil && w == nil {
			back, err = r.bringBack(ctx, path)
		}
		return err
	}); err != nil {
		return nil, err
	}
	head, _ := r.headNow()
	if o.At == "" && back > 0 {
		return &Restored{Commit: head.String(), Files: back}, nil
	}
	if o.At == "" && missing {
		o.At = head.String() // the newest that differs from what is there
	}
	id, entry, err := r.versionAt(ctx, path, o.At)
	if err != nil {
		return nil, err
	}
	if w != nil {
		if o.Archive {
			files, err := r.archive(ctx, entry, w)
			return &Restored{Commit: id.String(), Files: files}, err
		}
		return r.restoreTo(id, path, entry, w)
	}
	out := &Restored{Commit: id.String()}
	err = r.do(ctx, func() error {
		var err error
		out.Files, out.Removed, err = r.restore(ctx, path, *entry, id)
		return err
	})
	return out, err
}

func orWhole(path string) string {
	if path == "" {
		return "everything"
	}
	return path
}

// versionAt finds the entry that a path had at a commit or time; without one,
// the newest other version.
func (r *resource) versionAt(ctx context.Context, path, at string) (object.CommitID, *object.Entry, error) {
	if at != "" {
		id, c, err := r.commitAt(ctx, at)
		if err != nil {
			return id, nil, err
		}
		head, err := r.headTree()
		if err != nil {
			return id, nil, err
		}
		then, err := r.placeIn(c.Tree, head, path) // it may have been renamed since
		if err != nil {
			return id, nil, err
		}
		entry, err := findEntry(r.store, c.Tree, then)
		if err == nil && entry == nil {
			err = WithHint(fmt.Errorf("%w: %s has no %q at %.10s", ErrNotFound, r.name, path, id), "`smfs log` lists its versions")
		}
		return id, entry, err
	}
	return r.otherVersion(ctx, path)
}

// restoreTo writes the content of an old version to w.
func (r *resource) restoreTo(id object.CommitID, path string, e *object.Entry, w io.Writer) (*Restored, error) {
	if e.Kind != object.File {
		return nil, WithHint(fmt.Errorf("%w: %q was no regular file at %.10s", ErrInvalid, path, id), "--to takes a new name for a directory or a link")
	}
	content, _, err := r.store.OpenFile(chunk.Of(e))
	if err != nil {
		return nil, err
	}
	defer content.Close()
	if _, err := io.Copy(w, content); err != nil {
		return nil, fmt.Errorf("write old version of %s: %w", path, err)
	}
	return &Restored{Commit: id.String(), Files: 1}, nil
}

// restore makes the tree's entry at path what it was at a commit, on the worker.
// It returns how many files that brings back or changes, and how many it removes.
func (r *resource) restore(ctx context.Context, path string, was object.Entry, at object.CommitID) (files, removed int, err error) {
	then, err := r.store.Commit(at)
	if err != nil {
		return 0, 0, err
	}
	batch, err := r.store.NewBatch()
	if err != nil {
		return 0, 0, err
	}
	defer batch.Discard()
	head, err := r.headTree()
	if err != nil {
		return 0, 0, err
	}
	re := &restorer{r: r, w: batch, path: path, then: then.Tree}
	e := &edits{}
	err = r.index.View(func(tx *index.Tx) error {
		re.tx = tx
		if path == "" {
			return re.children(e, "", was.Tree, head)
		}
		now, err := findEntry(r.store, head, path)
		if err != nil {
			return err
		}
		if err := re.parents(e, path, head); err != nil {
			return err
		}
		return re.entry(e, path, was, now)
	})
	if err != nil {
		return 0, 0, err
	}
	_, err = r.commitEdits(ctx, e, byCommand("restore", fmt.Sprintf("restore %s from %.10s", orWhole(path), at)))
	return re.files, re.removed, err
}

// restorer turns an old entry into edits of the head.
type restorer struct {
	r       *resource
	tx      *index.Tx
	w       treeWriter
	path    string
	then    object.TreeID // that is gone back to
	files   int           // that are brought back or changed
	removed int           // files that were not there
}

// parents brings back the directories above a path that the head lacks.
func (re *restorer) parents(e *edits, path string, head object.TreeID) error {
	dir, _ := splitPath(path)
	if dir == "" {
		return nil
	}
	if err := re.parents(e, dir, head); err != nil {
		return err
	}
	now, err := findEntry(re.r.store, head, dir)
	if err != nil {
		return err
	}
	switch {
	case now == nil:
		id, err := object.NewFileID(re.r.random)
		if err != nil {
			return err
		}
		e.put(dir, object.Entry{Kind: object.Dir, ID: id, Mode: 0o755})
	case now.Kind != object.Dir:
		return fmt.Errorf("%w: %q is not a directory now; restore with --to, or move it away", ErrInvalid, dir)
	}
	return nil
}

// entry sets one name to what it was. What is there now keeps its identity and
// tags; an identity that lives on at another name is not used twice.
func (re *restorer) entry(e *edits, path string, was object.Entry, now *object.Entry) error {
	if was.Kind != object.Dir && (now == nil || now.Blob != was.Blob) {
		if err := re.r.readable(path, chunk.Of(&was)); err != nil {
			return err
		}
	}
	if now != nil && now.Kind == object.Dir && was.Kind != object.Dir {
		if err := re.gone(*now); err != nil {
			return err
		}
	}
	out := was
	out.Conflict, out.Tree = object.FileID{}, object.TreeID{}
	linked := false
	if now == nil || now.ID != was.ID {
		var err error
		if linked, err = re.linked(&out); err != nil {
			return err
		}
	}
	switch {
	case linked:
	case now != nil && now.Kind == was.Kind:
		out.ID, out.Tags, out.Tree = now.ID, now.Tags, now.Tree
		if err := re.otherNames(e, path, out); err != nil {
			return err
		}
	case len(re.tx.Slots(was.ID)) > 0:
		id, err := object.NewFileID(re.r.random)
		if err != nil {
			return err
		}
		out.ID = id
	}
	e.put(path, out)
	if was.Kind != object.Dir {
		re.files++
		return nil
	}
	var tree object.TreeID
	if now != nil && now.Kind == object.Dir {
		tree = now.Tree
	}
	return re.children(e, path, was.Tree, tree)
}

// otherNames sets the other names of a hard link as well: it is one file.
func (re *restorer) otherNames(e *edits, path string, out object.Entry) error {
	if out.Kind == object.Dir {
		return nil
	}
	for _, slot := range re.tx.Slots(out.ID) {
		other, err := re.tx.Path(slot)
		if err != nil {
			return err
		}
		if other != path {
			e.put(other, out)
		}
	}
	return nil
}

// linked tells whether an entry was another name then of a file that lives on, and
// that holds the same or is going to: it becomes one again.
func (re *restorer) linked(out *object.Entry) (bool, error) {
	if out.Kind == object.Dir {
		return false, nil
	}
	for _, slot := range re.tx.Slots(out.ID) {
		now, ok := re.tx.Get(slot.Parent, slot.Name)
		other, err := re.tx.Path(slot)
		if !ok || err != nil {
			return false, err
		}
		was, err := findEntry(re.r.store, re.then, other)
		if err != nil {
			return false, err
		}
		if was != nil && was.ID == out.ID && (within(other, re.path) || sameOnDisk(now.Entry, *out)) {
			out.Tags = now.Tags
			return true, nil
		}
	}
	return false, nil
}

// readable reads content that may be damaged before it becomes a version again:
// what cannot be written to disk must not be committed as if it were there.
func (r *resource) readable(path string, c chunk.Content) error {
	content, _, err := r.store.OpenFile(c)
	if err == nil {
		_, err = io.Copy(io.Discard, content)
		content.Close()
	}
	if err != nil {
		return WithHint(fmt.Errorf("%w: the old version of %q cannot be read: %w", ErrDamaged, path, err),
			"nothing was changed; `smfs log` lists other versions, and a peer's store may have this one")
	}
	return nil
}

// children sets a directory's entries to what they were.
func (re *restorer) children(e *edits, path string, was, now object.TreeID) error {
	if was == now {
		return nil
	}
	d := differ{src: re.r.store}
	old, err := d.entries(was)
	if err != nil {
		return err
	}
	cur, err := d.entries(now)
	if err != nil {
		return err
	}
	there := make(map[string]*object.Entry, len(cur))
	for i := range cur {
		there[cur[i].Name] = &cur[i]
	}
	for _, o := range old {
		n := there[o.Name]
		delete(there, o.Name)
		if n != nil && n.Kind == o.Kind && sameOnDisk(*n, o) && n.Tree == o.Tree {
			continue
		}
		if err := re.entry(e, join(path, o.Name), o, n); err != nil {
			return err
		}
	}
	for name, n := range there {
		e.remove(join(path, name))
		if err := re.gone(*n); err != nil {
			return err
		}
	}
	return nil
}

// gone counts the files of an entry that is taken away.
func (re *restorer) gone(e object.Entry) error {
	if e.Kind != object.Dir {
		re.removed++
		return nil
	}
	d := differ{src: re.r.store}
	list, err := d.entries(e.Tree)
	if err != nil {
		return err
	}
	for _, c := range list {
		if err := re.gone(c); err != nil {
			return err
		}
	}
	return nil
}
