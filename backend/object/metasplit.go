package object

import (
	"bytes"
	"crypto/sha1"
	"slices"
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

// partition is a set of entries (places in a list), in the order of their
// standIns, and their keys.
type partition struct {
	places []int32
	keys   [][2]byte // by place; nil where nothing is split
	level  int       // bytes of the key that all share
	depth  int       // level of the leaves
}

func partitionOf(entries []Entry, depth int) partition {
	p := partition{places: make([]int32, len(entries)), depth: depth}
	if depth > 0 {
		p.keys = make([][2]byte, len(entries))
	}
	sorted := true
	for i := range entries {
		name := standIn(&entries[i])
		sorted = sorted && name == entries[i].Name
		p.places[i] = int32(i)
		if depth > 0 {
			sum := sha1.Sum([]byte(name))
			p.keys[i] = [2]byte(sum[:2])
		}
	}
	if !sorted {
		slices.SortFunc(p.places, func(a, b int32) int { return strings.Compare(standIn(&entries[a]), standIn(&entries[b])) })
	}
	return p
}

func (p partition) leaf() bool { return p.level == p.depth }

// split divides by the next byte of the key. Parts keep the order of names.
func (p partition) split() (parts [256]partition) {
	for k := range parts {
		parts[k] = partition{keys: p.keys, level: p.level + 1, depth: p.depth}
	}
	for _, i := range p.places {
		part := &parts[p.keys[i][p.level]]
		part.places = append(part.places, i)
	}
	return parts
}

func partName(k int) string { return string([]byte{hexDigits[k>>4], hexDigits[k&15]}) }

// encodeMeta writes the metadata of sorted entries and returns its tree entry.
func encodeMeta(entries []Entry, w Sink) (TreeEntry, error) {
	t, err := encodePart(entries, partitionOf(entries, metaDepth(len(entries))), w)
	t.Name = metaName
	return t, err
}

func encodePart(entries []Entry, p partition, w Sink) (TreeEntry, error) {
	if p.leaf() {
		b := append(make([]byte, 0, len(metaHeader)+80*len(p.places)), metaHeader...)
		for _, i := range p.places {
			b = appendMeta(b, &entries[i])
		}
		id, err := w.WriteBlob(b)
		return TreeEntry{Mode: GitFile, ID: id}, err
	}
	var tree []TreeEntry
	for k, part := range p.split() {
		if len(part.places) == 0 {
			continue
		}
		t, err := encodePart(entries, part, w)
		if err != nil {
			return t, err
		}
		t.Name = partName(k)
		tree = append(tree, t)
	}
	id, err := w.WriteTree(AppendTree(nil, tree))
	return TreeEntry{Mode: GitTree, ID: id}, err
}

// metaDecoder fills in the metadata of entries, which are sorted by name and
// hold the git mode in Mode until then, and some a standIn for their name.
type metaDecoder struct {
	source  Source
	entries []Entry
	scratch []byte
}

func decodeMeta(r Source, entries []Entry, t TreeEntry) error {
	d := metaDecoder{source: r, entries: entries}
	return d.part(t, partitionOf(entries, metaDepth(len(entries))))
}

func (d *metaDecoder) part(t TreeEntry, p partition) error {
	if t.IsTree() == p.leaf() {
		return invalid("metadata of %d entries is not split as it should be", len(d.entries))
	}
	if p.leaf() {
		return d.blob(BlobID(t.ID), p.places)
	}
	data, err := d.source.ReadTree(t.ID, MaxTree)
	if err != nil {
		return err
	}
	tree, err := ParseTree(data)
	if err != nil {
		return err
	}
	for k, part := range p.split() {
		if len(part.places) == 0 {
			continue
		}
		if len(tree) == 0 || tree[0].Name != partName(k) || tree[0].Mode != GitFile && tree[0].Mode != GitTree {
			return invalid("metadata lacks its part %s", partName(k))
		}
		if err := d.part(tree[0], part); err != nil {
			return err
		}
		tree = tree[1:]
	}
	if len(tree) > 0 {
		return invalid("unknown part %q of the metadata", tree[0].Name)
	}
	return nil
}

// blob reads the metadata of the entries at places: a line each, in order.
func (d *metaDecoder) blob(id BlobID, places []int32) error {
	data, err := d.source.ReadBlob(id, MaxMeta)
	if err != nil {
		return err
	}
	rest, ok := bytes.CutPrefix(data, []byte(metaHeader))
	if !ok {
		return invalid("metadata starts with %.20q", data)
	}
	for _, i := range places {
		var line []byte
		if line, rest, ok = bytes.Cut(rest, []byte{'\n'}); !ok {
			return invalid("metadata ends before %.300q", d.entries[i].Name)
		}
		if err := d.line(line, &d.entries[i]); err != nil {
			return err
		}
	}
	if len(rest) > 0 {
		return invalid("metadata of what is not there: %.100q", rest)
	}
	return nil
}

func (d *metaDecoder) line(line []byte, e *Entry) error {
	mode := GitMode(e.Mode)
	full, err := parseMeta(line, e.Kind, mode)
	if err != nil {
		return err
	}
	if standIn(&full) != e.Name {
		return invalid("metadata of %.300q where that of %.300q should be", full.Name, e.Name)
	}
	full.Blob, full.Chunks, full.Tree = e.Blob, e.Chunks, e.Tree
	d.scratch = appendMeta(d.scratch[:0], &full)
	if !bytes.Equal(d.scratch[:len(d.scratch)-1], line) || gitMode(&full) != mode {
		return invalid("metadata of %.300q is not in its canonical form", e.Name)
	}
	*e = full
	return nil
}
