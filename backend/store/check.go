package store

import (
	"bytes"
	"context"
	"crypto/sha1"
	"fmt"
	"io"
	"path"
	"path/filepath"

	"github.com/silvermirror/smfs/backend/chunk"
	"github.com/silvermirror/smfs/backend/object"
)

// Fault is one thing that Check found wrong.
type Fault struct {
	Text   string      // names the file of the store, the ref, or the path in a commit
	Object [20]byte    // what is missing or damaged; zero: it is about a file of the store
	Kind   object.Type // of the object
}

// Check reads all packs, all refs and everything reachable from them, and
// calls problem for each thing that is wrong, and looked with the number of
// objects, as that grows. Its own error is for what kept it from looking. It
// takes as long as reading the store.
func (s *Store) Check(ctx context.Context, problem func(Fault), looked func(objects int)) error {
	s.consolidating.Lock() // no pack goes, or is found to be damaged, meanwhile
	defer s.consolidating.Unlock()
	c := &fsck{ctx: ctx, store: s, problem: problem, looked: looked, seen: map[[20]byte]bool{}}
	s.mu.Lock()
	known := append([]error(nil), s.problems...)
	s.mu.Unlock()
	for _, err := range known {
		c.tell("%v", err)
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
	problem func(Fault)
	looked  func(int)
	seen    map[[20]byte]bool
}

// met tells whether an object was looked at, and notes that it is.
func (c *fsck) met(id [20]byte) bool {
	if c.seen[id] {
		return true
	}
	c.seen[id] = true
	c.looked(len(c.seen))
	return false
}

func (c *fsck) tell(format string, args ...any) { c.problem(Fault{Text: fmt.Sprintf(format, args...)}) }

// lost tells of an object that cannot be had.
func (c *fsck) lost(kind object.Type, id [20]byte, format string, args ...any) {
	c.problem(Fault{fmt.Sprintf(format, args...), id, kind})
}

// pack verifies a pack and its index on disk.
func (c *fsck) pack(p *pack) error {
	if p.damaged {
		return nil // told already
	}
	name := filepath.Base(p.name)
	if err := p.checkContent(c.ctx); err != nil {
		if c.ctx.Err() != nil {
			return err
		}
		c.tell("pack %s: %v", name, err)
		return nil
	}
	if vanished(p) {
		return nil // its objects are elsewhere
	}
	if err := p.checkIdx(c.ctx); err != nil {
		c.tell("index of pack %s: %v", name, err)
	}
	return c.ctx.Err()
}

// checkContent verifies the checksum of a pack.
func (p *pack) checkContent(ctx context.Context) error {
	h := sha1.New()
	r := io.NewSectionReader(p.r, 0, p.end())
	if _, err := io.CopyBuffer(h, ctxReader{ctx, r}, make([]byte, 1<<20)); err != nil {
		return fmt.Errorf("%w: it cannot be read: %w", ErrDamaged, err)
	}
	var sum [20]byte
	if _, err := p.r.ReadAt(sum[:], p.end()); err != nil || !bytes.Equal(h.Sum(nil), sum[:]) {
		return fmt.Errorf("%w: the pack's checksum does not match", ErrDamaged)
	}
	return nil
}

// checkIdx compares the index on disk with the one in memory, and that with the
// pack: which bytes are whose.
func (p *pack) checkIdx(ctx context.Context) error {
	x, err := openIdx(p.name + ".idx")
	if err != nil {
		return err
	}
	if x.count != p.idx.count || x.mem.PackfileChecksum != p.idx.mem.PackfileChecksum {
		return fmt.Errorf("%w: it is for another pack", ErrBadIdx)
	}
	buf := make([]byte, 256<<10)
	order := p.idx.byOffset()
	for i, place := range order {
		if err := ctx.Err(); err != nil {
			return err
		}
		rec, end := p.idx.at(int(place)), p.end()
		if i+1 < len(order) {
			end = p.idx.at(int(order[i+1])).off
		}
		crc, err := p.copyRaw(io.Discard, rec.off, end-rec.off, buf)
		if err != nil || crc != rec.crc || x.at(int(place)) != rec {
			return fmt.Errorf("%w: it is wrong about object %x", ErrBadIdx, rec.id)
		}
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
	if head := c.head(); !head.IsZero() {
		heads = append(heads, head)
	}
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

// head is the head as it was last moved or read here: its ref may have gone.
func (c *fsck) head() object.CommitID {
	r := &c.store.refs
	r.mu.Lock() // it does not move
	defer r.mu.Unlock()
	head := c.store.Head()
	if id, err := r.read(HeadRef); err == nil && id != head {
		c.tell("%s is %s, not %s", HeadRef, orNone(id), orNone(head))
	}
	return head
}

func orNone(id object.CommitID) string {
	if id.IsZero() {
		return "missing"
	}
	return id.String()
}

// commits walks history, newest first as far as the refs tell.
func (c *fsck) commits(queue []object.CommitID) error {
	for len(queue) > 0 {
		id := queue[0]
		queue = queue[1:]
		if c.met(id) {
			continue
		}
		if err := c.ctx.Err(); err != nil {
			return err
		}
		commit, err := c.uncached(id)
		if err != nil {
			c.lost(object.TypeCommit, id, "commit %s: %v", id, err)
			continue
		}
		queue = append(queue, commit.Parents...)
		if commit.Foreign() {
			err = c.raw(commit.Tree, id)
		} else {
			c.claims(id, commit)
			err = c.dir(commit.Tree, "", id)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// claims verifies a commit's signature and what it says of its history. A merge
// has no signature: it follows from its parents.
func (c *fsck) claims(id object.CommitID, commit *object.Commit) {
	if commit.Merge == 0 {
		if _, err := object.VerifySignature(commit); err != nil {
			c.tell("commit %s: %v", id, err)
		}
	}
	var parents []*object.Commit
	for _, p := range commit.Parents {
		parent, err := c.store.Commit(p)
		if err != nil {
			return // told when its turn comes
		}
		parents = append(parents, parent)
	}
	if err := checkDescent(commit, parents); err != nil {
		c.tell("commit %s: %v", id, err)
	}
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
	if c.met(id) {
		return nil
	}
	parts := &partsReader{view: &c.store.view}
	d, err := object.DecodeDirectory(parts, id)
	if err != nil {
		c.problem(Fault{fmt.Sprintf("directory %q of commit %s: %v", "/"+name, in, err), parts.lost, parts.kind})
		return nil
	}
	for i := range d.Entries {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		e := &d.Entries[i]
		if e.Kind != object.Dir {
			c.file(chunk.Of(e), path.Join(name, e.Name), in)
		} else if err := c.dir(e.Tree, path.Join(name, e.Name), in); err != nil {
			return err
		}
	}
	return nil
}

// partsReader reads the parts of a directory from disk, whatever is in memory, and
// notes which one it lacks.
type partsReader struct {
	view *view
	lost [20]byte
	kind object.Type
}

func (p *partsReader) ReadTree(id object.TreeID, max int64) ([]byte, error) {
	data, err := p.view.read(id, object.TypeTree, max)
	if err != nil {
		p.lost, p.kind = id, object.TypeTree
	}
	return data, err
}

func (p *partsReader) ReadBlob(id object.BlobID, max int64) ([]byte, error) {
	data, err := p.view.ReadBlob(id, max)
	if err != nil {
		p.lost, p.kind = id, object.TypeBlob
	}
	return data, err
}

func (c *fsck) blob(id object.BlobID, name string, in object.CommitID) {
	if c.met(id) {
		return
	}
	r, _, err := c.store.OpenBlob(id)
	if err == nil {
		_, err = io.Copy(io.Discard, r)
		r.Close()
	}
	if err != nil {
		c.lost(object.TypeBlob, id, "file %q of commit %s: %v", name, in, err)
	}
}

// file checks a file's content, and that of a large one part by part.
func (c *fsck) file(content chunk.Content, name string, in object.CommitID) {
	known := c.seen[content.Blob]
	c.blob(content.Blob, name, in)
	if content.List.IsZero() || known {
		return
	}
	parts := &partsReader{view: &c.store.view}
	size, err := chunk.Walk(parts, content.List, listFsck{c, name, in})
	if err != nil {
		c.problem(Fault{fmt.Sprintf("file %q of commit %s: %v", name, in, err), parts.lost, parts.kind})
		return
	}
	if pointer, err := c.store.ReadBlob(content.Blob, chunk.Threshold); err == nil {
		if n, list, ok := chunk.ParsePointer(pointer); !ok || list != content.List || n != size {
			c.tell("file %q of commit %s: its pointer is that of another file", name, in)
		}
	}
}

// listFsck reads the chunks of a file.
type listFsck struct {
	c    *fsck
	name string
	in   object.CommitID
}

func (l listFsck) Node(id object.TreeID) (bool, error) { return !l.c.met(id), l.c.ctx.Err() }

func (l listFsck) Chunk(id object.BlobID, _ int64) error {
	l.c.blob(id, l.name, l.in)
	return l.c.ctx.Err()
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
