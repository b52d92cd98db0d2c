package chunk

import (
	"errors"
	"fmt"
	"io"
	"sort"
	"sync"

	"github.com/silvermirror/smfs/backend/object"
)

// ReaderAt reads a file at any place, large or not. It is safe for concurrent use.
// The next chunks are read in advance for who reads from front to back.
type ReaderAt struct {
	source object.Source
	cache  *Cache
	size   int64
	root   node

	held     held  // guarded by cache.mu
	heldSize int64 // likewise

	advance sync.WaitGroup // reads in advance

	mu   sync.Mutex // guards the rest
	path []node     // nodes below the root on the way to the last chunk
	end  int64      // where the last chunk ended
}

// node is a node of the list with its place in the file.
type node struct {
	id    object.TreeID
	start int64
	parts []part
	ends  []int64 // of the parts, in the file
}

// NewReaderAt reads the file that c and size describe; the size of a file in
// chunks is its list's. What is used goes through the cache. The caller closes it.
func NewReaderAt(r object.Source, c Content, size int64, cache *Cache) (*ReaderAt, error) {
	f := &ReaderAt{source: r, cache: cache, size: size, held: held{}}
	if c.List.IsZero() {
		if size > Threshold {
			return nil, fmt.Errorf("%w: blob %s has %d bytes and is not in chunks", object.ErrInvalid, c.Blob, size)
		}
		f.root = newNode(object.TreeID{}, 0, []part{{id: c.Blob, size: size}})
		return f, nil
	}
	parts, err := readNode(r, c.List)
	if err != nil {
		return nil, err
	}
	f.root = newNode(c.List, 0, parts)
	f.size = sizeOf(parts)
	return f, nil
}

func newNode(id object.TreeID, start int64, parts []part) node {
	n := node{id: id, start: start, parts: parts, ends: make([]int64, len(parts))}
	for i, p := range parts {
		start += p.size
		n.ends[i] = start
	}
	return n
}

// Size is how many bytes the file has.
func (f *ReaderAt) Size() int64 { return f.size }

// ReadAt reads what was stored; every byte of it has been checked.
func (f *ReaderAt) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, errors.New("read before the beginning of a file")
	}
	for n < len(p) {
		if off >= f.size {
			return n, io.EOF
		}
		data, start, err := f.chunkAt(off)
		if err != nil {
			return n, err
		}
		k := copy(p[n:], data[off-start:])
		n, off = n+k, off+int64(k)
	}
	return n, nil
}

// Close gives up what the cache holds of the file. No ReadAt may be under way.
func (f *ReaderAt) Close() error {
	f.advance.Wait()
	f.cache.dropFile(f)
	return nil
}

// chunkAt returns the chunk that holds an offset of the file, and where it starts.
func (f *ReaderAt) chunkAt(off int64) ([]byte, int64, error) {
	p, start, err := f.find(off)
	if err != nil {
		return nil, 0, err
	}
	l, load := f.cache.get(f, p)
	f.readOn(start, start+p.size)
	if load {
		f.load(l)
	}
	<-l.done
	return l.data, start, l.err
}

// load reads a chunk for all who wait for it.
func (f *ReaderAt) load(l *loaded) {
	defer close(l.done)
	l.data, l.err = f.source.ReadBlob(l.part.id, maxChunk)
	if l.err == nil && int64(len(l.data)) != l.part.size {
		l.err = fmt.Errorf("%w: chunk %x has %d bytes where its list says %d", object.ErrInvalid, l.part.id, len(l.data), l.part.size)
	}
	if l.err != nil {
		l.data = nil
		f.cache.failed(l)
	}
}

// readAhead is how much is read in advance, in bytes; the next chunk is in any case.
// So several are decoded at once, each on a processor of its own, and they leave room
// in the cache for the one that is read.
const readAhead = maxChunk

// readOn notes which chunk is read, and has the next ones read in advance where this
// one follows the one before. Their places in the cache are taken at once: a late
// start must not bring back what has been read meanwhile.
func (f *ReaderAt) readOn(start, end int64) {
	f.mu.Lock()
	follows := start == f.end
	f.end = end
	f.mu.Unlock()
	for at := end; follows && at < f.size; {
		p, _, err := f.find(at)
		if err != nil {
			return // who reads there is told
		}
		if at += p.size; at > end+readAhead {
			return
		}
		if l, load := f.cache.get(f, p); load {
			f.advance.Go(func() { f.load(l) })
		}
	}
}

// find looks for the chunk that holds an offset of the file: one step a level.
func (f *ReaderAt) find(off int64) (p part, start int64, err error) {
	f.mu.Lock()
	path := f.path
	f.mu.Unlock()
	n := f.root
	var way []node
	for {
		i := sort.Search(len(n.ends), func(i int) bool { return n.ends[i] > off })
		p, start = n.parts[i], n.ends[i]-n.parts[i].size
		if !p.tree {
			break
		}
		if len(way) == maxDepth-1 {
			return p, 0, badList(p.id, "nested too deep")
		}
		if k := len(way); k < len(path) && path[k].id == p.id && path[k].start == start {
			n = path[k]
		} else {
			parts, err := readNode(f.source, p.id)
			if err == nil && sizeOf(parts) != p.size {
				err = badList(p.id, "%d bytes where it should be %d", sizeOf(parts), p.size)
			}
			if err != nil {
				return p, 0, err
			}
			n = newNode(p.id, start, parts)
		}
		way = append(way, n)
	}
	f.mu.Lock()
	f.path = way
	f.mu.Unlock()
	return p, start, nil
}
