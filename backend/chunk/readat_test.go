package chunk

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/silvermirror/smfs/backend/object"
)

// counting counts what is read, and can have lost blobs.
type counting struct {
	*memory
	blobs, trees atomic.Int64
	lost         object.BlobID
}

func (c *counting) ReadBlob(id object.BlobID, max int64) ([]byte, error) {
	c.blobs.Add(1)
	if id == c.lost {
		return nil, errAbsent
	}
	return c.memory.ReadBlob(id, max)
}

func (c *counting) ReadTree(id object.TreeID, max int64) ([]byte, error) {
	c.trees.Add(1)
	return c.memory.ReadTree(id, max)
}

func openAt(t *testing.T, m object.Source, c Content, size int, cache *Cache) *ReaderAt {
	t.Helper()
	r, err := NewReaderAt(m, c, int64(size), cache)
	if err != nil {
		t.Fatal(err)
	}
	if r.Size() != int64(size) {
		t.Errorf("size %d, want %d", r.Size(), size)
	}
	return r
}

// TestReadAt reads files at random places, by several at once.
func TestReadAt(t *testing.T) {
	for _, size := range []int{0, 1, 1000, Threshold, Threshold + 1, 9 << 20} {
		m := &counting{memory: newMemory()}
		data := random(uint64(size), size)
		c := put(t, m, data)
		cache := NewCache()
		r := openAt(t, m, c, size, cache)
		var readers sync.WaitGroup
		for seed := range uint64(4) {
			readers.Go(func() {
				rnd := rand.New(rand.NewPCG(seed, 1))
				for range 50 {
					off, n := rnd.IntN(size+10), rnd.IntN(3<<20)
					p := make([]byte, n)
					got, err := r.ReadAt(p, int64(off))
					want := data[min(off, size):min(off+n, size)]
					if !bytes.Equal(p[:got], want) || (err == io.EOF) != (off+n > size) && n > 0 || err != nil && err != io.EOF {
						t.Errorf("size %d: %d bytes at %d: %d, %v", size, n, off, got, err)
						return
					}
				}
			})
		}
		readers.Wait()
		if cache.size > cacheOfFile {
			t.Errorf("size %d: %d bytes are kept of one file", size, cache.size)
		}
		if err := r.Close(); err != nil || cache.size != 0 || cache.order.Len() != 0 {
			t.Errorf("size %d: closed with %d bytes kept, %v", size, cache.size, err)
		}
	}
}

// TestReadAtOnce reads from front to back: each chunk and each node is read once.
func TestReadAtOnce(t *testing.T) {
	m := &counting{memory: newMemory()}
	data := random(3, 60<<20)
	r := openAt(t, m, put(t, m, data), len(data), NewCache())
	defer r.Close()
	n := int64(0)
	if err := countChunks(m.memory, r.root.id, &n); err != nil {
		t.Fatal(err)
	}
	m.trees.Store(0)
	got, err := io.ReadAll(io.NewSectionReader(r, 0, r.Size()))
	if err != nil || !bytes.Equal(got, data) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	if m.blobs.Load() != n {
		t.Errorf("%d chunks read, there are %d", m.blobs.Load(), n)
	}
	if most := int64(2 * (len(r.root.parts) + 1)); m.trees.Load() > most {
		t.Errorf("%d nodes read, more than %d", m.trees.Load(), most)
	}
}

// countChunks counts the chunks of a list.
func countChunks(m object.Source, list object.TreeID, n *int64) error {
	_, err := Walk(m, list, counter{n})
	return err
}

type counter struct{ n *int64 }

func (c counter) Node(object.TreeID) (bool, error) { return true, nil }
func (c counter) Chunk(object.BlobID, int64) error { *c.n++; return nil }

// TestReadAtDamaged: of a file that has lost a chunk the rest can be read, and all
// of it once the chunk is back.
func TestReadAtDamaged(t *testing.T) {
	m := &counting{memory: newMemory()}
	data := random(4, 8<<20)
	r := openAt(t, m, put(t, m, data), len(data), NewCache())
	defer r.Close()
	lost := r.root.parts[2]
	start := r.root.ends[1]
	m.lost = lost.id
	one := make([]byte, 1)
	for range 2 {
		if _, err := r.ReadAt(one, start+lost.size/2); !errors.Is(err, errAbsent) {
			t.Errorf("what is lost: %v", err)
		}
	}
	for _, off := range []int64{0, start - 1, start + lost.size, r.Size() - 1} {
		if _, err := r.ReadAt(one, off); err != nil || one[0] != data[off] {
			t.Errorf("at %d: %v", off, err)
		}
	}
	r.advance.Wait() // or the next read may wait for one that fails
	m.lost = object.BlobID{}
	if _, err := r.ReadAt(one, start); err != nil || one[0] != data[start] {
		t.Errorf("once it is back: %v", err)
	}
}

// TestReadAtMany: all open files together keep no more than they may.
func TestReadAtMany(t *testing.T) {
	m := &counting{memory: newMemory()}
	data := random(5, 9<<20)
	c := put(t, m, data)
	cache := NewCache()
	var all []*ReaderAt
	for range 10 {
		r := openAt(t, m, c, len(data), cache)
		all = append(all, r)
		got, err := io.ReadAll(io.NewSectionReader(r, 0, r.Size()))
		if err != nil || !bytes.Equal(got, data) {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
		if cache.size > cacheOfAll {
			t.Fatalf("%d bytes are kept", cache.size)
		}
	}
	for _, r := range all {
		r.Close()
	}
	if cache.size != 0 {
		t.Errorf("%d bytes are kept of no file", cache.size)
	}
}
