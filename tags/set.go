package tags

import (
	"cmp"
	"slices"
	"strings"
)

// Dot names the addition of one tag: the signed commit that made it.
type Dot struct {
	Writer string // "<key fingerprint>.<incarnation>", as in Smfs-Writer
	Seq    uint64 // the writer's commit, counted from 1
}

// Compare orders dots by Writer, then Seq.
func (d Dot) Compare(e Dot) int {
	if c := strings.Compare(d.Writer, e.Writer); c != 0 {
		return c
	}
	return cmp.Compare(d.Seq, e.Seq)
}

// Tag is one tag of a file, with the dots that keep it alive. A tag without
// dots does not exist. Dots are sorted by Writer, then Seq, and unique.
type Tag struct {
	Name string // "work", "projects/acme", or "year=2020"
	Dots []Dot
}

// Set is the tags of one file, sorted by Name, unique. The zero value is the
// empty set. Sets are values: no function changes its argument.
type Set []Tag

// Names lists the tags' names in order, nil for the empty set.
func (s Set) Names() []string {
	if len(s) == 0 {
		return nil
	}
	names := make([]string, len(s))
	for i, t := range s {
		names[i] = t.Name
	}
	return names
}

// Has reports whether the file carries exactly this tag.
func (s Set) Has(name string) bool {
	_, found := s.find(name)
	return found
}

// With returns s with the tag, added by d. The dots that the tag had before
// give way to d: its commit has seen them, so they add nothing.
//
// Adding a tag that is there already is how a node says it anew, and keeps the
// tag alive against a removal elsewhere; a caller that wants no change where
// nothing changes asks Has first.
func (s Set) With(name string, d Dot) Set {
	t := Tag{Name: name, Dots: []Dot{d}}
	i, found := s.find(name)
	if !found {
		return slices.Insert(slices.Clone(s), i, t)
	}
	out := slices.Clone(s)
	out[i] = t
	return out
}

// Without returns s without the tag, and s itself if it has no such tag.
func (s Set) Without(name string) Set {
	i, found := s.find(name)
	if !found {
		return s
	}
	if len(s) == 1 {
		return nil
	}
	return slices.Concat(s[:i], s[i+1:])
}

// Equal reports whether both hold the same tags with the same dots.
func (s Set) Equal(o Set) bool {
	return slices.EqualFunc(s, o, func(a, b Tag) bool {
		return a.Name == b.Name && slices.Equal(a.Dots, b.Dots)
	})
}

func (s Set) find(name string) (int, bool) {
	return slices.BinarySearchFunc(s, name, func(t Tag, name string) int {
		return strings.Compare(t.Name, name)
	})
}
