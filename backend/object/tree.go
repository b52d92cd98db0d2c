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
	mode, name, n, err := scanTreeEntry(data)
	if err != nil {
		return e, 0, err
	}
	return TreeEntry{mode, string(name), [20]byte(data[n-20 : n])}, n, nil
}

// scanTreeEntry finds the first entry of a tree: its last 20 bytes are the id,
// n is where the next one begins.
func scanTreeEntry(data []byte) (mode GitMode, name []byte, n int, err error) {
	for _, m := range gitModes {
		if len(data) > len(m.text) && string(data[:len(m.text)]) == m.text {
			mode, n = m.mode, len(m.text)
			break
		}
	}
	if n == 0 {
		return 0, nil, 0, fmt.Errorf("tree entry %.12q...: %w: unknown mode", data, ErrInvalid)
	}
	end := bytes.IndexByte(data[n:], 0)
	if end < 1 || bytes.IndexByte(data[n:n+end], '/') >= 0 {
		return 0, nil, 0, fmt.Errorf("tree entry: %w: bad name", ErrInvalid)
	}
	name = data[n : n+end]
	n += end + 1
	if string(name) == "." || string(name) == ".." {
		return 0, nil, 0, fmt.Errorf("tree entry %q: %w: bad name", name, ErrInvalid)
	}
	if len(data) < n+20 {
		return 0, nil, 0, fmt.Errorf("tree entry %q: %w: cut short", name, ErrInvalid)
	}
	if [20]byte(data[n:n+20]) == ([20]byte{}) {
		return 0, nil, 0, fmt.Errorf("tree entry %q: %w: zero id", name, ErrInvalid)
	}
	return mode, name, n + 20, nil
}

// ReplacedEntries calls emit for each name that two git trees both have, for what
// is of one type and not the same.
func ReplacedEntries(a, b []byte, emit func(old, new TreeEntry)) error {
	for len(a) > 0 && len(b) > 0 {
		_, _, n, err := scanTreeEntry(a)
		if err != nil {
			return err
		}
		if bytes.HasPrefix(b, a[:n]) {
			a, b = a[n:], b[n:]
			continue
		}
		x, n, err := parseTreeEntry(a)
		if err != nil {
			return err
		}
		y, m, err := parseTreeEntry(b)
		if err != nil {
			return err
		}
		c := CompareTreeEntries(x, y)
		if c == 0 && x.ID != y.ID {
			emit(x, y)
		}
		if c <= 0 {
			a = a[n:]
		}
		if c >= 0 {
			b = b[m:]
		}
	}
	return nil
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
	return compareGitNames(a.Name, a.IsTree(), b.Name, b.IsTree())
}

func compareGitNames[A, B string | []byte](a A, aTree bool, b B, bTree bool) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return int(a[i]) - int(b[i])
		}
	}
	return int(nameEnd(a, aTree, n)) - int(nameEnd(b, bTree, n))
}

func nameEnd[N string | []byte](name N, tree bool, i int) byte {
	if i < len(name) {
		return name[i]
	}
	if tree {
		return '/'
	}
	return 0
}
