package object

import (
	"bytes"
	"crypto/sha1"
	"slices"
	"strings"
)

// Raw is a directory in the bytes of its tree. To look names up in it, or to
// change a few, costs a pass over these bytes and the metadata of those names:
// in a large directory a small part of what decoding and encoding it costs. It
// is for directories that are known to be valid.
type Raw struct {
	src      Source
	tree     []byte
	reserved []TreeEntry
	count    int // entries, but for the reserved one
}

// OpenRaw reads the tree of a directory.
func OpenRaw(src Source, id TreeID) (*Raw, error) {
	d := &Raw{src: src}
	var err error
	if d.tree, err = src.ReadTree(id, MaxTree); err != nil {
		return nil, err
	}
	var reserved TreeID
	err = scanTree(d.tree, func(_ []byte, mode GitMode, name []byte, id [20]byte) {
		if mode == GitTree && string(name) == ReservedName {
			reserved = id
		} else {
			d.count++
		}
	})
	if err != nil {
		return nil, err
	}
	if reserved.IsZero() {
		return nil, ErrForeign
	}
	data, err := src.ReadTree(reserved, MaxTree)
	if err != nil {
		return nil, err
	}
	d.reserved, err = ParseTree(data)
	return d, err
}

// scanTree calls emit for each entry of a git tree, with its bytes.
func scanTree(data []byte, emit func(entry []byte, mode GitMode, name []byte, id [20]byte)) error {
	for len(data) > 0 {
		mode, name, n, err := scanTreeEntry(data)
		if err != nil {
			return err
		}
		emit(data[:n], mode, name, [20]byte(data[n-20:]))
		data = data[n:]
	}
	return nil
}

// Lookup finds an entry by its name; nil: there is none.
func (d *Raw) Lookup(name string) (*Entry, error) {
	var e *Entry
	var mode GitMode
	var git [Symlink + 1]string
	for kind := File; kind <= Symlink; kind++ {
		git[kind] = escapeName(name, kind)
	}
	err := scanTree(d.tree, func(_ []byte, m GitMode, is []byte, id [20]byte) {
		if kind := kindOf(m); string(is) == git[kind] {
			e, mode = &Entry{Name: name, Kind: kind, Blob: id}, m
		}
	})
	if err != nil || e == nil {
		return nil, err
	}
	meta, err := d.metaPart(standIn(e))
	if err != nil {
		return nil, err
	}
	at, end := findLine(meta, name)
	if at < 0 {
		return nil, invalid("no metadata of %q", name)
	}
	full, err := parseMeta(meta[at:end-1], e.Kind, mode)
	if err != nil {
		return nil, err
	}
	if full.Blob = e.Blob; e.Kind == Dir {
		full.Blob, full.Tree = BlobID{}, TreeID(e.Blob)
	}
	if e.Kind == File {
		full.Chunks, err = d.chunks(git[File])
	}
	return &full, err
}

func isEntry(mode GitMode, name []byte) bool { return mode != GitTree || string(name) != ReservedName }

// chunks is the list of a large file's chunks, or zero.
func (d *Raw) chunks(git string) (list TreeID, err error) {
	i := d.part(ChunksName)
	if i < 0 {
		return list, nil
	}
	data, err := d.src.ReadTree(TreeID(d.reserved[i].ID), MaxTree)
	if err != nil {
		return list, err
	}
	return list, scanTree(data, func(_ []byte, _ GitMode, name []byte, id [20]byte) {
		if string(name) == git {
			list = id
		}
	})
}

// part is the place of an entry of the reserved tree, or -1.
func (d *Raw) part(name string) int {
	return slices.IndexFunc(d.reserved, func(t TreeEntry) bool { return t.Name == name })
}

// metaPart is the blob that holds the metadata of a name.
func (d *Raw) metaPart(standIn string) ([]byte, error) {
	i := d.part(metaName)
	if i < 0 {
		return nil, invalid("no metadata in %s", ReservedName)
	}
	t, key := d.reserved[i], sha1.Sum([]byte(standIn))
	for level := range metaDepth(d.count) {
		data, err := d.src.ReadTree(TreeID(t.ID), MaxTree)
		if err != nil {
			return nil, err
		}
		parts, err := ParseTree(data)
		if err != nil {
			return nil, err
		}
		k := slices.IndexFunc(parts, func(p TreeEntry) bool { return p.Name == partName(int(key[level])) })
		if k < 0 {
			return nil, invalid("metadata lacks its part %s", partName(int(key[level])))
		}
		t = parts[k]
	}
	return d.src.ReadBlob(BlobID(t.ID), MaxMeta)
}

// findLine returns where a name's line is in metadata: from at to end, its
// newline included; at is -1 where there is none.
func findLine(meta []byte, name string) (at, end int) {
	key := append(appendEscaped([]byte{'\n'}, name, ""), ' ')
	at = bytes.Index(meta, key)
	if at < 0 {
		return -1, 0
	}
	at++
	return at, at + bytes.IndexByte(meta[at:], '\n') + 1
}

// Change sets or, where Entry is nil, removes one name of a directory. The
// entry's Name is Name.
type Change struct {
	Name  string
	Entry *Entry
}

// With returns the directory with changes, of which no two have one name.
func (d *Directory) With(changes []Change) *Directory {
	changes = slices.SortedFunc(slices.Values(changes), func(a, b Change) int { return strings.Compare(a.Name, b.Name) })
	out := &Directory{Options: d.Options, Entries: make([]Entry, 0, len(d.Entries)+len(changes))}
	old := d.Entries
	for _, c := range changes {
		n, there := slices.BinarySearchFunc(old, c.Name, func(e Entry, name string) int { return strings.Compare(e.Name, name) })
		out.Entries = append(out.Entries, old[:n]...)
		if old = old[n:]; there {
			old = old[1:]
		}
		if c.Entry != nil {
			out.Entries = append(out.Entries, *c.Entry)
		}
	}
	out.Entries = append(out.Entries, old...)
	return out
}

// Edit writes the directory with changes, of which no two have one name. It
// gives what EncodeDirectory would; ok is false where it cannot, and wrote
// nothing of use: where the form of the metadata would change, or names are so
// long that the metadata does not tell their order.
func (d *Raw) Edit(w Sink, changes []Change) (id TreeID, ok bool, err error) {
	tree, count, err := d.splice(changes)
	if err != nil {
		return id, false, err
	}
	depth := metaDepth(d.count)
	if depth > 1 || metaDepth(count) != depth || slices.ContainsFunc(changes, func(c Change) bool { return unordered(c.Name) }) {
		return id, false, nil
	}
	reserved := slices.Clone(d.reserved)
	i := d.part(metaName)
	if i < 0 {
		return id, false, invalid("no metadata in %s", ReservedName)
	}
	if reserved[i], ok, err = d.editMeta(w, reserved[i], depth, changes); err != nil || !ok {
		return id, false, err
	}
	if reserved, err = d.editChunks(w, reserved, changes); err != nil {
		return id, false, err
	}
	sub, err := w.WriteTree(AppendTree(nil, reserved))
	if err != nil {
		return id, false, err
	}
	tree.setReserved(sub)
	id, err = w.WriteTree(tree.data)
	return id, true, err
}

// unordered tells a name for which something else may stand in the order of the
// metadata.
func unordered(name string) bool { return 3*len(name) > MaxName && len(escapeBytes(name)) > MaxName }

// splicedTree is a tree that is being written.
type splicedTree struct {
	data     []byte
	reserved int // where the id of the reserved entry is
}

func (t *splicedTree) setReserved(id TreeID) { copy(t.data[t.reserved:], id[:]) }

// splice makes the bytes of the changed tree, and counts its entries.
func (d *Raw) splice(changes []Change) (t splicedTree, count int, err error) {
	gone := map[string]bool{}
	var put []TreeEntry
	for _, c := range changes {
		for kind := File; kind <= Symlink; kind++ {
			gone[escapeName(c.Name, kind)] = true
		}
		if c.Entry != nil {
			if err := c.Entry.Validate(); err != nil {
				return t, 0, err
			}
			put = append(put, treeEntry(c.Entry))
		}
	}
	slices.SortFunc(put, CompareTreeEntries)
	t.data = make([]byte, 0, len(d.tree)+len(put)*40)
	insert := func(e TreeEntry) {
		t.data = AppendTree(t.data, []TreeEntry{e})
		count++
	}
	err = scanTree(d.tree, func(entry []byte, mode GitMode, name []byte, _ [20]byte) {
		for len(put) > 0 && compareGitNames(put[0].Name, put[0].IsTree(), name, mode == GitTree) <= 0 {
			insert(put[0])
			put = put[1:]
		}
		switch {
		case !isEntry(mode, name):
			t.reserved = len(t.data) + len(entry) - 20
		case gone[string(name)]:
			return
		default:
			count++
		}
		t.data = append(t.data, entry...)
	})
	for _, e := range put {
		insert(e)
	}
	return t, count, err
}

// editMeta changes the lines of names. At depth 1 the metadata is a tree of
// parts.
func (d *Raw) editMeta(w Sink, t TreeEntry, depth int, changes []Change) (TreeEntry, bool, error) {
	if depth == 0 {
		meta, err := d.src.ReadBlob(BlobID(t.ID), MaxMeta)
		if err != nil {
			return t, false, err
		}
		meta, ok := editLines(meta, changes)
		if !ok {
			return t, false, nil
		}
		t.ID, err = w.WriteBlob(meta)
		return t, true, err
	}
	data, err := d.src.ReadTree(TreeID(t.ID), MaxTree)
	if err != nil {
		return t, false, err
	}
	parts, err := ParseTree(data)
	if err != nil {
		return t, false, err
	}
	byPart := map[string][]Change{}
	for _, c := range changes {
		sum := sha1.Sum([]byte(c.Name))
		byPart[partName(int(sum[0]))] = append(byPart[partName(int(sum[0]))], c)
	}
	for name, changes := range byPart {
		i, there := slices.BinarySearchFunc(parts, TreeEntry{GitFile, name, [20]byte{}}, CompareTreeEntries)
		meta := []byte(metaHeader)
		if there {
			if meta, err = d.src.ReadBlob(BlobID(parts[i].ID), MaxMeta); err != nil {
				return t, false, err
			}
		} else {
			parts = slices.Insert(parts, i, TreeEntry{GitFile, name, [20]byte{}})
		}
		meta, ok := editLines(meta, changes)
		switch {
		case !ok:
			return t, false, nil
		case len(meta) == len(metaHeader):
			parts = slices.Delete(parts, i, i+1)
		default:
			if parts[i].ID, err = w.WriteBlob(meta); err != nil {
				return t, false, err
			}
		}
	}
	t.ID, err = w.WriteTree(AppendTree(nil, parts))
	return t, true, err
}

// editLines changes the lines of names in metadata. It is not ok where the
// order of a line is not told by its name.
func editLines(meta []byte, changes []Change) ([]byte, bool) {
	for _, c := range changes {
		if at, end := findLine(meta, c.Name); at >= 0 {
			meta = slices.Concat(meta[:at], meta[end:])
		}
		if c.Entry == nil {
			continue
		}
		at, ok := lineAfter(meta, c.Name)
		if !ok {
			return nil, false
		}
		meta = slices.Concat(meta[:at], appendMeta(nil, c.Entry), meta[at:])
	}
	return meta, true
}

// lineAfter returns where the first line is whose name comes after name.
func lineAfter(meta []byte, name string) (int, bool) {
	at := len(metaHeader)
	for at < len(meta) {
		end := at + bytes.IndexByte(meta[at:], '\n') + 1
		text, _, _ := bytes.Cut(meta[at:end], []byte(" "))
		line, err := unhex(string(text))
		if err != nil || end == at || unordered(line) {
			return 0, false
		}
		if line > name {
			break
		}
		at = end
	}
	return at, true
}

// editChunks sets and removes the lists of chunks of names.
func (d *Raw) editChunks(w Sink, reserved []TreeEntry, changes []Change) ([]TreeEntry, error) {
	var lists []TreeEntry
	i := d.part(ChunksName)
	if i >= 0 {
		data, err := d.src.ReadTree(TreeID(reserved[i].ID), MaxTree)
		if err != nil {
			return nil, err
		}
		if lists, err = ParseTree(data); err != nil {
			return nil, err
		}
	}
	changed := false
	for _, c := range changes {
		list := TreeEntry{GitTree, escapeName(c.Name, File), [20]byte{}}
		if c.Entry != nil {
			list.ID = c.Entry.Chunks
		}
		k, there := slices.BinarySearchFunc(lists, list, CompareTreeEntries)
		set := list.ID != [20]byte{}
		switch {
		case there && set:
			lists[k] = list
		case there:
			lists = slices.Delete(lists, k, k+1)
		case set:
			lists = slices.Insert(lists, k, list)
		default:
			continue
		}
		changed = true
	}
	if !changed {
		return reserved, nil
	}
	if i >= 0 {
		reserved = slices.Delete(reserved, i, i+1)
	}
	if len(lists) == 0 {
		return reserved, nil
	}
	id, err := w.WriteTree(AppendTree(nil, lists))
	return slices.Insert(reserved, 0, TreeEntry{GitTree, ChunksName, id}), err
}
