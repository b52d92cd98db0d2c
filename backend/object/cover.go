package object

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// ErrFork says that one writer made two commits with one number: its state was
// restored or copied. The error names the writer.
var ErrFork = errors.New("forked writer")

// Get returns the tip of w.
func (c Cover) Get(w Writer) (Tip, bool) {
	i, ok := c.find(w)
	if !ok {
		return Tip{}, false
	}
	return c[i], true
}

func (c Cover) find(w Writer) (int, bool) {
	return slices.BinarySearchFunc(c, w, func(t Tip, w Writer) int { return cmp.Compare(t.Writer, w) })
}

// Has reports whether the writer's commit of that number is covered. It trusts
// the numbers: ids are compared by Contains and Union.
func (c Cover) Has(w Writer, seq uint64) bool {
	t, ok := c.Get(w)
	return ok && seq >= 1 && seq <= t.Seq
}

// Contains reports whether every tip of other is covered by c. At equal
// numbers the ids must be equal too.
func (c Cover) Contains(other Cover) bool {
	i := 0
	for _, t := range other {
		for i < len(c) && c[i].Writer < t.Writer {
			i++
		}
		if i == len(c) || c[i].Writer != t.Writer || c[i].Seq < t.Seq || c[i].Seq == t.Seq && c[i].Commit != t.Commit {
			return false
		}
	}
	return true
}

// Equal reports whether both hold the same tips.
func (c Cover) Equal(other Cover) bool { return slices.Equal(c, other) }

// Union returns what either covers. Where both know a writer at one number by
// different commits the error wraps ErrFork. Neither argument is changed.
func (c Cover) Union(other Cover) (Cover, error) {
	if len(c) == 0 && len(other) == 0 {
		return nil, nil
	}
	u := make(Cover, 0, len(c)+len(other))
	for len(c) > 0 && len(other) > 0 {
		a, b := c[0], other[0]
		switch {
		case a.Writer < b.Writer:
			u, c = append(u, a), c[1:]
		case a.Writer > b.Writer:
			u, other = append(u, b), other[1:]
		default:
			if a.Seq == b.Seq && a.Commit != b.Commit {
				return nil, fmt.Errorf("%w: %s made both %s and %s as number %d", ErrFork, a.Writer, a.Commit, b.Commit, a.Seq)
			}
			if b.Seq > a.Seq {
				a = b
			}
			u, c, other = append(u, a), c[1:], other[1:]
		}
	}
	return append(append(u, c...), other...), nil
}

// With returns c with t in the place of its writer's tip.
func (c Cover) With(t Tip) Cover {
	i, ok := c.find(t.Writer)
	if ok {
		c = slices.Clone(c)
		c[i] = t
		return c
	}
	return slices.Insert(slices.Clone(c), i, t)
}

// FullCover is what the commit, whose id is given, covers: its parents' cover
// and, for a user's commit, itself.
func (c *Commit) FullCover(id CommitID) Cover {
	if c.Writer == "" {
		return c.Cover
	}
	return c.Cover.With(Tip{Writer: c.Writer, Seq: c.Seq, Commit: id})
}

func (c Cover) validate() error {
	for i, t := range c {
		if err := CheckWriter(t.Writer); err != nil {
			return err
		}
		if t.Seq == 0 || t.Commit.IsZero() {
			return invalid("tip of %s has no number or no commit", t.Writer)
		}
		if i > 0 && c[i-1].Writer >= t.Writer {
			return invalid("tip of %s out of order", t.Writer)
		}
	}
	return nil
}
