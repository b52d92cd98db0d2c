package tags

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func file(n int) (f File) {
	binary.BigEndian.PutUint64(f[:], uint64(n))
	return f
}

func query(t testing.TB, s string) Query {
	t.Helper()
	q, err := ParseQuery(s)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func TestIndex(t *testing.T) {
	x := NewIndex()
	x.Set(file(1), []string{"work", "projects/acme/web", "work", "", "no,name"})
	x.Set(file(2), []string{"projects", "projects/acme"})
	x.Set(file(3), []string{"work/late"})
	x.Set(file(4), nil)
	if got := x.Tags(file(1)); !slices.Equal(got, []string{"projects/acme/web", "work"}) {
		t.Errorf("Tags = %q", got)
	}
	if got := x.Tags(file(4)); got != nil || x.Len() != 3 {
		t.Errorf("a file without tags is in the index: %q, %d files", got, x.Len())
	}
	want := []Count{{"projects", 2, 1}, {"projects/acme", 2, 1}, {"projects/acme/web", 1, 1}, {"work", 2, 1}, {"work/late", 1, 1}}
	if got := x.Counts(); !slices.Equal(got, want) {
		t.Errorf("Counts = %v, want %v", got, want)
	}
	for of, want := range map[string][]string{"": {"projects", "work"}, "projects": {"acme"}, "projects/acme": {"web"}, "projects/acme/web": nil, "none": nil} {
		if got := x.Children(of); !slices.Equal(got, want) {
			t.Errorf("Children(%q) = %q, want %q", of, got, want)
		}
	}
	for q, want := range map[string][]File{
		"work": {file(1), file(3)}, "projects,work": {file(1)}, "work,!projects": {file(3)}, "!work": {file(2)}, "none": nil, "!none": {file(1), file(2), file(3)},
		"!work,!projects": nil, "!work/late,!none": {file(1), file(2)},
	} {
		if got := x.Match(query(t, q)); !slices.Equal(got, want) {
			t.Errorf("Match(%s) = %v, want %v", q, got, want)
		}
	}
	if got := x.Match(Query{}); got != nil {
		t.Errorf("the zero query matches %v", got)
	}
	x.Remove(file(2))
	x.Remove(file(2))
	x.Set(file(1), []string{"work"})
	if got := x.Children(""); !slices.Equal(got, []string{"work"}) {
		t.Errorf("tags that nobody has are left: %q", got)
	}
	x.Set(file(5), []string{"projects"})
	if got := x.Match(query(t, "projects")); !slices.Equal(got, []File{file(5)}) {
		t.Errorf("after numbers were reused: %v", got)
	}
	x.Remove(file(1))
	x.Remove(file(3))
	x.Remove(file(5))
	if len(x.Counts()) != 0 || x.Children("") != nil || x.Len() != 0 || len(x.tags) != 1 {
		t.Errorf("the emptied index holds %v", x.Counts())
	}
}

// TestIndexModel holds the index against a map through random changes.
func TestIndexModel(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	names := []string{"a", "b", "c", "a/x", "a/y", "a/x/z", "b/x", "ab"}
	pick := func(max int) []string {
		var out []string
		for range rnd.IntN(max + 1) {
			out = append(out, names[rnd.IntN(len(names))])
		}
		return out
	}
	x, model := NewIndex(), map[File][]string{}
	for i := range 3000 {
		f, own := file(rnd.IntN(60)), pick(3)
		x.Set(f, own)
		if model[f] = slices.Compact(slices.Sorted(slices.Values(own))); len(own) == 0 {
			delete(model, f)
		}
		if i%10 == 0 {
			compareWithModel(t, x, model, query(t, randomQuery(rnd, names)))
		}
	}
}

func randomQuery(rnd *rand.Rand, names []string) string {
	terms := make([]string, 1+rnd.IntN(4))
	for i := range terms {
		terms[i] = []string{"", "!"}[rnd.IntN(2)] + names[rnd.IntN(len(names))]
	}
	return strings.Join(terms, ",")
}

func compareWithModel(t *testing.T, x *Index, model map[File][]string, q Query) {
	t.Helper()
	want := map[File]bool{}
	counts := map[string]Count{}
	for f, own := range model {
		if q.Match(own) {
			want[f] = true
		}
		if got := x.Tags(f); !slices.Equal(got, own) {
			t.Fatalf("Tags = %q, want %q", got, own)
		}
		listed := map[string]bool{}
		for _, name := range own {
			c := counts[name]
			c.Own++
			counts[name] = c
			for up := range upwards(name) {
				listed[up] = true
			}
		}
		for name := range listed {
			c := counts[name]
			c.Name = name
			c.Files++
			counts[name] = c
		}
	}
	got := map[File]bool{}
	for _, f := range x.Match(q) {
		if got[f] {
			t.Fatalf("Match(%s) lists a file twice", q)
		}
		got[f] = true
	}
	if !maps.Equal(got, want) {
		t.Fatalf("Match(%s): %d files, want %d", q, len(got), len(want))
	}
	if list := x.Counts(); len(list) != len(counts) || slices.ContainsFunc(list, func(c Count) bool { return counts[c.Name] != c }) {
		t.Fatalf("Counts = %v, want %v", list, counts)
	}
}

// TestIndexConcurrent changes and reads at once; with -race it finds what is not
// guarded. Each file carries "even" or "odd", never both.
func TestIndexConcurrent(t *testing.T) {
	x := NewIndex()
	both := query(t, "even,odd")
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for i := range 500 {
				x.Set(file(i%50), []string{[]string{"even", "odd"}[(worker+i)%2], fmt.Sprintf("t/%d", i%7)})
				if got := x.Match(both); len(got) > 0 {
					t.Errorf("%d files are even and odd", len(got))
					return
				}
				x.Counts()
				x.Children("t")
				x.Tags(file(i % 50))
				if i%11 == 0 {
					x.Remove(file(i % 50))
				}
			}
		})
	}
	wg.Wait()
}

func TestPostings(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	for range 500 {
		a, b := randomList(rnd), randomList(rnd)
		inB := func(f uint32) bool { return slices.Contains(b, f) }
		var both, onlyA []uint32
		for _, f := range a {
			if inB(f) {
				both = append(both, f)
			} else {
				onlyA = append(onlyA, f)
			}
		}
		either := slices.Compact(slices.Sorted(slices.Values(slices.Concat(a, b))))
		if got := filter(a, b, true); !slices.Equal(got, both) {
			t.Fatalf("filter(%v, %v) = %v, want %v", a, b, got, both)
		}
		if got := filter(a, b, false); !slices.Equal(got, onlyA) {
			t.Fatalf("filter out(%v, %v) = %v, want %v", a, b, got, onlyA)
		}
		if got := unite(a, b); !slices.Equal(got, either) {
			t.Fatalf("unite(%v, %v) = %v, want %v", a, b, got, either)
		}
	}
}

func randomList(rnd *rand.Rand) []uint32 {
	var list []uint32
	for range rnd.IntN(30) {
		list = insert(list, rnd.Uint32N(40))
	}
	return list
}

// benchIndex holds 100,000 files and 1,000 tags: three tags a file, few of them
// on many files, as people tag.
func benchIndex(b *testing.B) *Index {
	b.Helper()
	rnd := rand.New(rand.NewPCG(1, 2))
	zipf := rand.NewZipf(rnd, 1.3, 8, 999)
	x := NewIndex()
	for i := range 100_000 {
		own := make([]string, 3)
		for j := range own {
			n := zipf.Uint64()
			own[j] = fmt.Sprintf("group%d/tag%d", n%10, n)
		}
		x.Set(file(i), own)
	}
	return x
}

func BenchmarkMatch(b *testing.B) {
	x := benchIndex(b)
	for _, s := range []string{"group1/tag301", "group0,group1", "group0/tag0,group1/tag1", "group0/tag0,!group1", "group0,!group1", "!group0"} {
		q := query(b, s)
		b.Run(s, func(b *testing.B) {
			n := 0
			for b.Loop() {
				n = len(x.Match(q))
			}
			b.ReportMetric(float64(n), "files")
		})
	}
}

func BenchmarkSet(b *testing.B) {
	x := benchIndex(b)
	own := [][]string{{"group1/tag1", "a", "b"}, {"group1/tag1", "a", "c"}}
	i := 0
	for b.Loop() {
		i++
		x.Set(file(i%100_000), own[i%2])
	}
}

func TestHas(t *testing.T) {
	x := NewIndex()
	x.Set(File{1}, []string{"work", "projects/acme"})
	for tag, want := range map[string]bool{"work": true, "projects": true, "projects/acme": true, "proj": false, "none": false, "": false} {
		if x.Has(tag) != want {
			t.Errorf("%q: %v", tag, !want)
		}
	}
	x.Remove(File{1})
	if x.Has("work") {
		t.Error("work is there although no file has it")
	}
}

func TestDifferences(t *testing.T) {
	x, y := NewIndex(), NewIndex()
	for _, i := range []*Index{x, y} {
		i.Set(File{1}, []string{"a", "b"})
		i.Set(File{2}, []string{"a"})
	}
	if d := x.Differences(y); len(d) != 0 {
		t.Errorf("equal indexes differ in %v", d)
	}
	x.Set(File{1}, []string{"a"})
	x.Remove(File{2})
	y.Set(File{3}, []string{"c"})
	d := x.Differences(y)
	slices.SortFunc(d, func(a, b File) int { return int(a[0]) - int(b[0]) })
	if !slices.Equal(d, []File{{1}, {2}, {3}}) {
		t.Errorf("they differ in %v", d)
	}
}
