package object

import (
	"bytes"
	"fmt"
)

// GitMode is the mode of an entry in a git tree. Only these four occur.
type GitMode uint32

const (
	GitFile       GitMode = 0o100644
	GitExecutable GitMode = 0o100755
	GitSymlink    GitMode = 0o120000
	GitTree       GitMode = 0o40000
)

// TreeEntry is one entry of a git tree, its name as git sees it (escaped).
type TreeEntry struct {
	Mode GitMode
	Name string
	ID   [20]byte
}

// IsTree reports whether the entry names a tree; all others name blobs.
func (e TreeEntry) IsTree() bool { return e.Mode == GitTree }

var gitModes = [...]struct {
	text string
	mode GitMode
}{{"100644 ", GitFile}, {"40000 ", GitTree}, {"100755 ", GitExecutable}, {"120000 ", GitSymlink}}

// ParseTree reads the bytes of a git tree. It accepts exactly what AppendTree
// writes: the four modes, names without NUL and '/', in git's order. (A tree
// and a blob of one name may both occur; DecodeDirectory refuses that.)
func ParseTree(data []byte) ([]TreeEntry, error) {
	entries := make([]TreeEntry, 0, len(data)/40)
	for len(data) > 0 {
		e, n, err := parseTreeEntry(data)
		if err != nil {
			return nil, err
		}
		if k := len(entries); k > 0 && !treeLess(entries[k-1], e) {
			return nil, fmt.Errorf("tree entry %q: %w: out of order", e.Name, ErrInvalid)
		}
		entries = append(entries, e)
		data = data[n:]
	}
	return entries, nil
}

func parseTreeEntry(data []byte) (e TreeEntry, n int, err error) {
	for _, m := range gitModes {
		if len(data) > len(m.text) && string(data[:len(m.text)]) == m.text {
			e.Mode, n = m.mode, len(m.text)
			break
		}
	}
	if n == 0 {
		return e, 0, fmt.Errorf("tree entry %.12q...: %w: unknown mode", data, ErrInvalid)
	}
	end := bytes.IndexByte(data[n:], 0)
	if end < 1 || bytes.IndexByte(data[n:n+end], '/') >= 0 {
		return e, 0, fmt.Errorf("tree entry: %w: bad name", ErrInvalid)
	}
	e.Name = string(data[n : n+end])
	n += end + 1
	if e.Name == "." || e.Name == ".." {
		return e, 0, fmt.Errorf("tree entry %q: %w: bad name", e.Name, ErrInvalid)
	}
	if len(data) < n+20 {
		return e, 0, fmt.Errorf("tree entry %q: %w: cut short", e.Name, ErrInvalid)
	}
	e.ID = [20]byte(data[n : n+20])
	if e.ID == ([20]byte{}) {
		return e, 0, fmt.Errorf("tree entry %q: %w: zero id", e.Name, ErrInvalid)
	}
	return e, n + 20, nil
}

// AppendTree appends the bytes of a git tree. The entries must be in git's
// order (CompareTreeEntries).
func AppendTree(b []byte, entries []TreeEntry) []byte {
	for _, e := range entries {
		for _, m := range gitModes {
			if m.mode == e.Mode {
				b = append(b, m.text...)
			}
		}
		b = append(b, e.Name...)
		b = append(b, 0)
		b = append(b, e.ID[:]...)
	}
	return b
}

func treeLess(a, b TreeEntry) bool { return CompareTreeEntries(a, b) < 0 }

// CompareTreeEntries is git's order in a tree: names bytewise, those of trees
// as if they ended in '/'. It is 0 where both are of one name and both or
// neither are trees.
func CompareTreeEntries(a, b TreeEntry) int {
	n := min(len(a.Name), len(b.Name))
	for i := range n {
		if a.Name[i] != b.Name[i] {
			return int(a.Name[i]) - int(b.Name[i])
		}
	}
	return int(nameEnd(a, n)) - int(nameEnd(b, n))
}

func nameEnd(e TreeEntry, i int) byte {
	if i < len(e.Name) {
		return e.Name[i]
	}
	if e.Mode == GitTree {
		return '/'
	}
	return 0
}
