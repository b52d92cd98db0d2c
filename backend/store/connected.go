package store

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/silvermirror/smfs/backend/chunk"
	"github.com/silvermirror/smfs/backend/object"
)

// maxTarget is the longest target of a symbolic link that Linux takes.
const maxTarget = 4095

// checkedDir is a directory that was checked, as a root or below one.
type checkedDir struct {
	id   object.TreeID
	root bool
}

// CheckConnected checks that everything reachable from head is here and well
// formed: each commit's generation and cover follow from its parents', every
// directory decodes and validates, each entry's content is there and of the
// right type. It stops at what the store has, which is complete (see Batch), and
// was not sent: what was lost here may come back with what the store still has.
// Signatures are the caller's to verify. The error wraps ErrMissing,
// ErrWrongType or object.ErrInvalid and names the object.
//
// A commit of plain git is checked for connection alone: its trees are not
// directories until somebody imports them.
func (in *Incoming) CheckConnected(head object.CommitID) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	isNew := func(id object.CommitID) bool { return !in.checked[id] && in.isNew(id) }
	commits, err := in.parentsFirst([]object.CommitID{head}, isNew)
	if err != nil {
		return fmt.Errorf("check history of %s: %w", head, err)
	}
	if len(commits) == 0 && !in.checked[head] {
		if _, err := in.store.Commit(head); err != nil {
			return fmt.Errorf("check history of %s: %w", head, err)
		}
	}
	for _, id := range commits {
		if err := in.checkCommit(id); err != nil {
			return fmt.Errorf("check commit %s: %w", id, err)
		}
		in.checked[id] = true
	}
	return nil
}

func (in *Incoming) checkCommit(id object.CommitID) error {
	c, err := in.Commit(id)
	if err != nil {
		return err
	}
	in.need(id)
	parents := make([]*object.Commit, len(c.Parents))
	var all, bases []object.TreeID // bases: those that were checked as directories
	for i, p := range c.Parents {
		if parents[i], err = in.Commit(p); err != nil {
			return err
		}
		all = append(all, parents[i].Tree)
		if !parents[i].Foreign() {
			bases = append(bases, parents[i].Tree)
		}
	}
	if c.Foreign() {
		return in.checkRaw(c.Tree, all)
	}
	if err := checkDescent(c, parents); err != nil {
		return err
	}
	return in.checkDir(checkedDir{c.Tree, true}, bases, 0)
}

// checkDescent computes again what a commit claims about its history.
func checkDescent(c *object.Commit, parents []*object.Commit) error {
	var gen uint64
	var cover object.Cover
	for i, p := range parents {
		gen = max(gen, p.Gen)
		var err error
		if cover, err = cover.Union(p.FullCover(c.Parents[i])); err != nil {
			return err
		}
	}
	if c.Gen != gen+1 {
		return fmt.Errorf("%w: generation %d after %d", object.ErrInvalid, c.Gen, gen)
	}
	if !c.Cover.Equal(cover) {
		return fmt.Errorf("%w: its cover is not the union of its parents'", object.ErrInvalid)
	}
	if before, ok := cover.Get(c.Writer); ok && before.Seq >= c.Seq {
		return fmt.Errorf("%w: number %d of %s after %d", object.ErrInvalid, c.Seq, c.Writer, before.Seq)
	}
	return nil
}

// need marks an object of the quarantine as one that a commit needs, and
// reports whether it is in the quarantine.
func (in *Incoming) need(id [20]byte) bool {
	i, ok := in.own.idx.search(id)
	if ok {
		in.needed[i] = true
	}
	return ok
}

// isNew tells whether an object was sent or the store does not have it.
func (in *Incoming) isNew(id [20]byte) bool {
	_, sent := in.own.idx.search(id)
	return sent || !in.store.Has(id)
}

// marking reads the parts of a directory and marks them.
type marking struct{ in *Incoming }

func (m marking) ReadTree(id object.TreeID, max int64) ([]byte, error) {
	m.in.need(id)
	return m.in.ReadTree(id, max)
}

func (m marking) ReadBlob(id object.BlobID, max int64) ([]byte, error) {
	m.in.need(id)
	return m.in.ReadBlob(id, max)
}

// checkDir checks a directory and all below it. Bases are those at its place
// in the parents, which are complete: what they share is not looked at again.
func (in *Incoming) checkDir(dir checkedDir, bases []object.TreeID, depth int) error {
	if in.checkedDirs[dir] || slices.Contains(bases, dir.id) {
		return nil
	}
	if depth > maxDirDepth {
		return fmt.Errorf("directory %s: %w: nested too deep", dir.id, object.ErrInvalid)
	}
	d, err := object.DecodeDirectory(marking{in}, dir.id)
	if err != nil {
		return err
	}
	validate := d.ValidateChild
	if dir.root {
		validate = d.ValidateRoot
	}
	if err := validate(); err != nil {
		return fmt.Errorf("directory %s: %w", dir.id, err)
	}
	if in.isNew(dir.id) {
		if err := in.checkEntries(d, in.baseDirs(bases), depth); err != nil {
			return err
		}
	}
	in.checkedDirs[dir] = true
	return nil
}

// baseDirs decodes the bases. Those that are no directories (plain git made
// them) save no work.
func (in *Incoming) baseDirs(bases []object.TreeID) []*object.Directory {
	var dirs []*object.Directory
	for _, b := range bases {
		if d, err := in.Directory(b); err == nil {
			dirs = append(dirs, d)
		}
	}
	return dirs
}

func (in *Incoming) checkEntries(d *object.Directory, bases []*object.Directory, depth int) error {
	for i := range d.Entries {
		e := &d.Entries[i]
		same, subs := inBases(e, bases)
		if same {
			continue
		}
		var err error
		switch e.Kind {
		case object.Dir:
			err = in.checkDir(checkedDir{e.Tree, false}, subs, depth+1)
		case object.Symlink:
			err = in.checkTarget(e.Blob)
		default:
			err = in.checkFile(chunk.Of(e))
		}
		if err != nil {
			return fmt.Errorf("%q: %w", e.Name, err)
		}
	}
	return nil
}

func inBases(e *object.Entry, bases []*object.Directory) (same bool, subs []object.TreeID) {
	for _, b := range bases {
		old, ok := b.Lookup(e.Name)
		if !ok || old.Kind != e.Kind {
			continue
		}
		if old.Blob == e.Blob && old.Tree == e.Tree {
			return true, nil
		}
		if e.Kind == object.Dir {
			subs = append(subs, old.Tree)
		}
	}
	return false, subs
}

func (in *Incoming) checkBlob(id object.BlobID) error {
	in.need(id)
	if !in.Has(id) {
		return fmt.Errorf("%w: %s", ErrMissing, id)
	}
	kind, err := in.Type(id)
	if err == nil && kind != object.TypeBlob {
		err = fmt.Errorf("%w: %s is a %s, not a blob", ErrWrongType, id, kind)
	}
	return err
}

// checkFile checks that a file's content is here, in the one form that it has.
// Chunks of which a base has the list are complete, as all that the store has.
func (in *Incoming) checkFile(c chunk.Content) error {
	if err := in.checkBlob(c.Blob); err != nil {
		return err
	}
	size, err := in.blobSize(c.Blob)
	if err != nil {
		return err
	}
	if c.List.IsZero() && size > chunk.Threshold {
		return fmt.Errorf("%w: %s has %d bytes and is not in chunks", object.ErrInvalid, c.Blob, size)
	}
	if c.List.IsZero() && !chunk.MayPoint(size) {
		return nil
	}
	pointer, err := in.ReadBlob(c.Blob, chunk.Threshold)
	if err != nil {
		return err
	}
	size, list, points := chunk.ParsePointer(pointer)
	if !points && c.List.IsZero() {
		return nil
	}
	if list != c.List {
		return fmt.Errorf("%w: %s points to the chunks %s, not %s", object.ErrInvalid, c.Blob, list, c.List)
	}
	n, err := chunk.Walk(marking{in}, c.List, listCheck{in})
	if err == nil && n != size {
		err = fmt.Errorf("%w: %d bytes in chunks, not %d", object.ErrInvalid, n, size)
	}
	return err
}

// listCheck checks the parts of a list of chunks. Nodes that the store has, and
// that were not sent, are complete.
type listCheck struct{ in *Incoming }

func (c listCheck) Node(id object.TreeID) (bool, error) { return c.in.isNew(id), nil }

func (c listCheck) Chunk(id object.BlobID, size int64) error {
	if err := c.in.checkBlob(id); err != nil {
		return err
	}
	n, err := c.in.blobSize(id)
	if err == nil && n != size {
		err = fmt.Errorf("%w: chunk %s has %d bytes, not %d", object.ErrInvalid, id, n, size)
	}
	return err
}

func (in *Incoming) checkTarget(id object.BlobID) error {
	in.need(id)
	target, err := in.ReadBlob(id, maxTarget)
	if err != nil {
		return err
	}
	if len(target) == 0 || bytes.IndexByte(target, 0) >= 0 {
		return fmt.Errorf("%w: target of a symbolic link is empty or has a NUL", object.ErrInvalid)
	}
	return nil
}

// checkRaw checks that a tree of plain git is here with all below it.
func (in *Incoming) checkRaw(tree object.TreeID, bases []object.TreeID) error {
	var missing error
	d := treeDiff{view: &in.view, seen: map[[20]byte]struct{}{}}
	d.emit = func(id [20]byte, kind object.Type) {
		in.need(id)
		if kind == object.TypeBlob && missing == nil {
			missing = in.checkBlob(id)
		}
	}
	return errors.Join(d.step(tree, bases), missing)
}
