package object

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// randomChanges sets, replaces and removes names of d, and adds new ones.
func randomChanges(r *rand.Rand, d *Directory, n int) []Change {
	changes := map[string]Change{}
	for range n {
		name := randomName(r)
		if len(d.Entries) > 0 && r.IntN(2) == 0 {
			name = d.Entries[r.IntN(len(d.Entries))].Name
		}
		c := Change{Name: name}
		if r.IntN(3) > 0 {
			e := randomEntry(r, name)
			c.Entry = &e
		}
		changes[name] = c
	}
	return slices.Collect(maps.Values(changes))
}

// changed is the directory with changes.
func changed(t *testing.T, d *Directory, changes []Change) *Directory {
	t.Helper()
	byName := map[string]Entry{}
	for _, e := range d.Entries {
		byName[e.Name] = e
	}
	for _, c := range changes {
		delete(byName, c.Name)
		if c.Entry != nil {
			byName[c.Name] = *c.Entry
		}
	}
	want := &Directory{Entries: slices.AppendSeq([]Entry{}, maps.Values(byName)), Options: d.Options}
	sortByName(want.Entries)
	if got := d.With(changes); !equalDirectories(got, want) {
		t.Fatalf("%+v with %+v became %+v", d, changes, got)
	}
	return want
}

// TestRawEdit: a directory that is edited in its bytes is the one that encoding
// gives, and what is looked up in its bytes is what decoding gives.
func TestRawEdit(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	refused := 0
	for round := range 2000 {
		n := r.IntN(30)
		if round%100 == 0 {
			n = metaSplit - 5 + r.IntN(10)
		} else if round%50 == 0 {
			n = metaSplit + 100 + r.IntN(300)
		}
		d := randomDirectory(r, n)
		m := memory{}
		id, err := EncodeDirectory(d, m)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := OpenRaw(m, id)
		if err != nil {
			t.Fatal(err)
		}
		changes := randomChanges(r, d, 1+r.IntN(8))
		wantLookups(t, raw, d, changes)
		want, err := EncodeDirectory(changed(t, d, changes), memory{})
		if err != nil {
			t.Fatal(err)
		}
		got, ok, err := raw.Edit(m, changes)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if !ok {
			refused++
			continue
		}
		if got != want {
			t.Fatalf("round %d: %d entries, changes %+v: %s, want %s", round, n, changes, got, want)
		}
		if _, err := DecodeDirectory(m, got); err != nil {
			t.Fatalf("round %d: what the edited tree refers to: %v", round, err)
		}
	}
	if refused > 1000 {
		t.Errorf("%d of 2000 were not edited", refused)
	}
}

func wantLookups(t *testing.T, raw *Raw, d *Directory, changes []Change) {
	t.Helper()
	for _, c := range changes {
		got, err := raw.Lookup(c.Name)
		if err != nil {
			t.Fatal(err)
		}
		want, ok := d.Lookup(c.Name)
		if ok != (got != nil) || ok && fmt.Sprintf("%+v", *got) != fmt.Sprintf("%+v", *want) {
			t.Fatalf("%q is looked up as %+v, want %+v", c.Name, got, want)
		}
	}
}

func BenchmarkRawEdit(b *testing.B) {
	for _, n := range []int{1000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			d := &Directory{}
			r := rand.New(rand.NewPCG(1, 1))
			for i := range n {
				d.Entries = append(d.Entries, Entry{Name: fmt.Sprintf("file%06d.txt", i), Kind: File, ID: randomFileID(r), Blob: randomID(r), Mode: 0o644, Mtime: int64(r.Uint64())})
			}
			m := memory{}
			id, err := EncodeDirectory(d, m)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				raw, err := OpenRaw(m, id)
				if err != nil {
					b.Fatal(err)
				}
				e := d.Entries[n/2]
				e.Blob = randomID(r)
				if _, ok, err := raw.Edit(m, []Change{{e.Name, &e}}); err != nil || !ok {
					b.Fatal(ok, err)
				}
			}
		})
	}
}
