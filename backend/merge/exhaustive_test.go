package merge

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/silvermirror/smfs/backend/object"
)

// The small world: two names, each absent, one of two files, a symlink, or a
// directory of two names, each absent or one of the two files: 169 trees and
// 4.8 million triples of them.
const (
	smallNames = 13 // what a name can be: 4 that are no directory, 9 directories
	smallTrees = smallNames * smallNames
)

// identities says which FileIDs the entries of a small tree have.
type identities func(path, content, side string) string

var smallIdentities = map[string]identities{
	// All trees know the same files: only edits, creations and deletions.
	"by path": func(path, _, _ string) string { return path },
	// What is the same is the same file: moves and hard links. (A directory
	// has no content; it is known by its path.)
	"by content": func(path, content, _ string) string {
		if content == "" {
			return path
		}
		return content
	},
	// Each side made its own, of different ids.
	"by side": func(path, _, side string) string { return side + path },
}

// smallTree describes the tree of that number.
func smallTree(n int, id identities, side string) files {
	f := files{}
	for _, name := range []string{"x", "y"} {
		smallName(f, name, n%smallNames, id, side)
		n /= smallNames
	}
	return f
}

func smallName(f files, path string, n int, id identities, side string) {
	contents := []string{"", "one", "two", "->one"}
	if n < len(contents) {
		if n > 0 {
			f[path] = fmt.Sprintf("%s %s t=%d", id(path, contents[n], side), contents[n], n)
		}
		return
	}
	f[path+"/"] = id(path+"/", "", side)
	n -= len(contents)
	smallName(f, path+"/x", n%3, id, side)
	smallName(f, path+"/y", n/3, id, side)
}

// smallWorld holds all small trees, as base and as either side.
type smallWorld struct {
	m     *memory
	trees [3][smallTrees]object.TreeID
}

func newSmallWorld(t testing.TB, id identities) *smallWorld {
	w := &smallWorld{m: newMemory()}
	for i, side := range []string{"o", "a", "b"} {
		for n := range smallTrees {
			w.trees[i][n] = w.m.build(t, smallTree(n, id, side))
		}
	}
	return w
}

func (w *smallWorld) triple(o, a, b int) (object.TreeID, Side, Side) {
	return w.trees[base][o], sideA(w.trees[left][a]), sideB(w.trees[right][b])
}

// TestSmallWorld checks a sample of the small world; all of it, which takes
// hours, with SMFS_EXHAUSTIVE=1.
func TestSmallWorld(t *testing.T) {
	for name, id := range smallIdentities {
		t.Run(name, func(t *testing.T) {
			if os.Getenv("SMFS_EXHAUSTIVE") != "" {
				exhaust(t, id)
				return
			}
			w := newSmallWorld(t, id)
			seeds(t, 800, func(seed uint64) error {
				rng := rand.New(rand.NewPCG(seed, 1))
				base, a, b := w.triple(rng.IntN(smallTrees), rng.IntN(smallTrees), rng.IntN(smallTrees))
				return checkAll(t, w.m, realMerge, base, a, b)
			})
		})
	}
}

// exhaust checks all triples; which side is which is left to checkSymmetric.
func exhaust(t *testing.T, id identities) {
	for o := range smallTrees {
		t.Run(fmt.Sprint("base ", o), func(t *testing.T) {
			t.Parallel()
			w := newSmallWorld(t, id)
			for a := range smallTrees {
				for b := a; b < smallTrees; b++ {
					base, a, b := w.triple(o, a, b)
					if err := checkAll(t, w.m, realMerge, base, a, b); err != nil {
						t.Fatal(err)
					}
				}
			}
		})
	}
}

// broken are merges with one fault each, by the check that must find it.
var broken = map[string]mergeFunc{
	"symmetric": func(t Trees, base object.TreeID, a, b Side) (Result, error) {
		a.Commit, b.Commit = object.CommitID{1}, object.CommitID{2}
		return realMerge(t, base, a, b)
	},
	"identity": func(t Trees, base object.TreeID, a, b Side) (Result, error) {
		r, err := realMerge(t, base, a, b)
		if err == nil && b.Tree == base {
			r.Tree = base
		}
		return r, err
	},
	"valid": changed(func(d *object.Directory) {
		for i := range d.Entries {
			d.Entries[i].Name = d.Entries[0].Name
		}
	}),
	"again": changed(func(d *object.Directory) {
		for i := range d.Entries {
			if d.Entries[i].Kind == object.File {
				d.Entries[i].Mode ^= 1
			}
		}
	}),
	"content": changed(func(d *object.Directory) {
		for i := range d.Entries {
			if !d.Entries[i].Conflict.IsZero() {
				d.Entries = append(d.Entries[:i], d.Entries[i+1:]...)
				return
			}
		}
	}),
	"kept": changed(func(d *object.Directory) {
		if len(d.Entries) > 0 {
			d.Entries = d.Entries[1:]
		}
	}),
}

// changed merges and then damages the root of the result.
func changed(damage func(d *object.Directory)) mergeFunc {
	return func(t Trees, base object.TreeID, a, b Side) (Result, error) {
		r, err := realMerge(t, base, a, b)
		if err != nil {
			return r, err
		}
		d, err := readDirectory(t, r.Tree)
		if err != nil {
			return r, err
		}
		d = &object.Directory{Entries: append([]object.Entry{}, d.Entries...), Options: d.Options}
		damage(d)
		r.Tree, err = t.PutDirectory(d)
		return r, err
	}
}

// TestChecksFindFaults shows that each property can fail.
func TestChecksFindFaults(t *testing.T) {
	for name, c := range checks {
		t.Run(name, func(t *testing.T) {
			w, rng := newSmallWorld(t, smallIdentities["by content"]), rand.New(rand.NewPCG(1, 1))
			for range 2000 {
				base, a, b := w.triple(rng.IntN(smallTrees), rng.IntN(smallTrees), rng.IntN(smallTrees))
				if c(t, w.m, broken[name], base, a, b) != nil {
					return
				}
			}
			t.Errorf("the check passes a merge that is broken")
		})
	}
}
