package tags

import (
	"slices"
	"strings"
	"sync"
)

// File is a FileID.
type File [16]byte

// Index finds files by tag. It holds tagged files alone. All methods may be
// called by several goroutines at once; each sees the index as it was between
// two changes.
type Index struct {
	mu      sync.RWMutex // guards all below
	numbers map[File]uint32
	files   []indexed // by number
	free    []uint32  // numbers that no file has
	tags    map[string]*tag
}

// indexed is one file. A free number has no tags.
type indexed struct {
	id  File
	own []*tag // the tags the file carries, sorted by name
}

// tag is one node of the hierarchy. It lives as long as files is not empty.
type tag struct {
	name     string
	children map[string]struct{} // last parts of the tags right below
	files    []uint32            // sorted: who carries this tag or one below
	own      int                 // how many carry this tag itself
}

// Count says how often a tag is used.
type Count struct {
	Name  string
	Files int // files with this tag or one below it
	Own   int // files with this tag itself; 0 for one that only has tags below it
}

// NewIndex returns an empty index.
func NewIndex() *Index {
	return &Index{
		numbers: map[File]uint32{},
		tags:    map[string]*tag{"": {children: map[string]struct{}{}}},
	}
}

// Set records that f carries these tags and no other. What is no legal name is
// left out. No tags is as Remove.
func (x *Index) Set(f File, names []string) {
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	names = slices.DeleteFunc(names, func(name string) bool { return nameProblem(name) != "" })
	x.mu.Lock()
	defer x.mu.Unlock()
	number, known := x.numbers[f]
	if !known {
		if len(names) == 0 {
			return
		}
		number = x.number(f)
	}
	x.retag(number, names)
	if len(names) == 0 {
		delete(x.numbers, f)
		x.files[number] = indexed{}
		x.free = append(x.free, number)
	}
}

// Remove forgets f. Removing a file that is not there is no error.
func (x *Index) Remove(f File) { x.Set(f, nil) }

// Tags lists the tags that f itself carries, sorted; nil if it has none.
func (x *Index) Tags(f File) []string {
	x.mu.RLock()
	defer x.mu.RUnlock()
	number, known := x.numbers[f]
	if !known {
		return nil
	}
	names := make([]string, len(x.files[number].own))
	for i, t := range x.files[number].own {
		names[i] = t.name
	}
	return names
}

// Differences lists the files that carry other tags in y.
func (x *Index) Differences(y *Index) []File {
	known := map[File]bool{}
	for _, of := range []*Index{x, y} {
		of.mu.RLock()
		for f := range of.numbers {
			known[f] = true
		}
		of.mu.RUnlock()
	}
	var differ []File
	for f := range known {
		if !slices.Equal(x.Tags(f), y.Tags(f)) {
			differ = append(differ, f)
		}
	}
	return differ
}

// Len is the number of tagged files.
func (x *Index) Len() int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return len(x.numbers)
}

// Counts lists every tag in use, and every tag that has one in use below it,
// sorted by name.
func (x *Index) Counts() []Count {
	x.mu.RLock()
	defer x.mu.RUnlock()
	counts := make([]Count, 0, len(x.tags))
	for name, t := range x.tags {
		if name != "" {
			counts = append(counts, Count{Name: name, Files: len(t.files), Own: t.own})
		}
	}
	slices.SortFunc(counts, func(a, b Count) int { return strings.Compare(a.Name, b.Name) })
	return counts
}

// Children lists the last parts of the tags right below a tag, sorted: "acme"
// for "projects". The empty string asks for the top level.
func (x *Index) Children(of string) []string {
	x.mu.RLock()
	defer x.mu.RUnlock()
	t := x.tags[of]
	if t == nil || len(t.children) == 0 {
		return nil
	}
	labels := make([]string, 0, len(t.children))
	for label := range t.children {
		labels = append(labels, label)
	}
	slices.Sort(labels)
	return labels
}

// Match returns the tagged files that q means, in an order that stays the same
// while their tags do. "!done" means the tagged files that are not done.
func (x *Index) Match(q Query) []File {
	if q.root == nil {
		return nil
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	m := q.root.eval(x)
	if m.allBut {
		m.files = filter(x.all(), m.files, false)
	}
	out := make([]File, len(m.files))
	for i, number := range m.files {
		out[i] = x.files[number].id
	}
	return out
}

// Has reports whether a file carries the tag or one below it.
func (x *Index) Has(tag string) bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return len(x.posting(tag)) > 0
}

// all lists the numbers in use. x.mu is held.
func (x *Index) all() []uint32 {
	out := make([]uint32, 0, len(x.numbers))
	for i, f := range x.files {
		if len(f.own) > 0 {
			out = append(out, uint32(i))
		}
	}
	return out
}

// posting lists who carries the tag or one below it. x.mu is held.
func (x *Index) posting(name string) []uint32 {
	if t := x.tags[name]; t != nil && name != "" {
		return t.files
	}
	return nil
}
