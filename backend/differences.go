package backend

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/silvermirror/smfs/backend/chunk"
	"github.com/silvermirror/smfs/backend/object"
	"github.com/silvermirror/smfs/tags"
)

// Diff tells fn what differs between two points of the history, file by file.
// Without points it is what the last commit that touched the path changed: since
// everything is committed at once, nothing is ever uncommitted to be shown.
func (e *Engine) Diff(ctx context.Context, o DiffOptions, fn func(DiffPart) error) error {
	list, path, err := e.resourcesAt(o.Path)
	if err != nil {
		return err
	}
	if o.To == "" {
		for _, r := range list {
			if err := r.do(ctx, func() error { return r.refresh(ctx) }); err != nil {
				return err
			}
		}
	}
	if o.From == "" && o.To == "" {
		return e.diffLast(ctx, o, fn)
	}
	var missing error
	found := false
	for _, r := range list {
		err := r.diffRange(ctx, path, o, fn)
		switch {
		case errors.Is(err, ErrNotFound): // a commit of another resource
			missing = err
		case err != nil:
			return err
		default:
			found = true
		}
	}
	if found {
		return nil
	}
	return missing
}

// diffLast tells what the last commit that touched a path changed there.
func (e *Engine) diffLast(ctx context.Context, o DiffOptions, fn func(DiffPart) error) error {
	var last Version
	var from, to object.TreeID
	err := e.Log(ctx, LogOptions{Path: o.Path}, func(v Version) error {
		id, err := object.ParseCommitID(v.Commit)
		if err != nil {
			return err
		}
		c, parent, err := e.resource(v.Resource).withParent(id)
		if err != nil {
			return err
		}
		if parent == c.Tree {
			return nil // a mark
		}
		last, from, to = v, parent, c.Tree
		return errStop
	})
	if err != nil && !errors.Is(err, errStop) {
		return err
	}
	r := e.resource(last.Resource)
	if r == nil {
		return fmt.Errorf("%w: there is no history yet", ErrNotFound)
	}
	if err := fn(DiffPart{Of: &last}); err != nil {
		return err
	}
	path := ""
	if o.Path != "" {
		path = strings.TrimPrefix(strings.TrimPrefix(last.Path, r.conf.Path), "/")
	}
	_, err = r.diffTo(ctx, from, to, path, o.Detail, fn)
	return err
}

// withParent returns a commit and the tree of the one before it.
func (r *resource) withParent(id object.CommitID) (c *object.Commit, parent object.TreeID, err error) {
	if c, err = r.store.Commit(id); err != nil || len(c.Parents) == 0 {
		return c, parent, err
	}
	p, err := r.store.Commit(c.Parents[0])
	if err != nil {
		return nil, parent, err
	}
	return c, p.Tree, nil
}

// diffRange tells what differs between two points.
func (r *resource) diffRange(ctx context.Context, path string, o DiffOptions, fn func(DiffPart) error) error {
	from, err := r.treeAt(ctx, o.From)
	if err != nil {
		return err
	}
	to, err := r.treeAt(ctx, o.To)
	if err != nil {
		return err
	}
	head, err := r.headTree()
	if err != nil {
		return err
	}
	then, err := r.placeIn(to, head, path)
	if err != nil {
		return err
	}
	differs, err := r.diffTo(ctx, from, to, then, o.Detail, fn)
	if err != nil || differs || path == "" {
		return err
	}
	for _, tree := range []object.TreeID{from, to} {
		if e, err := findEntry(r.store, tree, then); err != nil || e != nil {
			return err // the same at both
		}
	}
	return fmt.Errorf("%w: %q was not there at either time", ErrNotFound, r.mirrorPath(path))
}

// treeAt is the tree at a point, "" is now. Before the history began it is empty.
func (r *resource) treeAt(ctx context.Context, point string) (object.TreeID, error) {
	if point == "" {
		return r.headTree()
	}
	_, c, err := r.commitAt(ctx, point)
	if errors.Is(err, ErrNotFound) {
		if _, perr := ParseTime(point, r.now()); perr == nil {
			return object.TreeID{}, nil
		}
	}
	if err != nil {
		return object.TreeID{}, err
	}
	return c.Tree, nil
}

// diffTo tells what differs between two trees at a path, and whether anything does.
func (r *resource) diffTo(ctx context.Context, from, to object.TreeID, path, detail string, fn func(DiffPart) error) (differs bool, err error) {
	d, err := diffTrees(r.store, from, to)
	if err != nil {
		return false, err
	}
	in := func(p *placed) bool { return p != nil && within(p.Path, path) }
	for _, s := range sidesOf(d) {
		if !in(s.old) && !in(s.new) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return differs, err
		}
		f, patch, err := r.compare(s, detail)
		if err != nil {
			return differs, err
		}
		if f == nil {
			continue
		}
		differs = true
		if err := fn(DiffPart{File: f}); err != nil {
			return differs, err
		}
		for len(patch) > 0 {
			n := min(len(patch), patchPiece)
			if err := fn(DiffPart{Patch: patch[:n]}); err != nil {
				return differs, err
			}
			patch = patch[n:]
		}
	}
	return differs, nil
}

// patchPiece is how much of a patch is told at once: it must fit a frame of the
// control socket, however much of it is escaped there.
const patchPiece = 64 << 10

// sides are one file in two trees, nil where it is not.
type sides struct{ old, new *placed }

func (s sides) path() string {
	if s.new != nil {
		return s.new.Path
	}
	return s.old.Path
}

// sidesOf pairs what a difference tells: what has moved by its identity, else what
// is in the place of another file of its kind. They are sorted by path.
func sidesOf(d *treeDiff) []sides {
	var out []sides
	ids := map[object.FileID][]*placed{}
	paths := map[string]*placed{}
	for i := range d.Removed {
		p := &d.Removed[i]
		ids[p.Entry.ID] = append(ids[p.Entry.ID], p)
		paths[p.Path] = p
	}
	paired := map[*placed]bool{}
	pair := func(old, new *placed) {
		paired[old], paired[new] = true, true
		out = append(out, sides{old, new})
	}
	for i := range d.Added {
		p := &d.Added[i]
		if same := ids[p.Entry.ID]; len(same) > 0 && same[0].Entry.Kind == p.Entry.Kind {
			ids[p.Entry.ID] = same[1:]
			pair(same[0], p)
		}
	}
	for i := range d.Added {
		p := &d.Added[i]
		if old := paths[p.Path]; old != nil && !paired[old] && !paired[p] && old.Entry.Kind == p.Entry.Kind {
			pair(old, p)
		}
		if !paired[p] {
			out = append(out, sides{nil, p})
		}
	}
	for i := range d.Removed {
		if p := &d.Removed[i]; !paired[p] {
			out = append(out, sides{p, nil})
		}
	}
	for i := range d.Changed {
		out = append(out, sides{&d.Changed[i].Old, &d.Changed[i].New})
	}
	slices.SortStableFunc(out, func(a, b sides) int { return cmp.Compare(a.path(), b.path()) })
	return out
}

// compare says what became of a file, with its patch where that is asked for. It is
// nil where nothing that people see differs.
func (r *resource) compare(s sides, detail string) (*FileDiff, string, error) {
	f := &FileDiff{Resource: r.name, Action: "edit", Path: r.mirrorPath(s.path())}
	var was, is object.Entry
	switch {
	case s.old == nil:
		f.Action, is = "add", s.new.Entry
	case s.new == nil:
		f.Action, was = "delete", s.old.Entry
	default:
		if was, is = s.old.Entry, s.new.Entry; s.old.Path != s.new.Path {
			f.Action, f.From = "rename", r.mirrorPath(s.old.Path)
		}
	}
	f.Kind = kindName(cmp.Or(is.Kind, was.Kind))
	f.Content = was.Blob != is.Blob
	f.Tagged, f.Untagged = onlyIn(is.Tags, was.Tags), onlyIn(was.Tags, is.Tags)
	f.Xattrs = differingXattrs(was.Xattrs, is.Xattrs)
	if f.Action == "edit" && was.ID == is.ID && was.Conflict != is.Conflict && !f.Content && sameOnDisk(was, is) && len(f.Tagged)+len(f.Untagged) == 0 {
		return nil, "", nil // a conflict's mark alone
	}
	var err error
	if s.old != nil {
		if f.Old, err = r.side(&was); err != nil {
			return nil, "", err
		}
	}
	if s.new != nil {
		if f.New, err = r.side(&is); err != nil {
			return nil, "", err
		}
	}
	if detail == DiffNames || !f.Content {
		return f, "", nil
	}
	patch, err := r.compareContent(f, &was, &is, detail == DiffPatch)
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", f.Path, err)
	}
	return f, patch, nil
}

func (r *resource) side(e *object.Entry) (*FileSide, error) {
	s := &FileSide{Mode: gitMode(e)}
	if e.Kind == object.Dir {
		return s, nil
	}
	s.Mtime = time.Unix(0, e.Mtime)
	var err error
	s.Size, err = r.store.FileSize(chunk.Of(e))
	return s, err
}

func gitMode(e *object.Entry) string {
	switch e.Kind {
	case object.Dir:
		return fmt.Sprintf("04%04o", e.Mode)
	case object.Symlink:
		return "120000"
	}
	return fmt.Sprintf("10%04o", e.Mode)
}

func kindName(k object.Kind) string {
	return map[object.Kind]string{object.File: "file", object.Symlink: "symlink", object.Dir: "directory"}[k]
}

// onlyIn lists the tags of a that b has not.
func onlyIn(a, b tags.Set) (out []string) {
	for _, name := range a.Names() {
		if !b.Has(name) {
			out = append(out, name)
		}
	}
	return out
}

// differingXattrs lists the names of those that are not the same on both sides.
func differingXattrs(a, b []object.Xattr) (out []string) {
	both := map[object.Xattr]int{}
	for _, list := range [][]object.Xattr{a, b} {
		for _, x := range list {
			both[x]++
		}
	}
	for x, n := range both {
		if n == 1 && !slices.Contains(out, x.Name) {
			out = append(out, x.Name)
		}
	}
	slices.Sort(out)
	return out
}

// compareContent compares by lines what is text. Of large files, which are never
// read, it counts the bytes in parts that the old one has not.
func (r *resource) compareContent(f *FileDiff, was, is *object.Entry, patch bool) (string, error) {
	f.Binary = true
	var err error
	if !was.Chunks.IsZero() && !is.Chunks.IsZero() {
		f.Differs, err = newBytes(r.store, was.Chunks, is.Chunks)
		return "", err
	}
	old, ok, err := r.smallContent(was)
	if err != nil || !ok {
		return "", err
	}
	now, ok, err := r.smallContent(is)
	if err != nil || !ok || !isText(old) || !isText(now) {
		return "", err
	}
	f.Binary = false
	var out strings.Builder
	if !patch {
		f.Added, f.Deleted = compareText(string(old), string(now), nil)
		return "", nil
	}
	f.Added, f.Deleted = compareText(string(old), string(now), &out)
	return out.String(), nil
}

// largest is the size of a file that is compared by lines at most; smfs keeps
// larger ones in chunks, plain git may not.
const largest = 1 << 20

// smallContent reads a file that is not large; the zero entry is none, and empty.
func (r *resource) smallContent(e *object.Entry) (data []byte, ok bool, err error) {
	if e.Kind == 0 {
		return nil, true, nil
	}
	c, size, err := r.store.OpenFile(chunk.Of(e))
	if err != nil {
		return nil, false, err
	}
	defer c.Close()
	if size > largest {
		return nil, false, nil
	}
	data, err = io.ReadAll(c)
	return data, true, err
}

// newBytes counts the bytes in chunks that one list of chunks has and another has
// not. What both share is not looked at.
func newBytes(src object.Source, old, new object.TreeID) (int64, error) {
	known := knownParts{nodes: map[object.TreeID]bool{}, chunks: map[object.BlobID]bool{}}
	if _, err := chunk.Walk(src, old, &known); err != nil {
		return 0, err
	}
	fresh := freshParts{known: known}
	_, err := chunk.Walk(src, new, &fresh)
	return fresh.bytes, err
}

// knownParts collects the parts of a list.
type knownParts struct {
	nodes  map[object.TreeID]bool
	chunks map[object.BlobID]bool
}

func (k *knownParts) Node(id object.TreeID) (bool, error) {
	k.nodes[id] = true
	return true, nil
}

func (k *knownParts) Chunk(id object.BlobID, _ int64) error {
	k.chunks[id] = true
	return nil
}

// freshParts counts what is in none of them.
type freshParts struct {
	known knownParts
	bytes int64
}

func (f *freshParts) Node(id object.TreeID) (bool, error) { return !f.known.nodes[id], nil }

func (f *freshParts) Chunk(id object.BlobID, size int64) error {
	if !f.known.chunks[id] {
		f.bytes += size
	}
	return nil
}
