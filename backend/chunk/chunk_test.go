package chunk

import (
	"bytes"
	"crypto/sha1"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/silvermirror/smfs/backend/object"
)

// memory keeps objects, as a store does.
type memory struct {
	mu    sync.Mutex
	blobs map[object.BlobID][]byte
	trees map[object.TreeID][]byte
	full  error // of every write
}

func newMemory() *memory {
	return &memory{blobs: map[object.BlobID][]byte{}, trees: map[object.TreeID][]byte{}}
}

func (m *memory) WriteTree(data []byte) (object.TreeID, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	id := object.TreeID(object.Hash(object.TypeTree, data))
	m.trees[id] = bytes.Clone(data)
	return id, m.full
}

func (m *memory) WriteBlob(data []byte) (object.BlobID, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	id := object.BlobID(object.Hash(object.TypeBlob, data))
	m.blobs[id] = bytes.Clone(data)
	return id, m.full
}

func (m *memory) Has(id [20]byte) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.blobs[id] != nil
}

var errAbsent = errors.New("it is not there")

func (m *memory) ReadTree(id object.TreeID, max int64) ([]byte, error) {
	if data, ok := m.trees[id]; ok && int64(len(data)) <= max {
		return data, nil
	}
	return nil, errAbsent
}

func (m *memory) ReadBlob(id object.BlobID, max int64) ([]byte, error) {
	if data, ok := m.blobs[id]; ok && int64(len(data)) <= max {
		return data, nil
	}
	return nil, errAbsent
}

// random returns bytes that only the seed decides, on every machine.
func random(seed uint64, n int) []byte {
	data := make([]byte, n)
	chacha := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	if _, err := chacha.Read(data); err != nil {
		panic(err)
	}
	return data
}

func put(t *testing.T, m Sink, data []byte) Content {
	t.Helper()
	c, err := Put(bytes.NewReader(data), int64(len(data)), m, nil, object.TreeID{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// get reads a content back.
func get(t *testing.T, m *memory, c Content) []byte {
	t.Helper()
	if c.List.IsZero() {
		return m.blobs[c.Blob]
	}
	r, err := NewReader(m, c.List)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	data, err := io.ReadAll(struct{ io.Reader }{r})
	if err != nil {
		t.Fatal(err)
	}
	if r.Size() != int64(len(data)) {
		t.Fatalf("%d bytes, and Size says %d", len(data), r.Size())
	}
	return data
}

// TestGolden holds the format fast. If it fails, every large file in every
// store would be stored anew: give the format another number instead.
func TestGolden(t *testing.T) {
	for name, c := range map[string]struct {
		data []byte
		blob string
		list string
	}{
		"at the threshold": {random(1, Threshold), "2e4eb1a84f532e9c5f7c5b3efb3a8223c32d9a58", ""},
		"one byte more":    {random(1, Threshold+1), "01e66f82a99ca0bfbd1cddcb0c1455d402aa0899", "c2fe32da23c2bab2c3f3ab01a1931b318c87ec5a"},
		"24 MiB":           {random(2, 24<<20), "729e98bee801fdde7efacdf90bbe8deb8d72c99b", "5e31c3098125e216aa3f80215694eb5bb83d863f"},
		"zeros":            {make([]byte, 20<<20), "ca114cd965fb2649f5d995d23b0a50275af27945", "2084170baaeec1f164161d0a0886c454840fddd9"},
		"lines":            {bytes.Repeat([]byte("a line of text\n"), 300_000), "b94b1c432d5545d031b02be744a79d0ddb0da7a0", "1e1227982f9498feec7df4d669562186e9b2d905"},
		"a pointer":        {pointer(2<<20, object.TreeID{1}), "bf328fc25c9f3b73e22278a7d54d3885da4b24ce", "bfb58fd146ef33f3029fba61d73b25b32d1c08ef"},
	} {
		t.Run(name, func(t *testing.T) {
			got := put(t, hasher{}, c.data)
			list := ""
			if !got.List.IsZero() {
				list = got.List.String()
			}
			if got.Blob.String() != c.blob || list != c.list {
				t.Errorf("blob %s, list %q", got.Blob, list)
			}
		})
	}
}

// TestGoldenList does so for lists of several levels, without the bytes.
func TestGoldenList(t *testing.T) {
	b := builder{sink: hasher{}}
	for i := range 200_000 {
		if err := b.chunk(object.BlobID(sha1.Sum(fmt.Append(nil, i))), int64(minChunk+i)); err != nil {
			t.Fatal(err)
		}
	}
	list, err := b.finish()
	if err != nil || list.String() != "b84ce972dda31b10866d8360db2120856aaa92e1" || len(b.levels) != 3 {
		t.Errorf("list %s, %d levels, %v", list, len(b.levels), err)
	}
}

func TestRoundTrip(t *testing.T) {
	for _, size := range []int{0, 1, Threshold, Threshold + 1, minChunk * 5, maxChunk, maxChunk + 1, 9<<20 + 17, 50 << 20} {
		m := newMemory()
		data := random(uint64(size), size)
		if size > 40<<20 {
			clear(data[10<<20 : 30<<20])
		}
		c := put(t, m, data)
		if large := size > Threshold; large == c.List.IsZero() {
			t.Fatalf("%d bytes: list %s", size, c.List)
		}
		if got := get(t, m, c); !bytes.Equal(got, data) {
			t.Fatalf("%d bytes come back as %d others", size, len(got))
		}
		if hashed, err := Hash(bytes.NewReader(data), int64(size)); err != nil || hashed != c {
			t.Fatalf("%d bytes: Hash says %v, Put %v (%v)", size, hashed, c, err)
		}
		if c.List.IsZero() {
			continue
		}
		if n, id, ok := ParsePointer(m.blobs[c.Blob]); !ok || n != int64(size) || id != c.List {
			t.Fatalf("pointer to %s of %d bytes: %v", id, n, ok)
		}
		if n, err := Size(m, c.List); err != nil || n != int64(size) {
			t.Fatalf("Size is %d, %v", n, err)
		}
		var out bytes.Buffer
		r, err := NewReader(m, c.List)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(&out, r); err != nil || n != int64(size) || !bytes.Equal(out.Bytes(), data) {
			t.Fatalf("%d bytes are copied as %d: %v", size, n, err)
		}
	}
}

// TestPlainGit puts a file together as the pointer says.
func TestPlainGit(t *testing.T) {
	m := newMemory()
	data := random(17, 48<<20) // of more than one node
	c := put(t, m, data)
	paths := map[string]object.BlobID{}
	var list func(prefix string, id object.TreeID)
	list = func(prefix string, id object.TreeID) {
		entries, err := object.ParseTree(m.trees[id])
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.IsTree() {
				list(prefix+e.Name+"/", e.ID)
			} else {
				paths[prefix+e.Name] = e.ID
			}
		}
	}
	list("", c.List)
	var got []byte
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		got = append(got, m.blobs[paths[path]]...)
	}
	if !bytes.Equal(got, data) || len(m.trees) == 1 {
		t.Fatalf("%d chunks in the order of their paths are not the file", len(paths))
	}
}

// TestEdits changes a large file here and there: what is new is what was
// changed, and a few nodes.
func TestEdits(t *testing.T) {
	const size = 80 << 20
	old := random(4, size)
	m := newMemory()
	put(t, m, old)
	rnd := rand.New(rand.NewPCG(1, 1))
	for name, edit := range map[string]func(at int) []byte{
		"overwrite": func(at int) []byte {
			data := bytes.Clone(old)
			data[at] ^= 1
			return data
		},
		"insert": func(at int) []byte { return slices.Concat(old[:at], []byte("more"), old[at:]) },
		"cut":    func(at int) []byte { return slices.Concat(old[:at], old[at+100_000:]) },
		"append": func(int) []byte { return slices.Concat(old, random(5, 1000)) },
	} {
		at := rnd.IntN(size - 100_000)
		data := edit(at)
		blobs, trees := maps.Clone(m.blobs), maps.Clone(m.trees)
		c := put(t, m, data)
		newBlobs, newTrees := len(m.blobs)-len(blobs), len(m.trees)-len(trees)
		if newBlobs > 4 || newTrees > 3 {
			t.Errorf("%s at %d: %d new blobs (the pointer is one), %d new nodes", name, at, newBlobs, newTrees)
		}
		if !bytes.Equal(get(t, m, c), data) {
			t.Errorf("%s at %d does not come back", name, at)
		}
		m.blobs, m.trees = blobs, trees
	}
}

func TestPutErrors(t *testing.T) {
	const size = 20 << 20
	data := random(6, size)
	for _, wrong := range []int64{size - 1, size + 1, Threshold + 1, 5, 0} {
		if _, err := Put(bytes.NewReader(data), wrong, newMemory(), nil, object.TreeID{}); !errors.Is(err, ErrSizeChanged) {
			t.Errorf("%d bytes announced as %d: %v", size, wrong, err)
		}
	}
	if _, err := Put(bytes.NewReader(data[:10]), 11, newMemory(), nil, object.TreeID{}); !errors.Is(err, ErrSizeChanged) {
		t.Errorf("a short file: %v", err)
	}
	broken := errors.New("broken")
	for _, n := range []int64{10, size} {
		r := io.MultiReader(bytes.NewReader(data[:n/2]), iotest.ErrReader(broken))
		if _, err := Put(r, n, newMemory(), nil, object.TreeID{}); !errors.Is(err, broken) {
			t.Errorf("a file of %d bytes that cannot be read: %v", n, err)
		}
		m := newMemory()
		m.full = broken
		if _, err := Put(bytes.NewReader(data[:n]), n, m, nil, object.TreeID{}); !errors.Is(err, broken) {
			t.Errorf("a file of %d bytes that cannot be stored: %v", n, err)
		}
	}
}

// TestBadLists reads lists that nobody but an enemy makes.
func TestBadLists(t *testing.T) {
	m := newMemory()
	blob, _ := m.WriteBlob([]byte("0123456789"))
	entry := func(mode object.GitMode, name string, id [20]byte) object.TreeEntry {
		return object.TreeEntry{Mode: mode, Name: name, ID: id}
	}
	tree := func(entries ...object.TreeEntry) object.TreeID {
		id, _ := m.WriteTree(object.AppendTree(nil, entries))
		return id
	}
	good := tree(entry(object.GitFile, "000000000000000a", blob))
	deep := good
	for range maxDepth {
		deep = tree(entry(object.GitTree, "000000000000000a", deep))
	}
	for name, list := range map[string]object.TreeID{
		"empty":              tree(),
		"no number":          tree(entry(object.GitFile, "x", blob)),
		"upper case":         tree(entry(object.GitFile, "000000000000000A", blob)),
		"short":              tree(entry(object.GitFile, "a", blob)),
		"negative":           tree(entry(object.GitFile, "-00000000000000a", blob)),
		"of nothing":         tree(entry(object.GitFile, "0000000000000000", blob)),
		"huge chunk":         tree(entry(object.GitFile, "7fffffffffffffff", blob)),
		"executable":         tree(entry(object.GitExecutable, "000000000000000a", blob)),
		"a link":             tree(entry(object.GitSymlink, "000000000000000a", blob)),
		"mixed":              tree(entry(object.GitFile, "000000000000000a", blob), entry(object.GitTree, "0000000000000014", good)),
		"a node too large":   tree(entry(object.GitTree, "000000000000000b", good)),
		"a chunk too large":  tree(entry(object.GitFile, "000000000000000b", blob)),
		"too deep":           deep,
		"a chunk is missing": tree(entry(object.GitFile, "000000000000000a", [20]byte{1})),
		"a node is missing":  tree(entry(object.GitTree, "000000000000000a", [20]byte{1})),
	} {
		r, err := NewReader(m, list)
		if err == nil {
			_, err = io.Copy(io.Discard, r)
			r.Close()
		}
		if !errors.Is(err, object.ErrInvalid) && !errors.Is(err, errAbsent) {
			t.Errorf("%s is read: %v", name, err)
		}
		if _, err := Walk(m, list, everything{m}); !errors.Is(err, object.ErrInvalid) && !errors.Is(err, errAbsent) {
			t.Errorf("%s is walked: %v", name, err)
		}
	}
	small := tree(entry(object.GitFile, "000000000000000a", blob), entry(object.GitFile, "0000000000000014", blob))
	if _, err := Walk(m, small, everything{m}); !errors.Is(err, object.ErrInvalid) {
		t.Errorf("a small chunk before the last is walked: %v", err)
	}
	if n, err := Walk(m, good, everything{m}); n != 10 || err != nil {
		t.Errorf("a good one: %d, %v", n, err)
	}
}

// everything is a visitor that looks at all there is.
type everything struct{ m *memory }

func (everything) Node(object.TreeID) (bool, error) { return true, nil }

func (e everything) Chunk(id object.BlobID, size int64) error {
	data, err := e.m.ReadBlob(id, maxChunk)
	if err == nil && int64(len(data)) != size {
		err = object.ErrInvalid
	}
	return err
}

// TestPointers: what reads as a pointer is stored in chunks, and only the exact
// bytes do.
func TestPointers(t *testing.T) {
	m := newMemory()
	p := pointer(123456789, object.TreeID{7})
	c := put(t, m, p)
	if c.List.IsZero() || !bytes.Equal(get(t, m, c), p) {
		t.Fatalf("a file that reads as a pointer became %v", c)
	}
	if c = put(t, m, m.blobs[c.Blob]); c.List.IsZero() {
		t.Fatal("a copy of a pointer became a blob")
	}
	for i := range p {
		other := bytes.Clone(p)
		other[i] ^= 0x10
		if size, list, ok := ParsePointer(other); ok && bytes.Equal(pointer(size, list), p) {
			t.Fatalf("with byte %d changed it is the same pointer", i)
		}
	}
	for _, no := range [][]byte{nil, p[:len(p)-1], append(bytes.Clone(p), '\n'), bytes.Replace(p, []byte("size "), []byte("size 0"), 1),
		bytes.Replace(p, []byte("size 1"), []byte("size -"), 1), bytes.Replace(p, []byte("07"), []byte("0G"), 1)} {
		if _, _, ok := ParsePointer(no); ok {
			t.Errorf("%q is a pointer", no)
		}
	}
	for _, size := range []int64{1, 1 << 40, 1<<63 - 1} {
		if n, _, ok := ParsePointer(pointer(size, object.TreeID{1})); !ok || n != size {
			t.Errorf("%d bytes: %d, %v", size, n, ok)
		}
	}
}

// TestListOfOneNode walks a list in which each node names one node over and over.
func TestListOfOneNode(t *testing.T) {
	m := newMemory()
	blob, _ := m.WriteBlob(make([]byte, minChunk))
	node, mode, size := [20]byte(blob), object.GitFile, int64(minChunk)
	for range 4 {
		var entries []object.TreeEntry
		for i := range maxNode {
			entries = append(entries, object.TreeEntry{Mode: mode, Name: fmt.Sprintf("%016x", size*int64(i+1)), ID: node})
		}
		id, _ := m.WriteTree(object.AppendTree(nil, entries))
		node, mode, size = id, object.GitTree, size*maxNode
	}
	v := &visits{}
	if n, err := Walk(m, node, v); err != nil || n != size {
		t.Fatalf("%d bytes of %d: %v", n, size, err)
	}
	if v.nodes > 10*maxNode || v.chunks > 10*maxNode {
		t.Errorf("%d nodes and %d chunks were visited", v.nodes, v.chunks)
	}
}

type visits struct{ nodes, chunks int }

func (v *visits) Node(object.TreeID) (bool, error) {
	v.nodes++
	return true, nil
}

func (v *visits) Chunk(object.BlobID, int64) error {
	v.chunks++
	return nil
}
