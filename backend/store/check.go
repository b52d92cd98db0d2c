package store

import (
	"bytes"
	"context"
	"crypto/sha1"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"

	"github.com/silvermirror/smfs/backend/object"
)

// Check reads all packs, all refs and everything reachable from them, and
// calls problem for each thing that is wrong, in words that name the file or
// ref. Its own error is for what kept it from looking. It takes as long as
// reading the store.
func (s *Store) Check(ctx context.Context, problem func(string)) error {
	c := &fsck{ctx: ctx, store: s, problem: problem, seen: map[[20]byte]bool{}}
	s.mu.Lock()
	known := append([]error(nil), s.problems...)
	s.mu.Unlock()
	for _, err := range known {
		problem(err.Error())
	}
	for _, p := range s.packs() {
		if err := c.pack(p); err != nil {
			return fmt.Errorf("check store: %w", err)
		}
	}
	heads, err := c.heads()
	if err == nil {
		err = c.commits(heads)
	}
	if err != nil {
		return fmt.Errorf("check store: %w", err)
	}
	return nil
}

// fsck is one run of Check.
type fsck struct {
	ctx     context.Context
	store   *Store
	problem func(string)
	seen    map[[20]byte]bool
}

func (c *fsck) tell(format string, args ...any) { c.problem(fmt.Sprintf(format, args...)) }

// pack verifies the checksums of a pack and of its index on disk.
func (c *fsck) pack(p *pack) error {
	if p.damaged {
		return nil // told already
	}
	name := filepath.Base(p.name)
	h := sha1.New()
	r := io.NewSectionReader(p.r, 0, p.end())
	if _, err := io.CopyBuffer(h, ctxReader{c.ctx, r}, make([]byte, 1<<20)); err != nil {
		if c.ctx.Err() != nil {
			return err
		}
		c.tell("pack %s cannot be read: %v", name, err)
		return nil
	}
	var sum [20]byte
	if _, err := p.r.ReadAt(sum[:], p.end()); err != nil || !bytes.Equal(h.Sum(nil), sum[:]) {
		c.tell("pack %s is damaged: its checksum does not match", name)
	}
	if _, err := os.Lstat(p.name + ".pack"); err != nil {
		return nil // git gc removed it; its objects are elsewhere
	}
	if _, err := openIdx(p.name + ".idx"); err != nil {
		c.tell("index of pack %s: %v", name, err)
	}
	return nil
}

// heads lists the commits that refs name. Each ref is read on its own, so that
// one damaged ref hides no other.
func (c *fsck) heads() ([]object.CommitID, error) {
	r := &c.store.refs
	names, err := r.looseNames()
	if err != nil {
		return nil, err
	}
	packed, err := r.packed()
	if err != nil {
		c.tell("%v", err)
	}
	for name := range packed {
		names = append(names, name)
	}
	var heads []object.CommitID
	for _, name := range names {
		id, err := r.read(name)
		if err != nil {
			c.tell("%v", err)
			continue
		}
		if kind, err := c.store.Type(id); err == nil && kind == object.TypeTag {
			continue // a user's annotated tag
		}
		heads = append(heads, id)
	}
	return heads, nil
}

// commits walks history, newest first as far as the refs tell.
func (c *fsck) commits(queue []object.CommitID) error {
	for len(queue) > 0 {
		id := queue[0]
		queue = queue[1:]
		if c.seen[id] {
			continue
		}
		c.seen[id] = true
		if err := c.ctx.Err(); err != nil {
			return err
		}
		commit, err := c.uncached(id)
		if err != nil {
			c.tell("commit %s: %v", id, err)
			continue
		}
		queue = append(queue, commit.Parents...)
		if commit.Foreign() {
			err = c.raw(commit.Tree, id)
		} else {
			err = c.dir(commit.Tree, "", id)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// uncached reads a commit from disk, whatever is in memory.
func (c *fsck) uncached(id object.CommitID) (*object.Commit, error) {
	data, err := c.store.read(id, object.TypeCommit, object.MaxCommit)
	if err != nil {
		return nil, err
	}
	return object.DecodeCommit(data)
}

func (c *fsck) dir(id object.TreeID, name string, in object.CommitID) error {
	if c.seen[id] {
		return nil
	}
	c.seen[id] = true
	d, err := object.DecodeDirectory(&c.store.view, id)
	if err != nil {
		c.tell("directory %q of commit %s: %v", "/"+name, in, err)
		return nil
	}
	for i := range d.Entries {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		e := &d.Entries[i]
		if e.Kind != object.Dir {
			c.blob(e.Blob, path.Join(name, e.Name), in)
		} else if err := c.dir(e.Tree, path.Join(name, e.Name), in); err != nil {
			return err
		}
	}
	return nil
}

func (c *fsck) blob(id object.BlobID, name string, in object.CommitID) {
	if c.seen[id] {
		return
	}
	c.seen[id] = true
	r, _, err := c.store.OpenBlob(id)
	if err == nil {
		_, err = io.Copy(io.Discard, r)
		r.Close()
	}
	if err != nil {
		c.tell("file %q of commit %s: %v", name, in, err)
	}
}

// raw checks a tree of plain git.
func (c *fsck) raw(tree object.TreeID, in object.CommitID) error {
	d := treeDiff{view: &c.store.view, seen: map[[20]byte]struct{}{}}
	d.emit = func(id [20]byte, kind object.Type) {
		if kind == object.TypeBlob {
			c.blob(id, "(of plain git)", in)
		}
	}
	if err := d.step(tree, nil); err != nil {
		c.tell("tree of commit %s: %v", in, err)
	}
	return c.ctx.Err()
}
