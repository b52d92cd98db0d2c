package chunk

import (
	"encoding/binary"
	"fmt"
	"strconv"

	"github.com/silvermirror/smfs/backend/object"
)

// Entries of a node: at least, at most, and the divisor that ends one between.
const (
	minNode = 32
	maxNode = 512
	endNode = 96
)

// maxDepth is how many levels a list has at most: more than a file of 2^63
// bytes needs.
const maxDepth = 12

// builder makes the list of a file from its chunks in order.
type builder struct {
	sink   object.Sink
	levels []level // the lowest first
	size   int64
}

// level is the node that is being filled at one height.
type level struct {
	entries []object.TreeEntry
	size    int64
}

func (b *builder) chunk(id object.BlobID, size int64) error {
	b.size += size
	return b.add(0, object.GitFile, id, size)
}

func (b *builder) add(height int, mode object.GitMode, id [20]byte, size int64) error {
	if height == len(b.levels) {
		b.levels = append(b.levels, level{})
	}
	l := &b.levels[height]
	l.size += size
	l.entries = append(l.entries, object.TreeEntry{Mode: mode, Name: fmt.Sprintf("%016x", l.size), ID: id})
	n := len(l.entries)
	if n == maxNode || n >= minNode && binary.BigEndian.Uint32(id[16:])%endNode == 0 {
		return b.end(height)
	}
	return nil
}

// end completes the node at a height and enters it in the one above.
func (b *builder) end(height int) error {
	id, size, err := b.write(height)
	if err != nil {
		return err
	}
	return b.add(height+1, object.GitTree, id, size)
}

func (b *builder) write(height int) (object.TreeID, int64, error) {
	l := &b.levels[height]
	id, err := b.sink.WriteTree(object.AppendTree(nil, l.entries))
	size := l.size
	l.entries, l.size = l.entries[:0], 0
	return id, size, err
}

// finish completes all nodes and returns the list.
func (b *builder) finish() (object.TreeID, error) {
	for height := 0; ; height++ {
		l := &b.levels[height]
		top := height == len(b.levels)-1
		switch {
		case top && height > 0 && len(l.entries) == 1:
			return object.TreeID(l.entries[0].ID), nil
		case top:
			id, _, err := b.write(height)
			return id, err
		case len(l.entries) > 0:
			if err := b.end(height); err != nil {
				return object.TreeID{}, err
			}
		}
	}
}

// part is an entry of a node.
type part struct {
	id   [20]byte
	tree bool
	size int64
}

// readNode reads a node of a list: chunks or nodes, whose sizes are positive.
func readNode(r object.Source, id object.TreeID) ([]part, error) {
	data, err := r.ReadTree(id, maxNode*64)
	if err != nil {
		return nil, err
	}
	entries, err := object.ParseTree(data)
	if err != nil {
		return nil, err
	}
	if len(entries) == 0 || len(entries) > maxNode {
		return nil, badList(id, "%d entries", len(entries))
	}
	parts, end := make([]part, 0, len(entries)), int64(0)
	for _, e := range entries {
		to, err := strconv.ParseInt(e.Name, 16, 64)
		p := part{e.ID, e.IsTree(), to - end}
		if err != nil || fmt.Sprintf("%016x", to) != e.Name || p.size <= 0 || p.tree != entries[0].IsTree() || !p.tree && (e.Mode != object.GitFile || p.size > maxChunk) {
			return nil, badList(id, "entry %q", e.Name)
		}
		parts, end = append(parts, p), to
	}
	return parts, nil
}

func badList(id object.TreeID, format string, args ...any) error {
	return fmt.Errorf("%w: list of chunks %s: "+format, append([]any{object.ErrInvalid, id}, args...)...)
}

// sizeOf is how many bytes a node's parts make up.
func sizeOf(parts []part) (n int64) {
	for _, p := range parts {
		n += p.size
	}
	return n
}
