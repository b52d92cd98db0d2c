package object

import (
	"errors"
	"fmt"
	"slices"
)

// ErrFork says that one writer made two commits with one number: its state was
// restored or copied. The error names the writer.
var ErrFork = errors.New("forked writer")

// ErrUnknownLine says that the commits which would tell a fork are not here.
var ErrUnknownLine = errors.New("commits of a writer are missing")

// Fork is two commits that one writer made with one number. As an error it is
// ErrFork.
type Fork struct {
	Writer Writer
	Seq    uint64
	A, B   CommitID
}

func (f *Fork) Error() string {
	return fmt.Sprintf("%v: %s made both %s and %s as number %d", ErrFork, f.Writer, f.A, f.B, f.Seq)
}

// Is makes a Fork an ErrFork.
func (f *Fork) Is(target error) bool { return target == ErrFork }

// maxLines bounds what a Lineage remembers.
const maxLines = 4096

// Lineage knows the ids of the commits below a cover's tips, as far as the
// commits are here: each names in its own cover the one that its writer made
// before it. To ask costs what lies between two numbers, once. It is not safe
// for concurrent use; nil is one to which nothing is known.
type Lineage struct {
	read  func(CommitID) (*Commit, error)
	known map[line]CommitID
}

// line is a question: which commit has the number in the history of the other.
type line struct {
	tip CommitID
	seq uint64
}

// NewLineage reads commits by read, which fails for those that are not here.
func NewLineage(read func(CommitID) (*Commit, error)) *Lineage {
	return &Lineage{read: read, known: make(map[line]CommitID)}
}

// At returns the commit with a number that t's writer made up to t, and false
// where that is not known here.
func (l *Lineage) At(t Tip, seq uint64) (CommitID, bool) {
	if seq == t.Seq {
		return t.Commit, true
	}
	if l == nil || seq == 0 || seq > t.Seq {
		return CommitID{}, false
	}
	asked := line{t.Commit, seq}
	if id, ok := l.known[asked]; ok {
		return id, true
	}
	for t.Seq > seq {
		var ok bool
		if t, ok = l.before(t); !ok {
			return CommitID{}, false
		}
	}
	if len(l.known) >= maxLines {
		clear(l.known)
	}
	l.known[asked] = t.Commit
	return t.Commit, true
}

// before is the commit that t's writer made before t.
func (l *Lineage) before(t Tip) (Tip, bool) {
	if l == nil {
		return Tip{}, false
	}
	c, err := l.read(t.Commit)
	if err != nil || c.Writer != t.Writer || c.Seq != t.Seq {
		return Tip{}, false
	}
	b, ok := c.Cover.Get(t.Writer)
	return b, ok && b.Seq+1 == t.Seq
}

// same reports whether two tips of one writer lie on one line, and whether
// that is known.
func (l *Lineage) same(a, b Tip) (same, known bool) {
	if a.Seq < b.Seq {
		a, b = b, a
	}
	id, known := l.At(a, b.Seq)
	return id == b.Commit, known
}

// Agree returns nil if a and b name no two commits with one number of one
// writer. Its error is the *Fork of the first writer by name that has one, or
// else wraps ErrUnknownLine. Covers that agree may be compared by number.
func (l *Lineage) Agree(a, b Cover) error {
	var unknown error
	for _, t := range a {
		o, ok := b.Get(t.Writer)
		if !ok {
			continue
		}
		switch same, known := l.same(t, o); {
		case !known && unknown == nil:
			unknown = fmt.Errorf("%w: %s from %d to %d", ErrUnknownLine, t.Writer, min(t.Seq, o.Seq), max(t.Seq, o.Seq))
		case known && !same:
			return l.fork(t, o)
		}
	}
	return unknown
}

// fork finds where two lines part: at the first number for which they have
// different commits, as far as they are known.
func (l *Lineage) fork(a, b Tip) *Fork {
	seq := min(a.Seq, b.Seq)
	x, _ := l.At(a, seq)
	y, _ := l.At(b, seq)
	f := &Fork{a.Writer, seq, x, y}
	for {
		s, okA := l.before(Tip{a.Writer, f.Seq, f.A})
		t, okB := l.before(Tip{a.Writer, f.Seq, f.B})
		if !okA || !okB || s.Commit == t.Commit {
			return f
		}
		f.Seq, f.A, f.B = s.Seq, s.Commit, t.Commit
	}
}

// Common is what both covers hold: by writer, the newest commit that is in
// both. All that would tell must be here.
func (l *Lineage) Common(a, b Cover) (Cover, error) {
	var out Cover
	for _, t := range a {
		o, ok := b.Get(t.Writer)
		if !ok {
			continue
		}
		same, known := l.same(t, o)
		switch {
		case !known:
			return nil, fmt.Errorf("%w: %s below %d", ErrUnknownLine, t.Writer, max(t.Seq, o.Seq))
		case !same:
			f := l.fork(t, o)
			if t, ok = l.before(Tip{f.Writer, f.Seq, f.A}); !ok {
				continue // they part at the first
			}
		case o.Seq < t.Seq:
			t = o
		}
		out = append(out, t)
	}
	return out, nil
}

// Stands reports which of the two commits of a fork stands, A or else B: the
// one that was made first, or has the lower id. So the line that a restored
// node has forgotten stands before the one it begins anew, and all nodes that
// know both decide alike. Both commits must be here.
func (l *Lineage) Stands(f *Fork) (a bool, err error) {
	if l == nil {
		return false, ErrUnknownLine
	}
	x, err := l.read(f.A)
	if err != nil {
		return false, err
	}
	y, err := l.read(f.B)
	if err != nil {
		return false, err
	}
	if x.Time != y.Time {
		return x.Time < y.Time, nil
	}
	return slices.Compare(f.A[:], f.B[:]) < 0, nil
}
