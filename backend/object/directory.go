package object

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrForeign says that a tree has no metadata: plain git made it, and it must
// be imported before it can be used.
var ErrForeign = errors.New("tree was not written by smfs")

// Limits on what DecodeDirectory reads at once, in bytes.
const (
	MaxTree    = 128 << 20
	MaxMeta    = 128 << 20
	MaxOptions = 1 << 20
)

// ChunksName is the entry of a directory's reserved tree that holds lists of
// chunks.
const ChunksName = "chunks"

const (
	metaName    = "meta"
	optionsName = "resource.ini"
)

// Source reads the objects a directory is made of. It returns the whole
// content, already checked against the id, or an error where the object is
// missing or longer than max bytes.
type Source interface {
	ReadTree(id TreeID, max int64) ([]byte, error)
	ReadBlob(id BlobID, max int64) ([]byte, error)
}

// Sink takes the objects a directory is made of. It must not keep data.
type Sink interface {
	WriteTree(data []byte) (TreeID, error)
	WriteBlob(data []byte) (BlobID, error)
}

// EncodeDirectory writes d and returns the id of its tree. The same directory
// gives the same bytes on every node. d must be valid.
func EncodeDirectory(d *Directory, w Sink) (TreeID, error) {
	if err := d.Validate(); err != nil {
		return TreeID{}, fmt.Errorf("encode directory: %w", err)
	}
	reserved, err := encodeReserved(d, w)
	if err != nil {
		return TreeID{}, fmt.Errorf("encode directory: %w", err)
	}
	entries := make([]TreeEntry, 0, len(d.Entries)+1)
	size := 0
	for i := range d.Entries {
		e := treeEntry(&d.Entries[i])
		entries, size = append(entries, e), size+len(e.Name)+28
	}
	entries = append(entries, TreeEntry{GitTree, ReservedName, reserved})
	slices.SortFunc(entries, CompareTreeEntries)
	return w.WriteTree(AppendTree(make([]byte, 0, size+40), entries))
}

func treeEntry(e *Entry) TreeEntry {
	id := [20]byte(e.Blob)
	if e.Kind == Dir {
		id = e.Tree
	}
	return TreeEntry{gitMode(e), escapeName(e.Name, e.Kind), id}
}

func encodeReserved(d *Directory, w Sink) (TreeID, error) {
	entries, err := encodeChunks(d.Entries, w)
	if err != nil {
		return TreeID{}, err
	}
	meta, err := encodeMeta(d.Entries, w)
	if err != nil {
		return TreeID{}, err
	}
	entries = append(entries, meta)
	if d.Options != nil {
		id, err := w.WriteBlob(d.Options)
		if err != nil {
			return TreeID{}, err
		}
		entries = append(entries, TreeEntry{GitFile, optionsName, id})
	}
	return w.WriteTree(AppendTree(nil, entries))
}

// DecodeDirectory reads the directory whose tree is id. It accepts exactly
// what EncodeDirectory writes, byte for byte; other trees give an error that
// wraps ErrForeign or ErrInvalid. Errors of r come back wrapped.
func DecodeDirectory(r Source, id TreeID) (*Directory, error) {
	d, err := decodeDirectory(r, id)
	if err != nil {
		return nil, fmt.Errorf("decode directory %s: %w", id, err)
	}
	return d, nil
}

func decodeDirectory(r Source, id TreeID) (*Directory, error) {
	data, err := r.ReadTree(id, MaxTree)
	if err != nil {
		return nil, err
	}
	git, err := ParseTree(data)
	if err != nil {
		return nil, err
	}
	d, reserved, err := decodeNames(git)
	if err != nil {
		return nil, err
	}
	data, err = r.ReadTree(reserved, MaxTree)
	if err != nil {
		return nil, err
	}
	if git, err = ParseTree(data); err != nil {
		return nil, err
	}
	if err := decodeReserved(r, d, git); err != nil {
		return nil, err
	}
	sortByName(d.Entries) // some have got their names only now
	return d, d.Validate()
}

// decodeNames takes from a tree what it says itself: names, kinds, contents.
func decodeNames(git []TreeEntry) (d *Directory, reserved TreeID, err error) {
	d = &Directory{Entries: make([]Entry, 0, len(git))}
	for _, t := range git {
		if t.Name == ReservedName && t.IsTree() && reserved.IsZero() {
			reserved = t.ID
			continue
		}
		e := Entry{Kind: kindOf(t.Mode)}
		if e.Name, err = unescapeName(t.Name, e.Kind); err != nil {
			return nil, reserved, err
		}
		if e.Kind == Dir {
			e.Tree = t.ID
		} else {
			e.Blob = t.ID
		}
		e.Mode = uint32(t.Mode) // until the metadata is here
		d.Entries = append(d.Entries, e)
	}
	if reserved.IsZero() {
		return nil, reserved, ErrForeign
	}
	sortByName(d.Entries)
	return d, reserved, nil
}

func sortByName(list []Entry) {
	byName := func(a, b Entry) int { return strings.Compare(a.Name, b.Name) }
	if !slices.IsSortedFunc(list, byName) {
		slices.SortFunc(list, byName)
	}
}

func kindOf(m GitMode) Kind {
	switch m {
	case GitTree:
		return Dir
	case GitSymlink:
		return Symlink
	}
	return File
}

func decodeReserved(r Source, d *Directory, git []TreeEntry) error {
	var seen int
	var chunks TreeID
	for _, t := range git {
		switch {
		case t.Name == ChunksName && t.IsTree():
			chunks = t.ID
		case t.Name == metaName && t.Mode != GitExecutable && t.Mode != GitSymlink && seen == 0:
			if err := decodeMeta(r, d.Entries, t); err != nil {
				return err
			}
			seen++
		case t.Name == optionsName && t.Mode == GitFile:
			options, err := r.ReadBlob(t.ID, MaxOptions)
			if err != nil {
				return err
			}
			d.Options = append([]byte{}, options...)
		default:
			return invalid("unknown entry %q in %s", t.Name, ReservedName)
		}
	}
	if seen == 0 {
		return invalid("no metadata in %s", ReservedName)
	}
	return decodeChunks(r, d, chunks)
}

// encodeChunks writes the tree that holds the lists of large files, each at the
// name that the file has in the directory's own tree.
func encodeChunks(entries []Entry, w Sink) ([]TreeEntry, error) {
	var lists []TreeEntry
	for i := range entries {
		if e := &entries[i]; !e.Chunks.IsZero() {
			lists = append(lists, TreeEntry{GitTree, escapeName(e.Name, e.Kind), e.Chunks})
		}
	}
	if len(lists) == 0 {
		return nil, nil
	}
	slices.SortFunc(lists, CompareTreeEntries)
	id, err := w.WriteTree(AppendTree(nil, lists))
	return []TreeEntry{{GitTree, ChunksName, id}}, err
}

// decodeChunks tells large files which lists they have. Their names are final.
func decodeChunks(r Source, d *Directory, chunks TreeID) error {
	if chunks.IsZero() {
		return nil
	}
	data, err := r.ReadTree(chunks, MaxTree)
	if err != nil {
		return err
	}
	lists, err := ParseTree(data)
	if err != nil {
		return err
	}
	byName := make(map[string]TreeID, len(lists))
	for _, l := range lists {
		if !l.IsTree() {
			return invalid("%q in %s/%s is no list of chunks", l.Name, ReservedName, ChunksName)
		}
		byName[l.Name] = l.ID
	}
	for i := range d.Entries {
		e := &d.Entries[i]
		if e.Kind == File {
			name := escapeName(e.Name, e.Kind)
			e.Chunks = byName[name]
			delete(byName, name)
		}
	}
	if len(byName) > 0 || len(lists) == 0 {
		return invalid("chunks in %s of a file that is not there", ReservedName)
	}
	return nil
}
