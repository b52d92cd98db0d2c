package chunk

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	chunkers "github.com/PlakarKorp/go-cdc-chunkers"

	"github.com/silvermirror/smfs/backend/object"
)

// TestCutpoint compares with another implementation of the algorithm.
func TestCutpoint(t *testing.T) {
	data := random(7, 24<<20)
	clear(data[8<<20 : 15<<20])
	for _, end := range []int{len(data), 100, minChunk, minChunk + 1, avgChunk, maxChunk, 5<<20 + 3} {
		other, err := chunkers.NewChunker("fastcdc-v1.0.0", bytes.NewReader(data[:end]),
			&chunkers.ChunkerOpts{MinSize: minChunk, NormalSize: avgChunk, MaxSize: maxChunk})
		if err != nil {
			t.Fatal(err)
		}
		for rest := data[:end]; len(rest) > 0; {
			want, err := other.Next()
			if err != nil && !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
			got := cutpoint(rest)
			if got != len(want) {
				t.Fatalf("of %d bytes, with %d to come: cut at %d, not %d", end, len(rest), got, len(want))
			}
			rest = rest[got:]
		}
	}
}

// TestPrints edits a file again and again: with what is remembered of its chunks it
// becomes what it becomes without, and what did not change is not stored again.
func TestPrints(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	m, prints := newMemory(), NewPrints()
	data := random(seed, 8<<20)
	var was object.TreeID
	for i := range 14 {
		at := r.IntN(len(data))
		some := random(r.Uint64(), 1+r.IntN(1000))
		switch r.IntN(6) {
		case 0:
			copy(data[at:], some)
		case 1:
			data = append(data[:at:at], append(some, data[at:]...)...)
		case 2:
			data = append(data[:at:at], data[min(len(data), at+r.IntN(1<<20)):]...)
		case 3:
			data = append(data, random(r.Uint64(), r.IntN(3<<20))...)
		case 4: // what ends with the file goes on elsewhere
			data = append(data[:at:at], data...)[:min(at+len(data), 11<<20)]
		case 5:
			clear(data[at:min(len(data), at+r.IntN(6<<20))])
		}
		if i%7 == 6 {
			m = newMemory() // it is remembered, but not stored
		}
		got, err := Put(bytes.NewReader(data), int64(len(data)), m, prints, was)
		if err != nil {
			t.Fatal(err)
		}
		want, err := Hash(bytes.NewReader(data), int64(len(data)))
		if err != nil || got != want {
			t.Fatalf("edit %d of %d bytes: %v, not %v (%v)", i, len(data), got, want, err)
		}
		if !bytes.Equal(get(t, m, got), data) {
			t.Fatalf("edit %d comes back as something else", i)
		}
		was = got.List
	}
	data[len(data)/2]++
	count := &storing{memory: m}
	if _, err := Put(bytes.NewReader(data), int64(len(data)), count, prints, was); err != nil {
		t.Fatal(err)
	}
	if count.bytes > 3*maxChunk {
		t.Errorf("one byte has changed of %d, and chunks of %d were stored", len(data), count.bytes)
	}
}

// storing counts the bytes of blobs.
type storing struct {
	*memory
	bytes int
}

func (c *storing) WriteBlob(data []byte) (object.BlobID, error) {
	id, err := c.memory.WriteBlob(data)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bytes += len(data)
	return id, err
}

// TestPrintsForget holds the memory that they take.
func TestPrintsForget(t *testing.T) {
	p := NewPrints()
	for i := range 10 {
		p.put(object.TreeID{byte(i)}, make([]print, maxPrints/4))
	}
	p.put(object.TreeID{100}, make([]print, maxPrints+1))
	if p.count != maxPrints || len(p.lists) != 4 || len(p.order) != 4 || p.get(object.TreeID{9}) == nil {
		t.Errorf("%d prints in %d lists", p.count, len(p.lists))
	}
}
