package chunk

import (
	"fmt"
	"io"

	"github.com/silvermirror/smfs/backend/object"
)

// Walk tells each node and each chunk of a list, in order, nodes before what is
// below them. For nodes size is 0. It checks the form of the list and its
// sizes, so that what it has passed can be read; the chunks it does not read.
func Walk(r object.Source, list object.TreeID, visit Visitor) (size int64, err error) {
	return walk(r, list, visit, 0)
}

// Visitor is told of the parts of a list. It may be told of one more than once.
// Node says whether to go below; its size counts all the same.
type Visitor interface {
	Node(id object.TreeID) (below bool, err error)
	Chunk(id object.BlobID, size int64) error
}

func walk(r object.Source, node object.TreeID, visit Visitor, depth int) (int64, error) {
	if depth >= maxDepth {
		return 0, badList(node, "nested too deep")
	}
	below, err := visit.Node(node)
	if err != nil {
		return 0, err
	}
	parts, err := readNode(r, node)
	if err != nil {
		return 0, err
	}
	for _, p := range parts {
		if !below {
			break
		}
		if !p.tree {
			if err := visit.Chunk(p.id, p.size); err != nil {
				return 0, err
			}
			continue
		}
		n, err := walk(r, p.id, visit, depth+1)
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

// Reader reads a large file. It is for one goroutine.
type Reader struct {
	source object.Source
	size   int64
	stack  [][]part // nodes on the way to what is read next
	data   []byte   // of the current chunk, not read yet
	err    error
}

// NewReader reads the file that a list makes up. Every chunk is checked against
// its id and its size before any byte of it is returned.
func NewReader(r object.Source, list object.TreeID) (*Reader, error) {
	parts, err := readNode(r, list)
	if err != nil {
		return nil, err
	}
	return &Reader{source: r, size: sizeOf(parts), stack: [][]part{parts}}, nil
}

// Size is how many bytes the file has.
func (r *Reader) Size() int64 { return r.size }

func (r *Reader) Read(p []byte) (int, error) {
	for len(r.data) == 0 && r.err == nil {
		r.err = r.next()
	}
	if r.err != nil {
		return 0, r.err
	}
	n := copy(p, r.data)
	r.data = r.data[n:]
	return n, nil
}

// WriteTo writes chunk by chunk.
func (r *Reader) WriteTo(w io.Writer) (n int64, err error) {
	for {
		k, err := w.Write(r.data)
		n += int64(k)
		if err != nil {
			return n, err
		}
		r.data = nil
		if r.err == nil {
			r.err = r.next()
		}
		if r.err == io.EOF {
			return n, nil
		}
		if r.err != nil {
			return n, r.err
		}
	}
}

// next takes the first part that is left: a chunk is read, a node entered.
func (r *Reader) next() error {
	for len(r.stack) > 0 && len(r.stack[len(r.stack)-1]) == 0 {
		r.stack = r.stack[:len(r.stack)-1]
	}
	if len(r.stack) == 0 {
		return io.EOF
	}
	top := len(r.stack) - 1
	p := r.stack[top][0]
	r.stack[top] = r.stack[top][1:]
	if !p.tree {
		data, err := r.source.ReadBlob(p.id, maxChunk)
		if err == nil && int64(len(data)) != p.size {
			err = fmt.Errorf("%w: chunk %x has %d bytes where its list says %d", object.ErrInvalid, p.id, len(data), p.size)
		}
		r.data = data
		return err
	}
	if len(r.stack) == maxDepth {
		return badList(p.id, "nested too deep")
	}
	parts, err := readNode(r.source, p.id)
	if err == nil && sizeOf(parts) != p.size {
		err = badList(p.id, "%d bytes where it should be %d", sizeOf(parts), p.size)
	}
	r.stack = append(r.stack, parts)
	return err
}
