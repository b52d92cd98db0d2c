package merge

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"testing"

	"github.com/silvermirror/smfs/backend/object"
)

// repo is a store in memory.
type repo struct {
	*memory
	t       testing.TB
	commits map[object.CommitID]*object.Commit
	looked  int // commits read
}

func newRepo(t testing.TB) *repo {
	r := &repo{memory: newMemory(), t: t, commits: make(map[object.CommitID]*object.Commit)}
	r.exact = true
	return r
}

func (r *repo) Commit(id object.CommitID) (*object.Commit, error) {
	r.looked++
	c, ok := r.commits[id]
	if !ok {
		return nil, fmt.Errorf("no commit %s", id)
	}
	return c, nil
}

// user makes a user's commit.
func (r *repo) user(writer string, seq uint64, f files, parents ...object.CommitID) object.CommitID {
	r.t.Helper()
	c := &object.Commit{
		Tree: r.build(r.t, f), Parents: parents, Author: "node", Email: "key@smfs", Time: int64(1000 * seq),
		Message: "edit", Writer: writer, Seq: seq, Gen: 1,
	}
	for _, p := range parents {
		pc := r.commits[p]
		cover, err := c.Cover.Union(pc.FullCover(p))
		if err != nil {
			r.t.Fatal(err)
		}
		c.Cover, c.Gen = cover, max(c.Gen, pc.Gen+1)
	}
	id, err := commitID(c)
	if err != nil {
		r.t.Fatal(err)
	}
	r.commits[id] = c
	return id
}

func (r *repo) merge(a, b object.CommitID) object.CommitID {
	r.t.Helper()
	m, err := Commit(context.Background(), r, a, b)
	if err != nil {
		r.t.Fatal(err)
	}
	r.commits[m.ID] = m.Commit
	return m.ID
}

func (r *repo) files(id object.CommitID) files { return r.dump(r.t, r.commits[id].Tree) }

func TestCommit(t *testing.T) {
	r := newRepo(t)
	o := r.user(writerA, 1, files{"f": "f one", "g": "g one"})
	a := r.user(writerA, 2, files{"f": "f two", "g": "g one"}, o)
	b := r.user(writerB, 1, files{"f": "f one", "h": "g one"}, o)

	m, err := Commit(context.Background(), r, a, b)
	if err != nil {
		t.Fatal(err)
	}
	other, err := Commit(context.Background(), r, b, a)
	if err != nil || other.ID != m.ID {
		t.Errorf("exchanged: %s, %v; want %s", other.ID, err, m.ID)
	}
	if got, want := r.dump(t, m.Tree), (files{"f": "f two", "h": "g one"}); !maps.Equal(got, want) {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	c := m.Commit
	want := object.Cover{{Writer: writerA, Seq: 2, Commit: a}, {Writer: writerB, Seq: 1, Commit: b}}
	if !c.Cover.Equal(want) || c.Gen != 3 || c.Time != 2000 || c.Merge != Version || c.Writer != "" {
		t.Errorf("got %+v", c)
	}
	if _, ok := r.commits[m.ID]; ok {
		t.Error("the commit was written")
	}
	if err := Verify(context.Background(), r, c); err != nil {
		t.Error(err)
	}
}

func TestVerify(t *testing.T) {
	r := newRepo(t)
	o := r.user(writerA, 1, files{"f": "f one"})
	a := r.user(writerA, 2, files{"f": "f two"}, o)
	b := r.user(writerB, 1, files{"f": "f dos"}, o)
	good := *r.commits[r.merge(a, b)]
	evil := r.build(t, files{"f": "f evil"})

	for name, c := range map[string]struct {
		change func(c *object.Commit)
		want   error
	}{
		"tree":       {func(c *object.Commit) { c.Tree = evil }, ErrForged},
		"time":       {func(c *object.Commit) { c.Time++ }, ErrForged},
		"author":     {func(c *object.Commit) { c.Author = "mallory" }, ErrForged},
		"message":    {func(c *object.Commit) { c.Message = "hello" }, ErrForged},
		"generation": {func(c *object.Commit) { c.Gen++ }, ErrForged},
		"cover":      {func(c *object.Commit) { c.Cover = c.Cover[:1] }, ErrForged},
		"order":      {func(c *object.Commit) { c.Parents = []object.CommitID{c.Parents[1], c.Parents[0]} }, ErrForged},
		"parents":    {func(c *object.Commit) { c.Parents = append([]object.CommitID{o}, c.Parents...) }, ErrForged},
		"needless":   {func(c *object.Commit) { c.Parents = []object.CommitID{o, a} }, ErrForged},
		"version":    {func(c *object.Commit) { c.Merge++ }, ErrVersion},
		"invalid":    {func(c *object.Commit) { c.Message = "" }, object.ErrInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			bad := good
			c.change(&bad)
			if err := Verify(context.Background(), r, &bad); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
	if err := Verify(context.Background(), r, &good); err != nil {
		t.Error(err)
	}
}

func TestCommitRefuses(t *testing.T) {
	r := newRepo(t)
	o := r.user(writerA, 1, files{"f": "f one"})
	a := r.user(writerA, 2, files{"f": "f two"}, o)
	fork := r.user(writerA, 2, files{"f": "f dos"}, o)
	if _, err := Commit(context.Background(), r, o, a); !errors.Is(err, ErrComparable) {
		t.Errorf("parent and child: %v", err)
	}
	if _, err := Commit(context.Background(), r, a, fork); !errors.Is(err, object.ErrFork) {
		t.Errorf("fork: %v", err)
	}
	if _, err := Commit(context.Background(), r, a, object.CommitID{1}); err == nil {
		t.Error("a missing parent is no error")
	}
}

// TestCrissCross: with two newest common commits, either alone as the base
// gives a wrong result without any conflict.
func TestCrissCross(t *testing.T) {
	r := newRepo(t)
	o := r.user(writerA, 1, files{"f": "f one", "g": "g one"})
	c1 := r.user(writerA, 2, files{"f": "f two", "g": "g one"}, o)
	c2 := r.user(writerB, 1, files{"f": "f one", "g": "g two"}, o)
	// Two users merged by hand; one of them took both edits back.
	a := r.user("keyC.1", 1, files{"f": "f one", "g": "g one", "h": "h one"}, c1, c2)
	b := r.user("keyD.1", 1, files{"f": "f two", "g": "g two", "i": "i one"}, c1, c2)

	want := files{"f": "f one", "g": "g one", "h": "h one", "i": "i one"}
	m := r.merge(a, b)
	if got := r.files(m); !maps.Equal(got, want) {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	for _, single := range []object.CommitID{c1, c2} {
		wrong, err := Merge(context.Background(), r, r.commits[single].Tree, sideA(r.commits[a].Tree), sideB(r.commits[b].Tree))
		if err != nil || len(wrong.Conflicts) > 0 || maps.Equal(r.dump(t, wrong.Tree), want) {
			t.Errorf("a single base does as well: the test shows nothing (%v)", err)
		}
	}
	if err := Verify(context.Background(), r, r.commits[m]); err != nil {
		t.Error(err)
	}
}

// TestBaseIsNotStored: a base that was computed leaves nothing behind, and the
// result needs nothing of it. (dump fails on a directory that is not stored.)
func TestBaseIsNotStored(t *testing.T) {
	r := newRepo(t)
	o := r.user(writerA, 1, files{"d/": "d", "d/f": "f one", "d/g": "g one"})
	c1 := r.user(writerA, 2, files{"d/": "d", "d/f": "f two", "d/g": "g one"}, o)
	c2 := r.user(writerB, 1, files{"d/": "d", "d/f": "f one", "d/g": "g two"}, o)
	a := r.user("keyC.1", 1, files{"d/": "d", "d/f": "f two", "d/g": "g two", "a": "a one"}, c1, c2)
	b := r.user("keyD.1", 1, files{"d/": "d", "d/f": "f two", "d/g": "g two", "b": "b one"}, c1, c2)
	r.puts = 0
	got := r.files(r.merge(a, b))
	if want := (files{"d/": "d", "d/f": "f two", "d/g": "g two", "a": "a one", "b": "b one"}); !maps.Equal(got, want) {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if r.puts != 1 {
		t.Errorf("%d directories written, want the new root alone", r.puts)
	}
}

// TestBaseAfterManyMerges: two nodes that always write at once have two newest
// common commits each time. The merge that joined them is found.
func TestBaseAfterManyMerges(t *testing.T) {
	r := newRepo(t)
	head := r.user(writerA, 1, files{"f": "f 0", "g": "g 0"})
	var a, b object.CommitID
	for i := range uint64(40) {
		f := r.files(head)
		f["f"] = fmt.Sprintf("f %d", i)
		a = r.user(writerA, i+2, f, head)
		f = r.files(head)
		f["g"] = fmt.Sprintf("g %d", i)
		b = r.user(writerB, i+1, f, head)
		r.looked = 0
		head = r.merge(a, b)
		if r.looked > 16 {
			t.Fatalf("merge %d read %d commits", i, r.looked)
		}
	}
	if got, want := r.files(head), (files{"f": "f 39", "g": "g 39"}); !maps.Equal(got, want) {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// TestThreeOrders: three versions of one file end the same in whatever order
// they meet: one keeps the name, two are beside it.
func TestThreeOrders(t *testing.T) {
	r := newRepo(t)
	o := r.user("keyO.1", 1, files{"f": "f one"})
	var c [3]object.CommitID
	for i := range c {
		c[i] = r.user(fmt.Sprintf("key%d.1", i), 1, files{"f": fmt.Sprintf("f v%d t=%d", i, i)}, o)
	}
	want := files{"f": "f v2 t=2", copyName("f", "v0"): "~ v0 c=f", copyName("f", "v1"): "~ v1 t=1 c=f"}
	for _, order := range [][3]int{{0, 1, 2}, {0, 2, 1}, {1, 2, 0}} {
		head := r.merge(r.merge(c[order[0]], c[order[1]]), c[order[2]])
		if got := r.files(head); !maps.Equal(got, want) {
			t.Errorf("%v: got\n%swant\n%s", order, got, want)
		}
	}
	// Two merges that share one: criss-cross, without a third.
	m01, m12 := r.merge(c[0], c[1]), r.merge(c[1], c[2])
	if got := r.files(r.merge(m01, m12)); !maps.Equal(got, want) {
		t.Errorf("criss-cross: got\n%swant\n%s", got, want)
	}
}
