package object

import (
	"errors"
	"testing"
)

// lines are the commits of writer a.1: 1 to 4, and a fork of it, 3 and 4 after
// the same 2. The first byte is the number, the second 'y' on the fork.
func lines() *Lineage {
	commits := map[CommitID]*Commit{}
	add := func(id, before CommitID, seq uint64, time int64) {
		c := &Commit{Writer: "a.1", Seq: seq, Time: time}
		if seq > 1 {
			c.Cover = Cover{{"a.1", seq - 1, before}}
		}
		commits[id] = c
	}
	add(CommitID{1}, CommitID{}, 1, 10)
	add(CommitID{2}, CommitID{1}, 2, 20)
	add(CommitID{3}, CommitID{2}, 3, 30)
	add(CommitID{4}, CommitID{3}, 4, 40)
	add(CommitID{3, 'y'}, CommitID{2}, 3, 29)
	add(CommitID{4, 'y'}, CommitID{3, 'y'}, 4, 50)
	return NewLineage(func(id CommitID) (*Commit, error) {
		if c, ok := commits[id]; ok {
			return c, nil
		}
		return nil, errors.New("not here")
	})
}

func one(seq uint64, id CommitID) Cover { return Cover{{"a.1", seq, id}} }

func TestContainsComparesIDs(t *testing.T) {
	l := lines()
	main, fork := one(4, CommitID{4}), one(4, CommitID{4, 'y'})
	far := one(9, CommitID{9})
	for _, c := range []struct {
		name            string
		a, b            Cover
		contains, might bool
	}{
		{"below, on the line", main, one(2, CommitID{2}), true, true},
		{"below, on the other line", main, one(3, CommitID{3, 'y'}), false, false},
		{"below, the fork's own", fork, one(3, CommitID{3, 'y'}), true, true},
		{"below both", fork, one(1, CommitID{1}), true, true},
		{"the same number", main, fork, false, false},
		{"a commit that is not here", far, main, false, true},
		{"above", one(2, CommitID{2}), main, false, false},
	} {
		for range 2 { // the second time from memory
			if got := c.a.Contains(c.b, l); got != c.contains {
				t.Errorf("%s: contains: %v", c.name, got)
			}
			if got := c.a.MayContain(c.b, l); got != c.might {
				t.Errorf("%s: may contain: %v", c.name, got)
			}
		}
	}
}

func TestForkIsFoundWhereItBegins(t *testing.T) {
	l := lines()
	for _, c := range [][2]Cover{
		{one(4, CommitID{4}), one(4, CommitID{4, 'y'})},
		{one(4, CommitID{4}), one(3, CommitID{3, 'y'})},
		{one(3, CommitID{3}), one(4, CommitID{4, 'y'})},
	} {
		err := l.Agree(c[0], c[1])
		var f *Fork
		if !errors.As(err, &f) || !errors.Is(err, ErrFork) || *f != (Fork{"a.1", 3, CommitID{3}, CommitID{3, 'y'}}) {
			t.Fatalf("%v and %v: %v", c[0], c[1], err)
		}
		if a, err := l.Stands(f); a || err != nil {
			t.Errorf("the later one stands (%v)", err)
		}
		common, err := l.Common(c[0], c[1])
		if err != nil || !common.Equal(one(2, CommitID{2})) {
			t.Errorf("common is %v (%v)", common, err)
		}
	}
	if err := l.Agree(one(4, CommitID{4}), one(2, CommitID{2})); err != nil {
		t.Error(err)
	}
	if err := l.Agree(one(9, CommitID{9}), one(2, CommitID{2})); !errors.Is(err, ErrUnknownLine) || errors.Is(err, ErrFork) {
		t.Errorf("an unknown line: %v", err)
	}
	if common, err := l.Common(one(1, CommitID{1}), one(1, CommitID{1, 'z'})); len(common) != 0 || err != nil {
		t.Errorf("lines that part at once share %v (%v)", common, err)
	}
	tie := &Fork{"a.1", 3, CommitID{3}, CommitID{3}}
	if a, err := l.Stands(tie); a || err != nil {
		t.Errorf("a tie of one commit: %v %v", a, err)
	}
}
