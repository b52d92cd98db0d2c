package merge

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/silvermirror/smfs/backend/object"
)

// check is one property of merging. It returns what is wrong.
type check func(t testing.TB, m *memory, merge mergeFunc, base object.TreeID, a, b Side) error

var checks = map[string]check{
	"symmetric": checkSymmetric,
	"identity":  checkIdentity,
	"valid":     checkValid,
	"again":     checkAgain,
	"content":   checkContent,
	"kept":      checkKept,
}

func checkAll(t testing.TB, m *memory, merge mergeFunc, base object.TreeID, a, b Side) error {
	var errs []error
	for name, c := range checks {
		if err := c(t, m, merge, base, a, b); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	if len(errs) == 0 {
		return nil
	}
	r, err := merge(m, base, a, b)
	return fmt.Errorf("%w\nbase\n%sa\n%sb\n%sresult (%v)\n%s", errors.Join(errs...),
		m.dump(t, base), m.dump(t, a.Tree), m.dump(t, b.Tree), err, m.dump(t, r.Tree))
}

// checkSymmetric: exchanging the sides changes nothing.
func checkSymmetric(t testing.TB, m *memory, merge mergeFunc, base object.TreeID, a, b Side) error {
	x, errX := merge(m, base, a, b)
	y, errY := merge(m, base, b, a)
	if errX != nil || errY != nil || x.Tree != y.Tree {
		return fmt.Errorf("a, b gives %s (%v); b, a gives %s (%v)\n%s", x.Tree, errX, y.Tree, errY, m.dump(t, y.Tree))
	}
	return nil
}

// checkIdentity: a side that changed nothing, or the same, adds nothing.
func checkIdentity(t testing.TB, m *memory, merge mergeFunc, base object.TreeID, a, b Side) error {
	still, same := b, b
	still.Tree, same.Tree = base, a.Tree
	if valid(t, m, a.Tree) != nil {
		return nil // what a merge makes of it is a tree that a node may write
	}
	for _, c := range []struct{ x, y Side }{{a, still}, {still, a}, {a, same}} {
		r, err := merge(m, base, c.x, c.y)
		if err != nil || r.Tree != a.Tree {
			return fmt.Errorf("merging %s and %s gives (%v)\n%s", c.x.Tree, c.y.Tree, err, m.dump(t, r.Tree))
		}
	}
	return nil
}

// checkValid: a tree with unique names, directories and, but for hard links,
// identities. What merging valid trees gives is valid.
func checkValid(t testing.TB, m *memory, merge mergeFunc, base object.TreeID, a, b Side) error {
	r, err := merge(m, base, a, b)
	if err != nil {
		return err
	}
	for _, tree := range []object.TreeID{base, a.Tree, b.Tree} {
		if valid(t, m, tree) != nil {
			return validNames(t, m, r.Tree)
		}
	}
	return valid(t, m, r.Tree)
}

func validNames(t testing.TB, m *memory, tree object.TreeID) error {
	d, err := readDirectory(m, tree)
	if err == nil {
		err = d.Validate()
	}
	if err != nil {
		return err
	}
	m.walk(t, tree, "", func(path string, e *object.Entry) {
		if e.Kind == object.Dir && err == nil {
			var d *object.Directory
			if d, err = readDirectory(m, e.Tree); err == nil {
				err = d.Validate()
			}
		}
	})
	return err
}

func valid(t testing.TB, m *memory, tree object.TreeID) error {
	if err := validNames(t, m, tree); err != nil {
		return err
	}
	var err error
	nodes := make(map[object.FileID]*object.Entry)
	m.walk(t, tree, "", func(path string, e *object.Entry) {
		switch old := nodes[e.ID]; {
		case old == nil:
			nodes[e.ID] = e
		case old.Kind == object.Dir || e.Kind == object.Dir:
			err = fmt.Errorf("%s: the directory is there twice", path)
		case !sameNode(old, e):
			err = fmt.Errorf("%s: differs from its link %s", path, old.Name)
		}
	})
	return err
}

// checkAgain: merging the result with a side once more changes nothing.
func checkAgain(t testing.TB, m *memory, merge mergeFunc, base object.TreeID, a, b Side) error {
	r, err := merge(m, base, a, b)
	if err != nil {
		return err
	}
	if unitedMoved(t, m, base, r.Tree, a.Tree, b.Tree) {
		return nil
	}
	cover, err := a.Cover.Union(b.Cover)
	if err != nil {
		return err
	}
	merged := Side{word[object.CommitID]("0"), r.Tree, cover}
	for _, side := range []Side{a, b, merged} {
		again, err := merge(m, base, merged, side)
		if err != nil || again.Tree != r.Tree {
			return fmt.Errorf("merging with %s again gives (%v)\n%s", side.Commit, err, m.dump(t, again.Tree))
		}
	}
	return nil
}

// unitedMoved reports whether directories were united and something may have
// been moved from or into them. What one side moved from the old to the new one
// then lies where the base has it, so that against the old base it cannot be
// told from what was never moved; what both moved into their new ones lay apart
// and now does not. (In use no base is that old: it covers the merge.)
func unitedMoved(t testing.TB, m *memory, base, result object.TreeID, sides ...object.TreeID) bool {
	ids := func(tree object.TreeID) (dirs map[object.FileID]bool, links int) {
		dirs, files := make(map[object.FileID]bool), make(map[object.FileID]bool)
		m.walk(t, tree, "", func(_ string, e *object.Entry) {
			if e.Kind == object.Dir {
				dirs[e.ID] = true
				return
			}
			if files[e.ID] {
				links++
			}
			files[e.ID] = true
		})
		return dirs, links
	}
	old, links := ids(base)
	now, _ := ids(result)
	united := false
	for _, side := range sides {
		dirs, n := ids(side)
		links += n
		for id := range dirs {
			united = united || !old[id] && !now[id]
		}
	}
	return united && (len(old) > 0 || links > 0)
}

// checkContent: under KeepBoth, content that the base does not have is in the
// result.
func checkContent(t testing.TB, m *memory, merge mergeFunc, base object.TreeID, a, b Side) error {
	r, err := merge(m, base, a, b)
	if err != nil {
		return err
	}
	d, err := readDirectory(m, r.Tree)
	if err != nil || policyOf(d.Options) != KeepBoth {
		return err
	}
	blobs := func(tree object.TreeID) map[body]string {
		out := make(map[body]string)
		m.walk(t, tree, "", func(path string, e *object.Entry) { out[bodyOf(e)] = path })
		return out
	}
	old, now := blobs(base), blobs(r.Tree)
	for _, side := range []Side{a, b} {
		for c, path := range blobs(side.Tree) {
			if _, is := now[c]; !is && old[c] == "" {
				return fmt.Errorf("%s of %s is gone", path, strings.Trim(side.Commit.String(), "0"))
			}
		}
	}
	return nil
}

// checkKept: what neither side deleted is there.
func checkKept(t testing.TB, m *memory, merge mergeFunc, base object.TreeID, a, b Side) error {
	r, err := merge(m, base, a, b)
	if err != nil {
		return err
	}
	ids := func(tree object.TreeID) map[object.FileID]string {
		out := make(map[object.FileID]string)
		m.walk(t, tree, "", func(path string, e *object.Entry) { out[e.ID] = path })
		return out
	}
	inA, inB, now := ids(a.Tree), ids(b.Tree), ids(r.Tree)
	for id, path := range ids(base) {
		if inA[id] != "" && inB[id] != "" && now[id] == "" {
			return fmt.Errorf("%s is gone", path)
		}
	}
	return nil
}
