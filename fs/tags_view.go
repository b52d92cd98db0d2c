package fs

import (
	"context"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"github.com/silvermirror/smfs/tags"
	"golang.org/x/sys/unix"
)

// tagDir is a directory of the tag view: all tags (query ""), one tag, or a
// query that is reached by look-up only. Tagged files are in it as hard links,
// tagged directories as symlinks.
type tagDir struct {
	fs.Inode
	sealed
	v     *views
	query string
	depth int  // directories between it and .smfs/tags
	adhoc bool // a query, not a tag: nothing below but files

	mu   sync.Mutex // guards what follows
	list *tags.Listing
	of   uint64 // the generation that list is of
}

func (d *tagDir) Getattr(ctx context.Context, f fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	d.v.fill(unix.S_IFDIR|0o700, 0, &out.Attr)
	return 0
}

// Lookup finds a tag, a query, or a tagged file by its name here.
func (d *tagDir) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	l := d.listing()
	if l.IsTag(name) {
		return d.enterTag(ctx, name, false, out), 0
	}
	if f, ok := l.File(name); ok {
		s, err := d.v.resolve(ctx, f)
		if err == nil {
			return d.enterFile(ctx, s, out), 0
		}
	}
	if d.query == "" && isQuery(name) {
		if _, err := d.v.tags.Files(name); err == nil {
			return d.enterTag(ctx, name, true, out), 0
		}
	}
	neverCache(out)
	return nil, syscall.ENOENT
}

// isQuery tells a query from a name that is merely no tag.
func isQuery(name string) bool {
	return strings.ContainsAny(name, ",!=<>()") || strings.HasPrefix(name, "@") || strings.Contains(name, " ")
}

func (d *tagDir) enterTag(ctx context.Context, name string, adhoc bool, out *fuse.EntryOut) *fs.Inode {
	query := name
	if d.query != "" {
		query = d.query + "/" + name
	}
	child := &tagDir{v: d.v, query: query, depth: d.depth + 1, adhoc: adhoc}
	return d.v.enter(ctx, &d.Inode, child, tagsDirName+"/"+query, unix.S_IFDIR|0o700, out)
}

// enterFile answers with the file's one node, so that every path shares one
// inode number and one page cache. The link count is one more than the file's,
// or unlinking here would leave the kernel thinking that there is none left.
func (d *tagDir) enterFile(ctx context.Context, s *tagged, out *fuse.EntryOut) *fs.Inode {
	if s.n.isDir() {
		l := &viewLink{v: d.v, text: d.pathTo(s)}
		return d.v.enter(ctx, &d.Inode, l, "link/"+l.text, unix.S_IFLNK|0o777, out)
	}
	s.n.fill(&s.st, &out.Attr)
	out.Nlink++
	return &s.n.Inode
}

// pathTo leads from here to the real place of a tagged directory.
func (d *tagDir) pathTo(s *tagged) string {
	return strings.Repeat("../", d.depth+2) + s.path
}

// listing is the directory's content, computed once a generation.
func (d *tagDir) listing() *tags.Listing {
	d.mu.Lock()
	defer d.mu.Unlock()
	generation := d.v.tags.Generation()
	if d.list == nil || d.of != generation {
		d.list, d.of = d.newList(), generation
	}
	return d.list
}

func (d *tagDir) newList() *tags.Listing {
	var below []string
	var files []tags.Tagged
	if !d.adhoc {
		below = d.v.tags.Tags(d.query)
	}
	if d.query != "" {
		// A query that makes no sense any more matches nothing.
		files, _ = d.v.tags.Files(d.query)
	}
	return tags.NewListing(below, files)
}

// tagged is a tagged file or directory as it is on disk now.
type tagged struct {
	n    *node
	st   unix.Statx_t
	path string // in the mirror
}

// resolve finds a tagged file where it is; it follows no symlink.
func (v *views) resolve(ctx context.Context, f tags.Tagged) (*tagged, error) {
	at, ok := v.m.paths[f.Resource]
	if !ok {
		return nil, unix.ENOENT
	}
	s := &tagged{path: strings.Trim(at+"/"+f.Path, "/")}
	names := strings.Split(s.path, "/")
	d := v.m.root
	for i, name := range names {
		n, err := d.find(ctx, name, &s.st)
		if err != nil {
			return nil, err
		}
		if i == len(names)-1 {
			s.n = n
			return s, nil
		}
		if d, ok = n.Operations().(*DirNode); !ok {
			return nil, unix.ENOTDIR
		}
	}
	return nil, unix.ENOENT
}

// tagHandle lists a tagDir. Each file is looked at once, for its number and
// type, and again by the kernel's look-up right after it.
type tagHandle struct {
	d *tagDir

	mu    sync.Mutex // guards the rest
	names []string
	list  *tags.Listing
	next  int
	last  *tagged // what names[next-1] is, if it is a file
}

// OpendirHandle takes a snapshot of the listing.
func (d *tagDir) OpendirHandle(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	l := d.listing()
	return &tagHandle{d: d, list: l, names: slices.Concat([]string{".", ".."}, l.Tags, l.Files)}, 0, 0
}

// Readdirent returns the next entry; files that are gone are left out.
func (h *tagHandle) Readdirent(ctx context.Context) (*fuse.DirEntry, syscall.Errno) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.next < len(h.names) {
		name := h.names[h.next]
		h.next++
		h.last = nil
		e := &fuse.DirEntry{Name: name, Off: uint64(h.next), Mode: unix.S_IFDIR}
		if name == "." || name == ".." {
			e.Ino = h.d.StableAttr().Ino
			return e, 0
		}
		f, isFile := h.list.File(name)
		if !isFile || h.list.IsTag(name) {
			e.Ino = viewIno(tagsDirName + "/" + strings.TrimPrefix(h.d.query+"/"+name, "/"))
			return e, 0
		}
		s, err := h.d.v.resolve(ctx, f)
		if err != nil {
			continue
		}
		h.last = s
		e.Mode, e.Ino = uint32(s.st.Mode)&unix.S_IFMT, s.n.vol.ino(s.st.Ino)
		if s.n.isDir() {
			e.Mode, e.Ino = unix.S_IFLNK, viewIno("link/"+h.d.pathTo(s))
		}
		return e, 0
	}
	return nil, 0
}

// Lookup answers for the entry that Readdirent returned last.
func (h *tagHandle) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	h.mu.Lock()
	s := h.last
	h.mu.Unlock()
	if s == nil {
		return h.d.Lookup(ctx, name, out)
	}
	return h.d.enterFile(ctx, s, out), 0
}

// Seekdir continues after the entry that carried off.
func (h *tagHandle) Seekdir(ctx context.Context, off uint64) syscall.Errno {
	h.mu.Lock()
	defer h.mu.Unlock()
	if off > uint64(len(h.names)) {
		return syscall.EINVAL
	}
	h.next = int(off)
	return 0
}
