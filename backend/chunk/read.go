package chunk

import (
	"io"

	"github.com/silvermirror/smfs/backend/object"
)

// Walk tells each node and each chunk of a list, in order, nodes before what is
// below them. It checks the form of the list and its sizes, so that what it has
// passed can be read; the chunks it does not read. What a list has many times it
// does not go through as often: a few nodes can make up a file of any size.
func Walk(r object.Source, list object.TreeID, visit Visitor) (size int64, err error) {
	w := walker{r, visit, map[met]struct{}{}}
	return w.walk(list, 0, true)
}

// Visitor is told of the parts of a list. It may be told of one more than once, if
// not as often as it is there. Node says whether to go below; its size counts all
// the same.
type Visitor interface {
	Node(id object.TreeID) (below bool, err error)
	Chunk(id object.BlobID, size int64) error
}

type walker struct {
	source object.Source
	visit  Visitor
	met    map[met]struct{}
}

// met is a node where it may be well-formed or not.
type met struct {
	node  object.TreeID
	depth int
	last  bool // of the file
}

func (w *walker) walk(node object.TreeID, depth int, last bool) (int64, error) {
	if depth >= maxDepth {
		return 0, badList(node, "nested too deep")
	}
	below, err := w.visit.Node(node)
	if err != nil {
		return 0, err
	}
	parts, err := readNode(w.source, node)
	if err != nil {
		return 0, err
	}
	if _, again := w.met[met{node, depth, last}]; again || !below {
		return sizeOf(parts), nil
	}
	w.met[met{node, depth, last}] = struct{}{}
	for i, p := range parts {
		ends := last && i == len(parts)-1
		if !p.tree && p.size < minChunk && !ends {
			return 0, badList(node, "a chunk of %d bytes that is not the last", p.size)
		}
		if !p.tree {
			if err := w.visit.Chunk(p.id, p.size); err != nil {
				return 0, err
			}
			continue
		}
		n, err := w.walk(p.id, depth+1, ends)
		if err != nil {
			return 0, err
		}
		if n != p.size {
			return 0, badList(node, "%d bytes where it says %d", n, p.size)
		}
	}
	return sizeOf(parts), nil
}

// Size is how many bytes a list makes up.
func Size(r object.Source, list object.TreeID) (int64, error) {
	parts, err := readNode(r, list)
	return sizeOf(parts), err
}

// Reader reads a large file from front to back. It is for one goroutine.
type Reader struct {
	file *ReaderAt
	off  int64
}

// NewReader reads the file that a list makes up. Every chunk is checked against
// its id and its size before any byte of it is returned. It reads ahead: r must be safe
// for concurrent use. The caller closes it.
func NewReader(r object.Source, list object.TreeID) (*Reader, error) {
	file, err := NewReaderAt(r, Content{List: list}, 0, NewCache())
	if err != nil {
		return nil, err
	}
	return &Reader{file: file}, nil
}

// Size is how many bytes the file has.
func (r *Reader) Size() int64 { return r.file.Size() }

// Close gives up what was read in advance.
func (r *Reader) Close() error { return r.file.Close() }

func (r *Reader) Read(p []byte) (int, error) {
	data, err := r.rest()
	if err != nil {
		return 0, err
	}
	n := copy(p, data)
	r.off += int64(n)
	return n, nil
}

// WriteTo writes chunk by chunk.
func (r *Reader) WriteTo(w io.Writer) (n int64, err error) {
	for {
		data, err := r.rest()
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		k, err := w.Write(data)
		n, r.off = n+int64(k), r.off+int64(k)
		if err != nil {
			return n, err
		}
	}
}

// rest is what is left of the current chunk, or the next one.
func (r *Reader) rest() ([]byte, error) {
	if r.off >= r.file.Size() {
		return nil, io.EOF
	}
	data, start, err := r.file.chunkAt(r.off)
	if err != nil {
		return nil, err
	}
	return data[r.off-start:], nil
}
