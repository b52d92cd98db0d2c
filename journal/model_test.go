package journal

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// naive is the dirty set as one would write it down: a map from path to mark,
// renames by going through all of it.
type naive map[string]naiveMark

type naiveMark struct {
	kinds KindSet
	busy  int
}

func (m naive) touch(path string, k Kind) {
	mark := m[path]
	mark.kinds |= KindSetOf(k)
	m[path] = mark
}

// rename copies every mark at and under one name to the other, both ways.
func (m naive) rename(a, b string) {
	before := maps.Clone(m)
	for _, way := range [][2]string{{a, b}, {b, a}} {
		for path, mark := range before {
			if path != way[0] && !strings.HasPrefix(path, way[0]+"/") {
				continue
			}
			to := way[1] + path[len(way[0]):]
			merged := m[to]
			merged.kinds |= mark.kinds
			m[to] = merged
		}
	}
}

// compare reports how the journal's marks differ from the model's.
func (m naive) compare(j *Journal) error {
	marks := j.Snapshot("r")
	if len(marks) != len(m) || j.Pending("r") != len(m) {
		return fmt.Errorf("%d marks, %d pending, want %d: %q", len(marks), j.Pending("r"), len(m), slices.Sorted(maps.Keys(m)))
	}
	if !slices.IsSortedFunc(marks, func(a, b Mark) int { return strings.Compare(a.Path, b.Path) }) {
		return fmt.Errorf("not sorted: %+v", marks)
	}
	for _, got := range marks {
		want, ok := m[got.Path]
		if !ok || got.Kinds != want.kinds || got.Busy != (want.busy > 0) {
			return fmt.Errorf("%q has kinds %s, busy %v; want %s, %d in flight (%v)", got.Path, got.Kinds, got.Busy, want.kinds, want.busy, ok)
		}
	}
	return nil
}

// TestModel compares the trie with the naive model over random calls, renames
// of nested directories and other operations in flight included.
func TestModel(t *testing.T) {
	for _, seed := range seeds(t) {
		rnd := rand.New(rand.NewPCG(seed, 4))
		j := mustOpen(t, newSimFiles(rnd))
		m := naive{}
		type flying struct {
			op   *Op
			path string
		}
		var flight []flying
		path := func() string {
			p := pick(rnd, someNames)
			for rnd.IntN(2) == 0 {
				p += "/" + pick(rnd, someNames)
			}
			return p
		}
		for step := range 200 {
			switch rnd.IntN(10) {
			case 0, 1, 2:
				p := path()
				flight = append(flight, flying{begin(t, j, Record{Kind: KindWrite, Path: p}), p})
				m.touch(p, KindWrite)
				mark := m[p]
				mark.busy++
				m[p] = mark
			case 3, 4, 5:
				if len(flight) > 0 {
					i := rnd.IntN(len(flight))
					flight[i].op.End(nil)
					mark := m[flight[i].path]
					mark.busy--
					m[flight[i].path] = mark
					flight = slices.Delete(flight, i, i+1)
				}
			case 6:
				from, to := path(), path()
				if len(flight) > 0 || strings.Count(from, "/") < strings.Count(to, "/") {
					continue // what is in flight moves along: see TestNothingIsMissed
				}
				begin(t, j, Record{Kind: KindRename, Path: from, To: to}).End(nil)
				m.touch(from, KindRename)
				m.touch(to, KindRename)
				if !below(from, to) && !below(to, from) {
					m.rename(from, to)
				}
			default:
				marks := j.Snapshot("r")
				rnd.Shuffle(len(marks), func(i, k int) { marks[i], marks[k] = marks[k], marks[i] })
				marks = marks[:rnd.IntN(len(marks)+1)]
				for i := range marks {
					if rnd.IntN(8) == 0 {
						marks[i].Gen-- // a mark as it was before
					} else if m[marks[i].Path].busy == 0 {
						delete(m, marks[i].Path)
					}
				}
				j.Clear("r", marks)
			}
			if err := m.compare(j); err != nil {
				t.Fatalf("seed %d, step %d: %v", seed, step, err)
			}
			p, isAbove, isBelow := path(), false, false
			for marked := range m {
				isAbove = isAbove || below(p, marked)
				isBelow = isBelow || below(marked, p)
			}
			if j.MarkedAbove("r", p) != isAbove || j.MarkedBelow("r", p) != isBelow {
				t.Fatalf("seed %d, step %d: marked above %q: %v, below: %v", seed, step, p, isAbove, isBelow)
			}
		}
	}
}
