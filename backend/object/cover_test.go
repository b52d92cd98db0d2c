package object

import (
	"errors"
	"math/rand/v2"
	"testing"
)

// randomCover draws from few writers, each with one history: the commit of a
// number follows from both.
func randomCover(r *rand.Rand) Cover {
	var c Cover
	for _, w := range []Writer{"a.1", "b.1", "b.2", "c.1"} {
		if seq := uint64(r.IntN(4)); seq > 0 {
			c = append(c, Tip{w, seq, CommitID{w[0], w[2], byte(seq)}})
		}
	}
	return c
}

func TestCoverAlgebra(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	l := NewLineage(func(id CommitID) (*Commit, error) {
		c := &Commit{Writer: Writer([]byte{id[0], '.', id[1]}), Seq: uint64(id[2])}
		if id[2] > 1 {
			c.Cover = Cover{{c.Writer, c.Seq - 1, CommitID{id[0], id[1], id[2] - 1}}}
		}
		return c, nil
	})
	r := rand.New(rand.NewPCG(seed, 1))
	union := func(a, b Cover) Cover {
		u, err := a.Union(b)
		if err != nil {
			t.Fatal(err)
		}
		if err := u.validate(); err != nil {
			t.Fatal(err)
		}
		return u
	}
	for range 5000 {
		a, b, c := randomCover(r), randomCover(r), randomCover(r)
		u := union(a, b)
		switch {
		case !u.Equal(union(b, a)):
			t.Fatalf("not commutative: %v, %v", a, b)
		case !union(u, c).Equal(union(a, union(b, c))):
			t.Fatalf("not associative: %v, %v, %v", a, b, c)
		case !union(a, a).Equal(a) || !union(a, nil).Equal(a):
			t.Fatalf("not idempotent: %v", a)
		case !u.Contains(a, l) || !u.Contains(b, l) || !a.Contains(nil, l):
			t.Fatalf("union %v lacks one of %v, %v", u, a, b)
		case a.Contains(b, l) != union(a, b).Equal(a):
			t.Fatalf("contains and union disagree: %v, %v", a, b)
		case l.Agree(a, b) != nil || a.HasAll(b) != a.Contains(b, l) || a.MayContain(b, nil) != a.HasAll(b):
			t.Fatalf("one history, and not by number: %v, %v", a, b)
		case a.Contains(b, l) && b.Contains(a, l) != a.Equal(b):
			t.Fatalf("contains is no order: %v, %v", a, b)
		case a.Contains(b, l) && b.Contains(c, l) && !a.Contains(c, l):
			t.Fatalf("contains is not transitive: %v, %v, %v", a, b, c)
		}
		for _, tip := range u {
			for seq := uint64(1); seq < 5; seq++ {
				if u.Has(tip.Writer, seq) != (a.Has(tip.Writer, seq) || b.Has(tip.Writer, seq)) {
					t.Fatalf("union has %s %d, or should", tip.Writer, seq)
				}
			}
		}
	}
}

func TestCoverFork(t *testing.T) {
	a := Cover{{"a.1", 2, CommitID{1}}}
	b := Cover{{"a.1", 2, CommitID{2}}}
	if _, err := a.Union(b); !errors.Is(err, ErrFork) {
		t.Errorf("union of a fork: %v, want ErrFork", err)
	}
	if a.Contains(b, nil) || b.Contains(a, nil) || a.MayContain(b, nil) {
		t.Error("one side of a fork contains the other")
	}
}

func TestFullCover(t *testing.T) {
	c := sampleCommit()
	before := len(c.Cover)
	full := c.FullCover(CommitID{8})
	if tip, ok := full.Get("k.1"); !ok || tip.Seq != 4 || tip.Commit != (CommitID{8}) || len(full) != before {
		t.Errorf("full cover is %v", full)
	}
	if tip, _ := c.Cover.Get("k.1"); tip.Seq != 3 {
		t.Error("FullCover changed the commit")
	}
	if a := (Cover{{"b.1", 1, CommitID{1}}}).With(Tip{"a.1", 1, CommitID{2}}); a.validate() != nil || len(a) != 2 {
		t.Errorf("With gives %v", a)
	}
}
