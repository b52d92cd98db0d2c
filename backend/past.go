package backend

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/silvermirror/smfs/backend/chunk"
	"github.com/silvermirror/smfs/backend/object"
)

// Past is a file, directory or symbolic link of the mirror as it was once. It never
// changes, and is safe for concurrent use. What it reads comes from the stores alone:
// no worker is asked.
type Past struct {
	// ID tells two of them apart. Files share one, over all commits, where they are
	// one file that nobody has changed; directories have one for each name of a
	// moment, each path and each commit.
	ID     [16]byte
	Kind   object.Kind
	Mode   uint32 // permission bits, as committed
	Mtime  int64  // ns since 1970; of directories, which have none, the commit's
	Size   int64  // in bytes; 0 for directories
	Xattrs []object.Xattr

	r       *resource // nil: a directory above resources, which is in none
	content chunk.Content
	tree    object.TreeID // of a directory; zero: what is in place is all there is
	moment  *moment       // of a directory
	spot    *spot         // of a directory at or above the root of a resource, else nil
}

// PastName is a name in a directory of the past.
type PastName struct {
	Name string
	Kind object.Kind
	ID   [16]byte
}

// spot is a point of the mirror that the config knows: the root of a resource, or
// a directory above one.
type spot struct {
	r      *resource // nil: only on the way to one
	broken error     // why the resource cannot be used
	below  map[string]*spot
}

// newSpots lays out the resources.
func (e *Engine) newSpots() *spot {
	root := &spot{}
	for _, r := range e.resources {
		root.at(r.conf.Path).r = r
	}
	for _, b := range e.broken {
		root.at(b.conf.Path).broken = b.err
	}
	return root
}

// at is the spot at a path, which is made.
func (p *spot) at(path string) *spot {
	if path == "" {
		return p
	}
	name, rest, _ := strings.Cut(path, "/")
	if p.below == nil {
		p.below = map[string]*spot{}
	}
	if p.below[name] == nil {
		p.below[name] = &spot{}
	}
	return p.below[name].at(rest)
}

// moment is what each resource was at one time; one that had no commit is not in it.
type moment struct {
	trees map[*resource]object.TreeID
	times map[*resource]int64 // of the commits, s since 1970
}

// has tells whether anything is at a spot or below.
func (m *moment) has(p *spot) bool {
	if _, ok := m.trees[p.r]; ok || p.broken != nil {
		return true
	}
	for _, c := range p.below {
		if m.has(c) {
			return true
		}
	}
	return false
}

// last is when the newest of the commits was made, in ns.
func (m *moment) last() int64 {
	var last int64
	for _, t := range m.times {
		last = max(last, t)
	}
	return last * 1e9
}

// PastAt is the mirror's root as it was at a time or commit as people write it. A
// commit stands for its time in the other resources. ErrNotFound and ErrInvalid: there
// is no such thing.
func (e *Engine) PastAt(ctx context.Context, at string) (*Past, error) {
	m := &moment{trees: map[*resource]object.TreeID{}, times: map[*resource]int64{}}
	id := sha256.New()
	fmt.Fprintf(id, "moment %q", at)
	own, when, err := e.pastTime(ctx, at)
	if err != nil {
		return nil, err
	}
	for _, r := range e.resources {
		as := when
		if r == own {
			as = at
		}
		commit, c, err := r.commitAt(ctx, as)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		m.trees[r], m.times[r] = c.Tree, c.Time
		fmt.Fprintf(id, "%q %s", r.name, commit)
	}
	if !m.has(e.spots) {
		return nil, fmt.Errorf("%w: nothing was committed at %q", ErrNotFound, at)
	}
	p := e.spots.past(m, [16]byte(id.Sum(nil)[:16]))
	return p, nil
}

// pastTime is the time that at stands for, in the form that commitAt takes; of a
// commit, also the resource that has it.
func (e *Engine) pastTime(ctx context.Context, at string) (own *resource, when string, err error) {
	if at == Latest {
		return nil, at, nil
	}
	if t, err := ParseTime(at, e.o.now()); err == nil {
		return nil, t.Format(time.RFC3339Nano), nil // the same for all
	}
	if !isCommit(at) {
		return nil, "", fmt.Errorf("%w: %q is neither a commit nor a time", ErrInvalid, at)
	}
	for _, r := range e.resources {
		_, c, err := r.commitAt(ctx, at)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, "", err
		}
		if own != nil {
			return nil, "", fmt.Errorf("%w: commit id %q is ambiguous; give more of it", ErrInvalid, at)
		}
		own, when = r, time.Unix(c.Time, 0).Format(time.RFC3339)
	}
	if own == nil {
		return nil, "", fmt.Errorf("%w: no resource has a commit %q", ErrNotFound, at)
	}
	return own, when, nil
}

// pastDays is how many days PastDays lists at most.
const pastDays = 100

// PastDays are the newest days on which something was committed, newest first, as
// PastAt takes them.
func (e *Engine) PastDays(ctx context.Context) ([]string, error) {
	days := map[string]bool{}
	for _, r := range e.resources {
		own := map[string]bool{}
		var from, to int64 // of the day of the last commit
		err := r.walkBack(ctx, func(p point) bool {
			if p.time < from || p.time >= to {
				end := endOfDay(time.Unix(p.time, 0))
				from, to = end.AddDate(0, 0, -1).Unix()+1, end.Unix()+1
				own[end.Format(time.DateOnly)] = true
			}
			return len(own) == pastDays
		})
		if err != nil {
			return nil, err
		}
		for day := range own {
			days[day] = true
		}
	}
	list := make([]string, 0, len(days))
	for day := range days {
		list = append(list, day)
	}
	slices.Sort(list)
	slices.Reverse(list)
	return list[:min(len(list), pastDays)], nil
}

// past is what was at a spot at a moment that has something there.
func (p *spot) past(m *moment, id [16]byte) *Past {
	d := &Past{ID: id, Kind: object.Dir, Mode: 0o755, Mtime: m.last(), moment: m, spot: p}
	if tree, ok := m.trees[p.r]; ok {
		d.r, d.tree, d.Mtime = p.r, tree, m.times[p.r]*1e9
	}
	return d
}

// Lookup finds what a directory has at a name; fs.ErrNotExist: nothing.
func (d *Past) Lookup(name string) (*Past, error) {
	entry, err := d.entry(name)
	if err != nil {
		return nil, err
	}
	if p := d.spotBelow(name); p != nil {
		c := p.past(d.moment, d.below(name))
		if c.tree.IsZero() && entry != nil && entry.Kind == object.Dir { // on the way to a resource that lies in another one
			c.take(d, entry)
		}
		return c, nil
	}
	if entry == nil {
		return nil, fs.ErrNotExist
	}
	if entry.Kind == object.Dir {
		c := &Past{ID: d.below(name), moment: d.moment}
		c.take(d, entry)
		return c, nil
	}
	c := &Past{
		ID: fileID(entry), Kind: entry.Kind, Mode: entry.Mode, Mtime: entry.Mtime, Xattrs: entry.Xattrs,
		r: d.r, content: chunk.Of(entry),
	}
	if c.Size, err = d.r.past.FileSize(c.content); err != nil {
		return nil, fmt.Errorf("%q in the history of %s: %w", name, d.r.name, err)
	}
	return c, nil
}

// take makes c the directory that an entry of d is.
func (c *Past) take(d *Past, entry *object.Entry) {
	c.Kind, c.Mode, c.Mtime, c.Xattrs = object.Dir, entry.Mode, d.moment.times[d.r]*1e9, entry.Xattrs
	c.r, c.tree = d.r, entry.Tree
}

// spotBelow is the spot at a name, if anything of a resource was there.
func (d *Past) spotBelow(name string) *spot {
	if d.spot == nil {
		return nil
	}
	p := d.spot.below[name]
	if p == nil || !d.moment.has(p) {
		return nil
	}
	return p
}

// entry is what a directory's tree has at a name, nil for nothing.
func (d *Past) entry(name string) (*object.Entry, error) {
	dir, err := d.directory()
	if err != nil {
		return nil, err
	}
	e, _ := dir.Lookup(name)
	return e, nil
}

func (d *Past) directory() (*object.Directory, error) {
	if d.spot != nil && d.spot.broken != nil {
		return nil, d.spot.broken
	}
	if d.tree.IsZero() {
		return &object.Directory{}, nil
	}
	dir, err := d.r.past.Directory(d.tree)
	if err != nil {
		return nil, fmt.Errorf("history of %s: %w", d.r.name, err)
	}
	return dir, nil
}

// List returns the names in a directory, in no order that matters.
func (d *Past) List() ([]PastName, error) {
	dir, err := d.directory()
	if err != nil {
		return nil, err
	}
	list := make([]PastName, 0, len(dir.Entries))
	for i := range dir.Entries {
		e := &dir.Entries[i]
		if d.spotBelow(e.Name) != nil {
			continue
		}
		n := PastName{e.Name, e.Kind, [16]byte{}}
		if e.Kind == object.Dir {
			n.ID = d.below(e.Name)
		} else {
			n.ID = fileID(e)
		}
		list = append(list, n)
	}
	if d.spot != nil {
		for name := range d.spot.below {
			if d.spotBelow(name) != nil {
				list = append(list, PastName{name, object.Dir, d.below(name)})
			}
		}
	}
	return list, nil
}

// below is the ID of a directory in d.
func (d *Past) below(name string) [16]byte {
	b := append(make([]byte, 0, 64), "dir "...)
	sum := sha256.Sum256(append(append(b, d.ID[:]...), name...))
	return [16]byte(sum[:16])
}

// fileID is the ID of a file or link: a hash of all that is shown of it.
func fileID(e *object.Entry) [16]byte {
	b := append(make([]byte, 0, 256), "file "...)
	b = append(append(b, e.ID[:]...), e.Blob[:]...)
	b = append(b, byte(e.Kind))
	b = binary.BigEndian.AppendUint32(b, e.Mode)
	b = binary.BigEndian.AppendUint64(b, uint64(e.Mtime))
	for _, x := range e.Xattrs {
		for _, s := range []string{x.Name, x.Value} {
			b = append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
		}
	}
	sum := sha256.Sum256(b)
	return [16]byte(sum[:16])
}

// Target is where a symbolic link leads.
func (p *Past) Target() ([]byte, error) {
	return p.r.past.ReadBlob(p.content.Blob, maxSymlink)
}

// Open opens a file. What is read goes through the cache, which others may share.
func (p *Past) Open(cache *chunk.Cache) (*chunk.ReaderAt, error) {
	return chunk.NewReaderAt(p.r.past, p.content, p.Size, cache)
}

// inHistory tells a path of the mirror that lies in @history from others, and parts
// it into the time and the path at that time.
func inHistory(path string) (at, rest string, ok bool) {
	path = strings.Trim(path, "/")
	for _, view := range []string{"@history", ".smfs/history"} {
		if in, found := strings.CutPrefix(path+"/", view+"/"); found {
			at, rest, _ = strings.Cut(strings.Trim(in, "/"), "/")
			return at, rest, true
		}
	}
	return "", path, false
}
