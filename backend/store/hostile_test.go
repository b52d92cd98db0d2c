package store

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/silvermirror/smfs/backend/chunk"
	"github.com/silvermirror/smfs/backend/object"
)

// packBuilder makes packs that no honest peer sends.
type packBuilder struct {
	codec codec
	body  []byte
	n     int
	blobs map[[20]byte][]byte
	mu    sync.Mutex // for WriteTree and WriteBlob
}

func (p *packBuilder) add(kind object.Type, data []byte) [20]byte {
	id := object.Hash(kind, data)
	if _, twice := p.blobs[id]; twice {
		return id
	}
	if p.blobs == nil {
		p.blobs = map[[20]byte][]byte{}
	}
	p.blobs[id] = bytes.Clone(data)
	p.body = append(p.body, p.codec.deflated(kind, data)...)
	p.n++
	return id
}

func (p *packBuilder) raw(header, data []byte) {
	out := bytes.NewBuffer(append(p.body, header...))
	p.codec.deflate(out, data)
	p.body = out.Bytes()
	p.n++
}

func (p *packBuilder) bytes() []byte { return sealed(append(packHeader(p.n), p.body...)) }

func sealed(b []byte) []byte {
	sum := sha1.Sum(b)
	return append(b, sum[:]...)
}

// tree adds a directory of raw git entries with matching metadata.
func (p *packBuilder) tree(entries ...object.TreeEntry) [20]byte {
	meta := "smfs-meta 1\n"
	for i, e := range entries {
		meta += e.Name + " " + object.FileID{byte(i + 1)}.String() + "\n"
	}
	blob := p.add(object.TypeBlob, []byte(meta))
	sub := p.add(object.TypeTree, object.AppendTree(nil, []object.TreeEntry{{Mode: object.GitFile, Name: "meta", ID: blob}}))
	all := append(slices.Clone(entries), object.TreeEntry{Mode: object.GitTree, Name: ".smfs", ID: sub})
	slices.SortFunc(all, object.CompareTreeEntries)
	return p.add(object.TypeTree, object.AppendTree(nil, all))
}

func (p *packBuilder) commit(tree [20]byte, change func(*object.Commit)) object.CommitID {
	c := &object.Commit{Tree: tree, Author: "a", Email: "b", Message: "c", Writer: "k.1", Seq: 1, Gen: 1}
	if change != nil {
		change(c)
	}
	data, err := object.EncodeCommit(c)
	if err != nil {
		panic(err)
	}
	return p.add(object.TypeCommit, data)
}

func TestReceiveHostileStream(t *testing.T) {
	good := packBuilder{}
	good.add(object.TypeBlob, []byte(strings.Repeat("hello ", 1000)))
	good.add(object.TypeBlob, []byte("x"))
	whole := good.bytes()
	withCount := func(n uint32) []byte {
		b := bytes.Clone(whole[:len(whole)-20])
		binary.BigEndian.PutUint32(b[8:], n)
		return sealed(b)
	}
	delta := func(header []byte, insns ...byte) []byte {
		p := packBuilder{}
		p.add(object.TypeBlob, []byte("base"))
		p.raw(header, insns)
		return p.bytes()
	}
	outside := append(appendEntryHeader(nil, plumbing.REFDeltaObject, 4), bytes.Repeat([]byte{7}, 20)...)
	bomb := packBuilder{}
	bomb.add(object.TypeBlob, make([]byte, 64<<20))
	huge := packBuilder{}
	huge.raw(appendEntryHeader(nil, object.TypeTree, 1<<50), []byte("x"))
	lying := packBuilder{}
	lying.raw(appendEntryHeader(nil, object.TypeBlob, 1<<39), []byte("x"))
	short := packBuilder{}
	short.raw(appendEntryHeader(nil, object.TypeBlob, 1), []byte("longer than one"))
	flipped := bytes.Clone(whole)
	flipped[20] ^= 1
	for name, c := range map[string]struct {
		data []byte
		want error
	}{
		"empty": {nil, ErrBadPack}, "garbage": {[]byte(strings.Repeat("garbage ", 100)), ErrBadPack}, "version 3": {append([]byte("PACK\x00\x00\x00\x03"), whole[8:]...), ErrBadPack},
		"fewer objects": {withCount(3), ErrBadPack}, "more objects": {withCount(1), ErrBadPack}, "very many": {withCount(1 << 31), ErrLimit},
		"truncated": {whole[:len(whole)-30], ErrBadPack}, "no trailer": {whole[:len(whole)-20], ErrBadPack}, "bytes behind": {append(bytes.Clone(whole), "more"...), ErrBadPack},
		"wrong trailer": {append(bytes.Clone(whole[:len(whole)-1]), whole[len(whole)-1]^1), ErrBadPack}, "flipped bit": {flipped, ErrBadPack},
		"zip bomb": {bomb.bytes(), ErrLimit}, "huge tree": {huge.bytes(), ErrTooLarge}, "lying length": {lying.bytes(), ErrLimit}, "longer than its length": {short.bytes(), ErrBadPack},
		"base outside": {delta(outside, 4, 1, 1, 'x'), ErrBadPack}, "base before the pack": {delta(append(appendEntryHeader(nil, plumbing.OFSDeltaObject, 4), 0x7f), 4, 1, 1, 'x'), ErrBadPack},
		"base is itself": {delta(append(appendEntryHeader(nil, plumbing.OFSDeltaObject, 4), 0), 4, 1, 1, 'x'), ErrBadPack}, "copy outside": {delta(ofs(4), 4, 9, 0x90, 9), ErrBadPack},
		"delta of another base": {delta(ofs(4), 5, 1, 1, 'x'), ErrBadPack}, "huge delta": {delta(ofs(8), 4, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0), ErrTooLarge},
		"delta cut short": {delta(ofs(3), 4, 9, 1), ErrBadPack}, "reserved instruction": {delta(ofs(3), 4, 0, 0), ErrBadPack},
		"type 5": {sealed(append(packHeader(1), 0x51, 0x78, 0x9c, 0x4b, 4, 0, 0, 0x62, 0, 0x62)), ErrBadPack}, "tag": {tagPack(), ErrBadPack},
	} {
		t.Run(name, func(t *testing.T) {
			s := newTestStore(t)
			_, err := s.Receive(context.Background(), bytes.NewReader(c.data), Limits{Inflated: 32 << 20, Bytes: 1 << 20})
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			wantNoTemps(t, s)
			if s.PackCount() != 0 {
				t.Error("a pack stayed")
			}
		})
	}
}

// ofs is the header of a delta against the entry "base", which is 13 bytes
// long, right before it.
func ofs(size int64) []byte {
	c := codec{}
	return append(appendEntryHeader(nil, plumbing.OFSDeltaObject, size), byte(len(c.deflated(object.TypeBlob, []byte("base")))))
}

func tagPack() []byte {
	p := packBuilder{}
	p.add(object.TypeTag, []byte("object x\n"))
	return p.bytes()
}

func TestReceiveByteLimit(t *testing.T) {
	s := newTestStore(t)
	_, err := s.Receive(context.Background(), &endless{head: packHeader(1)}, Limits{Bytes: 1 << 20})
	if !errors.Is(err, ErrLimit) {
		t.Errorf("endless stream: %v, want ErrLimit", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.Receive(ctx, &endless{head: packHeader(1)}, Limits{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	wantNoTemps(t, s)
}

type endless struct{ head []byte }

func (e *endless) Read(b []byte) (int, error) {
	n := copy(b, e.head)
	e.head = e.head[n:]
	if n == 0 {
		n = len(b)
	}
	return n, nil
}

// Deltas within a pack are taken, in any order.
func TestReceiveDelta(t *testing.T) {
	s := newTestStore(t)
	p := packBuilder{}
	id := object.Hash(object.TypeBlob, []byte("base"))
	two := object.Hash(object.TypeBlob, []byte("base!"))
	p.raw(append(appendEntryHeader(nil, plumbing.REFDeltaObject, 6), two[:]...), []byte{5, 6, 0x90, 5, 1, '?'})
	p.raw(append(appendEntryHeader(nil, plumbing.REFDeltaObject, 6), id[:]...), []byte{4, 5, 0x90, 4, 1, '!'})
	p.add(object.TypeBlob, []byte("base"))
	in, err := s.Receive(context.Background(), bytes.NewReader(p.bytes()), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	defer in.Discard()
	if got, err := in.ReadBlob(object.Hash(object.TypeBlob, []byte("base!?")), 100); err != nil || string(got) != "base!?" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestCheckConnectedHostile(t *testing.T) {
	file := func(name string, id [20]byte) object.TreeEntry {
		return object.TreeEntry{Mode: object.GitFile, Name: name, ID: id}
	}
	nowhere := [20]byte{9}
	large := func(change func(l *largeFile)) func(p *packBuilder) object.CommitID {
		return func(p *packBuilder) object.CommitID { return p.commit(p.large(change), nil) }
	}
	for name, c := range map[string]struct {
		build func(p *packBuilder) object.CommitID
		want  error
	}{
		"missing blob": {func(p *packBuilder) object.CommitID { return p.commit(p.tree(file("a", nowhere)), nil) }, ErrMissing},
		"missing tree": {func(p *packBuilder) object.CommitID { return p.commit(nowhere, nil) }, ErrMissing},
		"missing parent": {func(p *packBuilder) object.CommitID {
			return p.commit(p.tree(), func(c *object.Commit) { c.Parents, c.Gen = []object.CommitID{nowhere}, 2 })
		}, ErrMissing},
		"missing directory": {func(p *packBuilder) object.CommitID {
			return p.commit(p.tree(object.TreeEntry{Mode: object.GitTree, Name: "d", ID: nowhere}), nil)
		}, ErrMissing},
		"missing head":   {func(p *packBuilder) object.CommitID { return nowhere }, ErrMissing},
		"head is a blob": {func(p *packBuilder) object.CommitID { return p.add(object.TypeBlob, []byte("x")) }, ErrWrongType},
		"file is a tree": {func(p *packBuilder) object.CommitID { return p.commit(p.tree(file("a", p.tree())), nil) }, ErrWrongType},
		"tree is a blob": {func(p *packBuilder) object.CommitID { return p.commit(p.add(object.TypeBlob, []byte("x")), nil) }, ErrWrongType},
		"plain git tree": {func(p *packBuilder) object.CommitID {
			return p.commit(p.add(object.TypeTree, object.AppendTree(nil, []object.TreeEntry{file("a", p.add(object.TypeBlob, nil))})), nil)
		}, object.ErrForeign},
		"reserved at the root": {func(p *packBuilder) object.CommitID {
			return p.commit(p.tree(file("@tags", p.add(object.TypeBlob, nil))), nil)
		}, object.ErrInvalid},
		"dot-git": {func(p *packBuilder) object.CommitID {
			return p.commit(p.tree(file(".git", p.add(object.TypeBlob, nil))), nil)
		}, object.ErrInvalid},
		"generation": {func(p *packBuilder) object.CommitID { return p.commit(p.tree(), func(c *object.Commit) { c.Gen = 7 }) }, object.ErrInvalid},
		"forged cover": {func(p *packBuilder) object.CommitID {
			return p.commit(p.tree(), func(c *object.Commit) { c.Cover = object.Cover{{Writer: "victim.1", Seq: 9, Commit: nowhere}} })
		}, object.ErrInvalid},
		"number goes back": {func(p *packBuilder) object.CommitID {
			first := p.commit(p.tree(), func(c *object.Commit) { c.Seq = 5 })
			return p.commit(p.tree(), func(c *object.Commit) {
				c.Parents, c.Gen, c.Cover = []object.CommitID{first}, 2, object.Cover{{Writer: "k.1", Seq: 5, Commit: first}}
			})
		}, object.ErrInvalid},
		"a large file as a blob": {func(p *packBuilder) object.CommitID {
			return p.commit(p.tree(file("a", p.add(object.TypeBlob, make([]byte, chunk.Threshold+1)))), nil)
		}, object.ErrInvalid},
		"a pointer alone":        {large(func(l *largeFile) { l.list = [20]byte{} }), object.ErrInvalid},
		"another list":           {large(func(l *largeFile) { l.list = nowhere }), object.ErrInvalid},
		"chunks of a small file": {large(func(l *largeFile) { l.pointer = l.p.add(object.TypeBlob, []byte("x")) }), object.ErrInvalid},
		"a missing chunk":        {large(func(l *largeFile) { l.setList(chunkEntry("0000000000200000", nowhere)) }), ErrMissing},
		"a missing node": {large(func(l *largeFile) {
			l.setList(object.TreeEntry{Mode: object.GitTree, Name: "0000000000200000", ID: nowhere})
		}), ErrMissing},
		"a chunk that is shorter": {large(func(l *largeFile) { l.setList(chunkEntry("0000000000200000", l.p.add(object.TypeBlob, []byte("x")))) }), object.ErrInvalid},
		"a chunk that is a tree":  {large(func(l *largeFile) { l.setList(chunkEntry("0000000000200000", l.p.tree())) }), ErrWrongType},
		"an empty list":           {large(func(l *largeFile) { l.setList() }), object.ErrInvalid},
		"long link": {func(p *packBuilder) object.CommitID {
			return p.commit(p.tree(object.TreeEntry{Mode: object.GitSymlink, Name: "l", ID: p.add(object.TypeBlob, make([]byte, 5000))}), nil)
		}, ErrTooLarge},
		"link with NUL": {func(p *packBuilder) object.CommitID {
			return p.commit(p.tree(object.TreeEntry{Mode: object.GitSymlink, Name: "l", ID: p.add(object.TypeBlob, []byte("a\x00b"))}), nil)
		}, object.ErrInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			s := newTestStore(t)
			p := packBuilder{}
			head := c.build(&p)
			if err := accept(s, p.bytes(), head); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			wantNothing(t, s)
		})
	}
}

// chunkEntry is a chunk in a list.
func chunkEntry(name string, id [20]byte) object.TreeEntry {
	return object.TreeEntry{Mode: object.GitFile, Name: name, ID: id}
}

// largeFile is a file in chunks that is being made wrong.
type largeFile struct {
	p             *packBuilder
	pointer, list [20]byte
}

// setList gives the file another list, and the pointer to it.
func (l *largeFile) setList(entries ...object.TreeEntry) {
	text := string(l.p.blobs[l.pointer])
	old := object.TreeID(l.list).String()
	l.list = l.p.add(object.TypeTree, object.AppendTree(nil, entries))
	l.pointer = l.p.add(object.TypeBlob, []byte(strings.Replace(text, old, object.TreeID(l.list).String(), 1)))
}

// large adds a directory with a large file in it, which change has made wrong.
func (p *packBuilder) large(change func(*largeFile)) [20]byte {
	c, err := chunk.Put(bytes.NewReader(make([]byte, 2<<20)), 2<<20, chunkSink{p}, nil, object.TreeID{})
	if err != nil {
		panic(err)
	}
	l := &largeFile{p, c.Blob, c.List}
	change(l)
	entries := []object.TreeEntry{}
	if l.list != ([20]byte{}) {
		lists := p.add(object.TypeTree, object.AppendTree(nil, []object.TreeEntry{{Mode: object.GitTree, Name: "a", ID: l.list}}))
		entries = append(entries, object.TreeEntry{Mode: object.GitTree, Name: object.ChunksName, ID: lists})
	}
	meta := p.add(object.TypeBlob, []byte("smfs-meta 1\na "+object.FileID{1}.String()+"\n"))
	entries = append(entries, object.TreeEntry{Mode: object.GitFile, Name: "meta", ID: meta})
	sub := p.add(object.TypeTree, object.AppendTree(nil, entries))
	return p.add(object.TypeTree, object.AppendTree(nil, []object.TreeEntry{
		{Mode: object.GitTree, Name: object.ReservedName, ID: sub}, {Mode: object.GitFile, Name: "a", ID: l.pointer}}))
}

// WriteTree and WriteBlob make it an object.Sink.
func (p *packBuilder) WriteTree(data []byte) (object.TreeID, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.add(object.TypeTree, data), nil
}

func (p *packBuilder) WriteBlob(data []byte) (object.BlobID, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.add(object.TypeBlob, data), nil
}

// TestLargeFileIsTaken: the file that TestCheckConnectedHostile makes wrong.
func TestLargeFileIsTaken(t *testing.T) {
	s := newTestStore(t)
	p := packBuilder{}
	head := p.commit(p.large(func(*largeFile) {}), nil)
	if err := accept(s, p.bytes(), head); err != nil {
		t.Fatal(err)
	}
	wantFiles(t, s, head, map[string]string{"a": string(make([]byte, 2<<20))})
}

func wantNothing(t *testing.T, s *Store) {
	t.Helper()
	wantNoTemps(t, s)
	if s.PackCount() != 0 || !s.Head().IsZero() {
		t.Error("something was taken")
	}
}

// What no checked commit needs would come in unchecked, and be taken for
// complete later.
func TestAcceptRefusesUnreachable(t *testing.T) {
	s := newTestStore(t)
	p := packBuilder{}
	head := p.commit(p.tree(), nil)
	p.tree(object.TreeEntry{Mode: object.GitFile, Name: "a", ID: [20]byte{9}})
	if err := accept(s, p.bytes(), head); !errors.Is(err, ErrUnreachable) {
		t.Errorf("got %v, want ErrUnreachable", err)
	}
	wantNothing(t, s)
	p = packBuilder{}
	head = p.commit(p.tree(), nil)
	in, err := s.Receive(context.Background(), bytes.NewReader(p.bytes()), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if err := in.Accept(RefUpdate{HeadRef, object.CommitID{}, head}); !errors.Is(err, ErrUnreachable) {
		t.Errorf("accepted unchecked: %v", err)
	}
	wantNothing(t, s)
}

// A directory that the store has under one role is not one it may play in
// another: a part of the metadata is no directory.
func TestStoredTreeInAnotherRole(t *testing.T) {
	s := newTestStore(t)
	first := packBuilder{}
	empty := first.commit(first.tree(), nil)
	if err := accept(s, first.bytes(), empty); err != nil {
		t.Fatal(err)
	}
	p := packBuilder{}
	blob := object.Hash(object.TypeBlob, []byte("smfs-meta 1\n"))
	part := object.Hash(object.TypeTree, object.AppendTree(nil, []object.TreeEntry{{Mode: object.GitFile, Name: "meta", ID: blob}}))
	head := p.commit(p.tree(object.TreeEntry{Mode: object.GitTree, Name: "d", ID: part}), nil)
	if err := accept(s, p.bytes(), head); !errors.Is(err, object.ErrForeign) {
		t.Errorf("metadata as a directory: %v, want ErrForeign", err)
	}
}

func FuzzReceive(f *testing.F) {
	p := packBuilder{}
	p.commit(p.tree(object.TreeEntry{Mode: object.GitFile, Name: "a", ID: p.add(object.TypeBlob, []byte("x"))}), nil)
	f.Add(p.bytes())
	f.Add(packHeader(0))
	s := newTestStore(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > packHeaderSize {
			data = sealed(bytes.Clone(data)) // or nothing gets past the checksum
		}
		in, err := s.Receive(context.Background(), bytes.NewReader(data), Limits{Inflated: 1 << 20})
		if err != nil {
			return
		}
		defer in.Discard()
		for i := range in.own.idx.count {
			id := in.own.idx.at(i).id
			kind, content, err := in.readAny(id, 1<<20)
			if err != nil || object.Hash(kind, content) != id {
				t.Errorf("object %x: %v", id, err)
			}
		}
	})
}

func parseIdx(t *testing.T, data []byte) (*idx, error) {
	t.Helper()
	f, err := fstest.MapFS{"idx": {Data: data}}.Open("idx")
	if err != nil {
		t.Fatal(err)
	}
	return readIdx(f)
}

func FuzzParseIdx(f *testing.F) {
	f.Add(newIdx([]idxEntry{{id: [20]byte{1}, off: 12}, {id: [20]byte{2}, off: 1 << 40}}, [20]byte{3}).encode())
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 20 {
			data = sealed(bytes.Clone(data[:len(data)-20]))
		}
		x, err := parseIdx(t, data)
		if err != nil {
			return
		}
		for i := range x.count {
			x.find(x.at(i).id)
		}
		x.byOffset()
	})
}

func FuzzApplyDelta(f *testing.F) {
	f.Add([]byte("base"), []byte{4, 5, 0x90, 4, 1, '!'})
	f.Fuzz(func(t *testing.T, base, delta []byte) {
		if out, err := applyDelta(base, delta, 1<<16); err == nil && len(out) > 1<<16 {
			t.Errorf("made %d bytes", len(out))
		}
	})
}

func TestIdxRandom(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	entries := make([]idxEntry, 2000)
	for i := range entries {
		for k := range entries[i].id {
			entries[i].id[k] = byte(r.Uint32())
		}
		entries[i].off, entries[i].crc = int64(i)<<uint(r.IntN(24)), r.Uint32()
	}
	x, err := parseIdx(t, newIdx(slices.Clone(entries), [20]byte{1}).encode())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if got, ok := x.find(e.id); !ok || got != e {
			t.Fatalf("found %+v, want %+v", got, e)
		}
	}
	if _, ok := x.find([20]byte{1, 2, 3}); ok {
		t.Error("found what is not there")
	}
}

// chunkSink is a packBuilder that takes each chunk for a new one.
type chunkSink struct{ *packBuilder }

func (chunkSink) Has([20]byte) bool { return false }
