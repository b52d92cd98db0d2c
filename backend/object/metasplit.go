package object

import (
	"bytes"
	"crypto/sha1"
	"strings"
)

// Up to metaSplit entries the metadata of a directory is one blob. Above, it is
// a tree of at most 256 blobs named by the first byte of SHA-1(name), above
// 256 times that a tree of such trees (second byte): a change rewrites one
// small blob. The form depends on the entries alone, so every node agrees.
const metaSplit = 2048

func metaDepth(entries int) int {
	switch {
	case entries <= metaSplit:
		return 0
	case entries <= metaSplit*256:
		return 1
	}
	return 2
}

// encodeMeta writes the metadata of sorted entries and returns its tree entry.
func encodeMeta(entries []Entry, w Sink) (TreeEntry, error) {
	index := make([]int32, len(entries))
	for i := range index {
		index[i] = int32(i)
	}
	var keys [][2]byte
	depth := metaDepth(len(entries))
	if depth > 0 {
		keys = make([][2]byte, len(entries))
		for i := range entries {
			keys[i] = partKey(entries[i].Name)
		}
	}
	t, err := encodePart(entries, index, keys, 0, depth, w)
	t.Name = metaName
	return t, err
}

// encodePart writes the entries in index, which share the first `level` bytes
// of their key.
func encodePart(entries []Entry, index []int32, keys [][2]byte, level, depth int, w Sink) (TreeEntry, error) {
	if level == depth {
		b := append(make([]byte, 0, len(metaHeader)+64*len(index)), metaHeader...)
		for _, i := range index {
			b = appendMeta(b, &entries[i])
		}
		id, err := w.WriteBlob(b)
		return TreeEntry{Mode: GitFile, ID: id}, err
	}
	var parts [256][]int32
	for _, i := range index {
		k := keys[i][level]
		parts[k] = append(parts[k], i)
	}
	var tree []TreeEntry
	for k, part := range parts {
		if len(part) == 0 {
			continue
		}
		t, err := encodePart(entries, part, keys, level+1, depth, w)
		if err != nil {
			return t, err
		}
		t.Name = partName(byte(k))
		tree = append(tree, t)
	}
	id, err := w.WriteTree(AppendTree(nil, tree))
	return TreeEntry{Mode: GitTree, ID: id}, err
}

func partKey(name string) [2]byte {
	sum := sha1.Sum([]byte(name))
	return [2]byte{sum[0], sum[1]}
}

func partName(k byte) string { return string([]byte{hexDigits[k>>4], hexDigits[k&15]}) }

// metaDecoder fills in the metadata of entries, which are sorted by name and
// hold the git mode in Mode as long as their ID is zero.
type metaDecoder struct {
	source  Source
	entries []Entry
	depth   int
	filled  int
	scratch []byte
}

func decodeMeta(r Source, entries []Entry, t TreeEntry) error {
	d := metaDecoder{source: r, entries: entries, depth: metaDepth(len(entries))}
	if err := d.part(t, 0, [2]byte{}); err != nil {
		return err
	}
	if d.filled != len(entries) {
		return invalid("metadata for %d of %d entries", d.filled, len(entries))
	}
	return nil
}

func (d *metaDecoder) part(t TreeEntry, level int, key [2]byte) error {
	if t.IsTree() != (level < d.depth) {
		return invalid("metadata of %d entries is not split as it should be", len(d.entries))
	}
	if level == d.depth {
		return d.blob(t.ID, level, key)
	}
	data, err := d.source.ReadTree(t.ID, MaxTree)
	if err != nil {
		return err
	}
	parts, err := ParseTree(data)
	if err != nil {
		return err
	}
	for _, p := range parts {
		name := p.Name
		if len(name) != 2 || hexValue(name[0]) < 0 || hexValue(name[1]) < 0 || strings.ToLower(name) != name || p.Mode != GitFile && p.Mode != GitTree {
			return invalid("unknown entry %q in the metadata", name)
		}
		key[level] = byte(hexValue(name[0])<<4 | hexValue(name[1]))
		if err := d.part(p, level+1, key); err != nil {
			return err
		}
	}
	return nil
}

// blob reads one metadata blob, whose entries share the first level bytes of
// key. Parts of a split are never empty.
func (d *metaDecoder) blob(id BlobID, level int, key [2]byte) error {
	data, err := d.source.ReadBlob(id, MaxMeta)
	if err != nil {
		return err
	}
	rest, ok := bytes.CutPrefix(data, []byte(metaHeader))
	if !ok || level > 0 && len(rest) == 0 {
		return invalid("metadata starts with %.20q", data)
	}
	at := 0 // lines are sorted, so each entry lies behind the one before
	for len(rest) > 0 {
		var line []byte
		if line, rest, ok = nextLine(rest); !ok {
			return invalid("metadata is cut short")
		}
		if at, err = d.line(line, at, level, key); err != nil {
			return err
		}
	}
	return nil
}

func (d *metaDecoder) line(line []byte, from, level int, key [2]byte) (next int, err error) {
	text, _, _ := bytes.Cut(line, []byte{' '})
	name, err := unhex(string(text))
	if err != nil {
		return 0, err
	}
	i := d.find(name, from)
	if i < 0 {
		return 0, invalid("metadata names %.300q, which is not there or out of order", name)
	}
	e := &d.entries[i]
	mode := GitMode(e.Mode)
	full, err := parseMeta(line, e.Kind, mode)
	if err != nil {
		return 0, err
	}
	full.Blob, full.Tree = e.Blob, e.Tree
	d.scratch = appendMeta(d.scratch[:0], &full)
	if !bytes.Equal(d.scratch[:len(d.scratch)-1], line) || gitMode(&full) != mode || full.ID.IsZero() {
		return 0, invalid("metadata of %.300q is not in its canonical form", name)
	}
	if k := partKey(name); level > 0 && (k[0] != key[0] || level > 1 && k[1] != key[1]) {
		return 0, invalid("metadata of %.300q is in the wrong part", name)
	}
	*e = full
	d.filled++
	return i + 1, nil
}

// find looks for name at or behind from: at once where the metadata is whole,
// else by binary search.
func (d *metaDecoder) find(name string, from int) int {
	if from < len(d.entries) && d.entries[from].Name == name {
		return from
	}
	lo, hi := from, len(d.entries)
	for lo < hi {
		if mid := (lo + hi) / 2; d.entries[mid].Name < name {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo < len(d.entries) && d.entries[lo].Name == name {
		return lo
	}
	return -1
}
