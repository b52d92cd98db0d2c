package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"

	"github.com/silvermirror/smfs/backend/chunk"
	"github.com/silvermirror/smfs/backend/object"
)

// Errors about single objects. Each names the object; others go on working.
var (
	ErrMissing   = errors.New("object is missing")
	ErrCorrupt   = errors.New("object is damaged")
	ErrWrongType = errors.New("object is of another type")
)

// view reads objects from a list of packs and from loose objects. Content is
// checked against its id on every read. It is safe for concurrent use.
type view struct {
	packs  func() []*pack // searched in this order
	loose  func() string  // the objects directory; "" where no loose object can be
	rescan func() bool    // looks for packs that others made; false where there are none
	dirs   *cache[object.TreeID, *object.Directory]
	raw    *cache[rawKey, []byte]               // trees of some size, and the rest of edited directories
	looked *cache[object.TreeID, *atomic.Int32] // how often Lookup has passed over a tree
	heads  *cache[object.CommitID, *object.Commit]
}

// Reader reads a store's objects with caches of its own.
type Reader struct{ view }

// What a Reader keeps in memory: commits, and entries of directories. These are more
// than the store does: two versions of a directory of very many, and what is around.
const (
	readerCommits = 256
	readerEntries = 3 * dirCacheSize
)

// Reader returns one for walks through history: they leave alone what the store has
// in memory for the next commit.
func (s *Store) Reader() *Reader {
	r := &Reader{s.view}
	r.dirs = newCache[object.TreeID, *object.Directory](readerEntries)
	r.heads = newCache[object.CommitID, *object.Commit](readerCommits)
	return r
}

func corrupt(kind object.Type, id [20]byte, err error) error {
	return fmt.Errorf("%w: %s %x: %w", ErrCorrupt, kind, id, err)
}

// Has reports whether the object is there, of whatever type, without reading
// it.
func (v *view) Has(id [20]byte) bool {
	if _, _, ok := v.find(id); ok {
		return true
	}
	objects := v.loose()
	if objects == "" {
		return false
	}
	_, err := os.Lstat(loosePath(objects, id))
	return err == nil
}

func (v *view) find(id [20]byte) (*pack, int64, bool) {
	for _, p := range v.packs() {
		if e, ok := p.dir.find(id); ok {
			return p, e.off, true
		}
	}
	return nil, 0, false
}

// Type returns the object's type without reading its content.
func (v *view) Type(id [20]byte) (object.Type, error) {
	if p, at, ok := v.find(id); ok {
		kind, err := p.kind(at)
		if err != nil {
			return 0, corrupt(0, id, err)
		}
		return kind, nil
	}
	kind, _, err := v.readAny(id, maxDelta)
	return kind, err
}

// readAny returns an object of any type and at most max bytes, verified. Where
// one copy is damaged it takes another.
func (v *view) readAny(id [20]byte, max int64) (object.Type, []byte, error) {
	kind, data, err := v.tryRead(id, max)
	if errors.Is(err, ErrMissing) && v.rescan() {
		return v.tryRead(id, max)
	}
	return kind, data, err
}

func (v *view) tryRead(id [20]byte, max int64) (object.Type, []byte, error) {
	failed := fmt.Errorf("%w: %x", ErrMissing, id)
	for _, p := range v.packs() {
		e, ok := p.dir.find(id)
		if !ok {
			continue
		}
		kind, data, err := p.read(e.off, max)
		if err == nil {
			err = verify(kind, id, data)
		}
		if err == nil || errors.Is(err, ErrTooLarge) { // too large for the caller, not damaged
			return kind, data, wrapRead(id, err)
		}
		failed = fmt.Errorf("%w: %x: %w", ErrCorrupt, id, err)
	}
	if objects := v.loose(); objects != "" {
		kind, data, err := readLoose(objects, id, max)
		if err == nil {
			err = verify(kind, id, data)
		}
		if !errors.Is(err, os.ErrNotExist) {
			return kind, data, wrapRead(id, err)
		}
	}
	return 0, nil, failed
}

func wrapRead(id [20]byte, err error) error {
	if err == nil || errors.Is(err, ErrCorrupt) || errors.Is(err, ErrTooLarge) {
		return err
	}
	return fmt.Errorf("%w: %x: %w", ErrCorrupt, id, err)
}

func (v *view) read(id [20]byte, want object.Type, max int64) ([]byte, error) {
	kind, data, err := v.readAny(id, max)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", want, err)
	}
	if kind != want {
		return nil, fmt.Errorf("read %s: %w: %x is a %s", want, ErrWrongType, id, kind)
	}
	return data, nil
}

// rawKey names an object that is in memory as it is.
type rawKey struct {
	kind object.Type
	id   [20]byte
}

// rawCacheSize is how many bytes of such objects there are at most.
const rawCacheSize = 16 << 20

// ReadBlob returns a blob of at most max bytes; a larger one is ErrTooLarge. It is
// shared: the caller must not change it.
func (v *view) ReadBlob(id object.BlobID, max int64) ([]byte, error) {
	if data, ok := v.raw.get(rawKey{object.TypeBlob, id}); ok && int64(len(data)) <= max {
		return data, nil
	}
	return v.read(id, object.TypeBlob, max)
}

// ReadTree returns the raw git tree, for object.DecodeDirectory. It is shared:
// the caller must not change it.
func (v *view) ReadTree(id object.TreeID, max int64) ([]byte, error) {
	key := rawKey{object.TypeTree, id}
	if data, ok := v.raw.get(key); ok && int64(len(data)) <= max {
		return data, nil
	}
	data, err := v.read(id, object.TypeTree, max)
	if err == nil && len(data) >= minStored {
		v.raw.put(key, data, len(data))
	}
	return data, err
}

// OpenBlob streams a blob and returns its size in bytes. Memory is bounded,
// save for blobs that plain git stored as deltas or loose. The reader returns
// io.EOF only after all bytes proved to be those of id; otherwise its last
// error wraps ErrCorrupt. The caller closes it; it serves one goroutine.
func (v *view) OpenBlob(id object.BlobID) (io.ReadCloser, int64, error) {
	p, at, ok := v.find(id)
	if !ok {
		data, err := v.ReadBlob(id, maxDelta)
		return io.NopCloser(bytes.NewReader(data)), int64(len(data)), err
	}
	kind, size, r, err := p.open(id, at)
	if err == nil && kind == object.TypeBlob {
		return r, size, nil
	}
	if err == nil {
		r.Close()
	}
	// Perhaps another copy is whole; and a type that does not fit may itself
	// be damage, which only reading tells.
	data, err := v.ReadBlob(id, maxDelta)
	return io.NopCloser(bytes.NewReader(data)), int64(len(data)), err
}

// OpenFile streams a file's content and returns its size in bytes. Memory is
// bounded. No byte is returned that did not prove to be what was stored, save
// for files that are one blob, whose reader is that of OpenBlob.
func (v *view) OpenFile(c chunk.Content) (io.ReadCloser, int64, error) {
	if c.List.IsZero() {
		return v.OpenBlob(c.Blob)
	}
	r, err := chunk.NewReader(v, c.List)
	if err != nil {
		return nil, 0, err
	}
	return r, r.Size(), nil
}

// FileSize is the size in bytes of a file's content, which is not read.
func (v *view) FileSize(c chunk.Content) (int64, error) {
	if c.List.IsZero() {
		return v.blobSize(c.Blob)
	}
	return chunk.Size(v, c.List)
}

// blobSize is the size of a blob, which is not read where it is no delta.
func (v *view) blobSize(id object.BlobID) (int64, error) {
	if p, at, ok := v.find(id); ok {
		if e, err := readEntry(p.r, at, p.end()); err == nil && e.kind == object.TypeBlob {
			return e.size, nil
		}
	}
	data, err := v.ReadBlob(id, maxDelta)
	return int64(len(data)), err
}

// Directory returns a decoded directory. It is shared: the caller must not
// change it.
func (v *view) Directory(id object.TreeID) (*object.Directory, error) {
	if d, ok := v.dirs.get(id); ok {
		return d, nil
	}
	d, err := object.DecodeDirectory(v, id)
	if err != nil {
		return nil, err
	}
	v.dirs.put(id, d, dirCost(d))
	return d, nil
}

// fewLookups is how many names are looked up in the bytes of a directory before it
// pays to decode it.
const fewLookups = 8

// lookedCache is of how many directories that is counted.
const lookedCache = 1024

// Lookup finds an entry of a directory by its name; nil: there is none. A few
// look-ups cost much less than decoding the directory does, many more.
func (v *view) Lookup(id object.TreeID, name string) (*object.Entry, error) {
	d, decoded := v.dirs.get(id)
	if !decoded && v.often(id) {
		var err error
		if d, err = v.Directory(id); err != nil {
			return nil, err
		}
		decoded = true
	}
	if decoded {
		e, _ := d.Lookup(name)
		return e, nil
	}
	raw, err := object.OpenRaw(v, id)
	if err != nil {
		return nil, fmt.Errorf("directory %s: %w", id, err)
	}
	e, err := raw.Lookup(name)
	if err != nil {
		return nil, fmt.Errorf("directory %s: %w", id, err)
	}
	return e, nil
}

// often counts a look-up in a directory, and tells whether there were many.
func (v *view) often(id object.TreeID) bool {
	n, ok := v.looked.get(id)
	if !ok {
		n = new(atomic.Int32)
		v.looked.put(id, n, 1)
	}
	return n.Add(1) > fewLookups
}

// dirCost is what a directory costs in the cache, in entries; attributes count
// by their length.
func dirCost(d *object.Directory) int {
	bytes := len(d.Options)
	for i := range d.Entries {
		e := &d.Entries[i]
		for _, x := range e.Xattrs {
			bytes += len(x.Name) + len(x.Value) + 32
		}
		for _, t := range e.Tags {
			bytes += len(t.Name) + 80*len(t.Dots)
		}
	}
	return 1 + len(d.Entries) + bytes/256
}

// Commit returns a decoded commit. It is shared: the caller must not change it.
func (v *view) Commit(id object.CommitID) (*object.Commit, error) {
	if c, ok := v.heads.get(id); ok {
		return c, nil
	}
	data, err := v.read(id, object.TypeCommit, object.MaxCommit)
	if err != nil {
		return nil, err
	}
	c, err := object.DecodeCommit(data)
	if err != nil {
		return nil, fmt.Errorf("commit %s: %w", id, err)
	}
	v.heads.put(id, c, 1)
	return c, nil
}
