package store

import (
	"bytes"
	"crypto/sha1"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"

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

// TestMergeDuplicates merges packs that have two versions as deltas of each other:
// the one from here, and a peer's that sends what is here already.
func TestMergeDuplicates(t *testing.T) {
	s := newTestStore(t)
	w := newWriter(t, s, 1)
	x := string(randomBytes(1, 3000))
	y := x[:1000] + "then" + x[1000:]
	w.files["big"], w.files["f"] = string(randomBytes(9, 900_000)), x
	heads := []object.CommitID{w.commit()}
	for i, text := range []string{y, y[:2000] + "now" + y[2000:]} {
		w.files["f"], w.files["pad"] = text, string(randomBytes(uint64(i), 30_000))
		heads = append(heads, w.commit())
	}
	consolidate := func() {
		if err := s.Consolidate(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	consolidate() // y is a delta of what came after it; x is in the pack that stays

	peer := newTestStore(t)
	send(t, s, peer, heads[2])
	pw := newWriter(t, peer, 2)
	pw.files, pw.ids, pw.head = maps.Clone(w.files), w.ids, heads[2]
	pw.files["g"] = string(randomBytes(13, 40_000))
	head := pw.commit()
	o, _ := packOf(t, peer, head, heads[2])
	pack := packHeader(len(o.ids) + 2)
	for _, id := range o.ids {
		kind, data, err := peer.readAny(id, maxDelta)
		if err != nil {
			t.Fatal(err)
		}
		pack = append(pack, peer.codec.deflated(kind, data)...)
	}
	pack = append(pack, peer.codec.deflated(object.TypeBlob, []byte(x))...)
	var delta bytes.Buffer
	peer.codec.deflate(&delta, makeDelta([]byte(x), []byte(y)))
	id := object.Hash(object.TypeBlob, []byte(x))
	pack = append(append(appendEntryHeader(pack, plumbing.REFDeltaObject, int64(len(makeDelta([]byte(x), []byte(y))))), id[:]...), delta.Bytes()...)
	sum := sha1.Sum(pack)
	if err := accept(s, append(pack, sum[:]...), head); err != nil {
		t.Fatal(err)
	}
	pw.s, pw.head = s, head
	for i, size := range []int{150_000, 450_000} {
		pw.files["more"] = string(randomBytes(uint64(20+i), size))
		heads = append(heads, pw.commit())
	}
	consolidate()
	for i, head := range heads[:2] {
		if got, err := content(s, head, "f"); err != nil || got != []string{x, y}[i] {
			t.Errorf("version %d has %d bytes, %v", i, len(got), err)
		}
	}
	wantSound(t, s)
	wantGitClean(t, s)
}

// TestLongChains takes over a pack with deltas that are deeper than ours: merged, it
// can be sent to peers, which take none of that depth.
func TestLongChains(t *testing.T) {
	s := newTestStore(t)
	w := newWriter(t, s, 1)
	r := rand.New(rand.NewPCG(1, 1))
	lines := make([]string, 800)
	for i := range lines {
		lines[i] = fmt.Sprintf("%x\n", r.Uint64())
	}
	versions := map[object.CommitID]string{}
	edit := func(n int) {
		for range n {
			lines[r.IntN(len(lines))] = fmt.Sprintf("%x\n", r.Uint64())
			w.files["text"] = strings.Join(lines, "")
			versions[w.commit()] = w.files["text"]
		}
	}
	edit(170)
	git(t, s, "repack", "-adfq", "--depth=250", "--window=250")
	s = reopen(t, s)
	w.s = s
	if chains := git(t, s, "verify-pack", "-v", onlyPack(t, s).name+".idx"); !strings.Contains(chains, "chain length = 55:") {
		t.Fatalf("git has made no long chain:\n%s", chains)
	}
	edit(20)
	for s.PackCount() > 1 { // each goes with the one that was repacked, in the end
		if _, err := s.merge(t.Context(), s.packs()); err != nil {
			t.Fatal(err)
		}
	}
	to := newTestStore(t)
	send(t, s, to, w.head)
	for head, text := range versions {
		wantFiles(t, s, head, map[string]string{"text": text})
		wantFiles(t, to, head, map[string]string{"text": text})
	}
	wantSound(t, s)
	wantGitClean(t, s)
}
