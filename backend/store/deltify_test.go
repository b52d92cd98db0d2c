package store

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/silvermirror/smfs/backend/object"
)

// TestDeltify takes small changes of large things through many merges of packs:
// the history grows by what changed, and every version can be read, by git too.
func TestDeltify(t *testing.T) {
	s := newTestStore(t)
	w := newWriter(t, s, 1)
	for i := range 600 {
		w.files[fmt.Sprintf("dir/file%04d", i)] = fmt.Sprint(i)
	}
	text := string(randomBytes(1, 100_000))
	w.files["text"], w.files["toggled"] = text, "a"+text
	w.commit()
	start := s.Size()
	var heads []object.CommitID
	var versions []map[string]string
	const rounds = 52
	for i := range rounds {
		at := i * 700
		text = text[:at] + fmt.Sprint("version ", i) + text[at:]
		w.files["text"] = text
		w.files["toggled"] = string("ab"[i%2]) + w.files["toggled"][1:] // goes back to what it was
		w.files["dir/file0500"] = fmt.Sprint("version ", i)
		heads = append(heads, w.commit())
		versions = append(versions, map[string]string{"text": text, "toggled": w.files["toggled"], "dir/file0500": w.files["dir/file0500"]})
		if i%16 == 15 {
			if err := s.Consolidate(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	for s.PackCount() > 1 {
		before := s.PackCount()
		if err := s.Consolidate(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s.PackCount() == before {
			break
		}
	}
	s = reopen(t, s)
	grown := (s.Size() - start) / rounds
	t.Logf("each small change took %d bytes", grown)
	if grown > 30_000 {
		t.Errorf("each small change took %d bytes", grown)
	}
	for i, head := range heads {
		wantFiles(t, s, head, versions[i])
	}
	deepest := 0
	for _, p := range s.packs() {
		for i := range p.idx.count {
			at, depth := p.idx.at(i).off, 0
			for {
				e, err := readEntry(p.r, at, p.end())
				if err != nil {
					t.Fatal(err)
				}
				if !e.kind.IsDelta() {
					break
				}
				if at, err = p.base(e); err != nil {
					t.Fatal(err)
				}
				depth++
			}
			deepest = max(deepest, depth)
		}
	}
	if deepest == 0 || deepest > maxChain {
		t.Errorf("the longest chain has %d deltas", deepest)
	}
	wantSound(t, s)
	wantGitClean(t, s)

	to := newTestStore(t)
	o := send(t, s, to, s.Head())
	if o.Bytes > s.Size()*2 {
		t.Errorf("%d bytes were sent of a store of %d", o.Bytes, s.Size())
	}
	wantFiles(t, to, heads[3], versions[3])
	wantSound(t, to)
	wantGitClean(t, to)
}

func TestMakeDelta(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	for range 400 {
		source := randomBytes(r.Uint64(), r.IntN(300_000))
		target := bytes.Clone(source)
		for range r.IntN(4) {
			at := r.IntN(len(target) + 1)
			end := min(len(target), at+r.IntN(1000))
			target = append(append(append([]byte{}, target[:at]...), strings.Repeat("x", r.IntN(9000))...), target[end:]...)
		}
		got, err := applyDelta(source, makeDelta(source, target), maxDelta)
		if err != nil || !bytes.Equal(got, target) {
			t.Fatalf("%d bytes become %d, not %d: %v", len(source), len(got), len(target), err)
		}
	}
}

// TestDeltaOfLarge changes a large object in a few places: what it was before takes
// no more than these, wherever they lie, also where one of them has another length.
func TestDeltaOfLarge(t *testing.T) {
	source := randomBytes(1, 4<<20)
	for _, inserted := range []string{"", "a new name and what it is"} {
		target := bytes.Clone(source)
		for _, at := range []int{100, 1 << 20, 3 << 20} {
			copy(target[at:], randomBytes(uint64(at), 20))
		}
		target = append(append(append([]byte{}, target[:7<<19]...), inserted...), target[7<<19:]...)
		delta := makeDelta(source, target)
		if got, err := applyDelta(source, delta, maxDelta); err != nil || !bytes.Equal(got, target) {
			t.Fatalf("it becomes %d bytes, not %d: %v", len(got), len(target), err)
		}
		if len(delta) > 2000 {
			t.Errorf("three changes and %q make a delta of %d bytes", inserted, len(delta))
		}
	}
}
