package object

import (
	"cmp"
	"slices"
)

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
// the numbers: ids are compared by Contains.
func (c Cover) Has(w Writer, seq uint64) bool {
	t, ok := c.Get(w)
	return ok && seq >= 1 && seq <= t.Seq
}

// HasAll reports whether c has every number of other. That is to contain it
// only where both are of one history, or agree (Lineage.Agree).
func (c Cover) HasAll(other Cover) bool {
	for _, t := range other {
		if !c.Has(t.Writer, t.Seq) {
			return false
		}
	}
	return true
}

// Contains reports whether c is known to cover every commit that other covers:
// the commits themselves, not as many of them.
func (c Cover) Contains(other Cover, l *Lineage) bool { return c.contains(other, l, false) }

// MayContain is Contains where commits that are not here are taken to be those
// that they would have to be.
func (c Cover) MayContain(other Cover, l *Lineage) bool { return c.contains(other, l, true) }

func (c Cover) contains(other Cover, l *Lineage, unknown bool) bool {
	for _, t := range other {
		own, ok := c.Get(t.Writer)
		if !ok || own.Seq < t.Seq {
			return false
		}
		id, known := l.At(own, t.Seq)
		if known && id != t.Commit || !known && !unknown {
			return false
		}
	}
	return true
}

// Equal reports whether both hold the same tips.
func (c Cover) Equal(other Cover) bool { return slices.Equal(c, other) }

// Union returns what either covers, by number: whether they agree below their
// tips Lineage.Agree tells. Where both know a writer at one number by different
// commits the error is a *Fork. Neither argument is changed.
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
				return nil, &Fork{a.Writer, a.Seq, a.Commit, b.Commit}
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
