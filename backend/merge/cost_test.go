package merge

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/silvermirror/smfs/backend/object"
)

// TestReadsOnlyWhatChanged: equal subtrees are never read, moved ones neither,
// and only directories that neither side has are written.
func TestReadsOnlyWhatChanged(t *testing.T) {
	m := newMemory()
	tree := func(change func(f files)) object.TreeID {
		f := files{}
		for _, d := range []string{"p", "q", "r", "s"} {
			f[d+"/"] = d
			for i := range 3 {
				sub := fmt.Sprintf("%s/%d/", d, i)
				f[sub] = fmt.Sprintf("%s%d", d, i)
				for j := range 20 {
					f[fmt.Sprintf("%s%d", sub, j)] = fmt.Sprintf("%s%d-%d one", d, i, j)
				}
			}
		}
		change(f)
		return m.build(t, f)
	}
	moved := func(f files) {
		for path, spec := range f {
			if len(path) > 2 && path[:2] == "r/" {
				delete(f, path)
				f["s/r/"+path[2:]] = spec
			}
		}
		delete(f, "r/")
		f["s/r/"] = "r"
	}
	base := tree(func(files) {})
	a := sideA(tree(func(f files) { moved(f); f["p/1/7"] = "p1-7 two" }))
	b := sideB(tree(func(f files) { f["p/1/8"] = "p1-8 two"; f["p/2/1"] = "p2-1 two" }))
	want := tree(func(f files) {
		moved(f)
		f["p/1/7"], f["p/1/8"], f["p/2/1"] = "p1-7 two", "p1-8 two", "p2-1 two"
	})

	reads := make(map[object.TreeID]int)
	m.read = func(id object.TreeID) { reads[id]++ }
	m.puts = 0
	r, err := Merge(context.Background(), m, base, a, b)
	if err != nil {
		t.Fatal(err)
	}
	m.read = nil
	if r.Tree != want {
		t.Errorf("got\n%s", m.dump(t, r.Tree))
	}
	// Three roots; p and p/1 three times, p/2 twice; s twice. Nothing of q or r.
	if len(reads) != 3+3+3+2+2 {
		t.Errorf("%d directories read", len(reads))
	}
	// The root, p and p/1: p/2 is b's, s is a's.
	if m.puts != 3 {
		t.Errorf("%d directories written", m.puts)
	}
}

// TestFailures: an error of the trees and the end of the context come out.
func TestFailures(t *testing.T) {
	m := newMemory()
	base, a, b := m.build(t, files{"f": "f one"}), sideA(m.build(t, files{"f": "f two"})), sideB(m.build(t, files{"f": "f dos"}))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Merge(ctx, m, base, a, b); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	delete(m.dirs, b.Tree)
	if _, err := Merge(context.Background(), m, base, a, b); err == nil {
		t.Error("a missing directory is no error")
	}
}

// TestOneSided: what only one side changed is taken without reading anything.
func TestOneSided(t *testing.T) {
	m := newMemory()
	base, a := m.build(t, files{"f": "f one"}), sideA(m.build(t, files{"f": "f two"}))
	m.read = func(id object.TreeID) { t.Errorf("%s is read", id) }
	same := a
	same.Commit = object.CommitID{1}
	for _, sides := range [][2]Side{{a, sideB(base)}, {sideB(base), a}, {a, same}} {
		if r, err := Merge(context.Background(), m, base, sides[0], sides[1]); err != nil || r.Tree != a.Tree {
			t.Errorf("got %s, %v", r.Tree, err)
		}
	}
}
