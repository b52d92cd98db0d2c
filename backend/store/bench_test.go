package store

import (
	"fmt"
	"io"
	"testing"

	"github.com/silvermirror/smfs/backend/object"
)

func benchDir(n int) *object.Directory {
	d := &object.Directory{}
	for i := range n {
		d.Entries = append(d.Entries, object.Entry{Name: fmt.Sprintf("file-%07d.txt", i), Kind: object.File, ID: object.FileID{1, byte(i), byte(i >> 8), byte(i >> 16)}, Blob: object.BlobID{1, byte(i), byte(i >> 8)}, Mode: 0o644, Mtime: int64(i) + 1e18})
	}
	return d
}

// One small change in a directory of n files, durable.
func BenchmarkCommitOneChange(b *testing.B) {
	for _, n := range []int{100, 1000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := newTestStore(b)
			bat, err := s.NewBatch()
			if err != nil {
				b.Fatal(err)
			}
			d := benchDir(n)
			tree, err := bat.PutDirectory(d)
			if err == nil {
				err = bat.Commit()
			}
			if err != nil {
				b.Fatal(err)
			}
			e := d.Entries[n/2]
			for i := 0; b.Loop(); i++ {
				bat, err := s.NewBatch()
				if err != nil {
					b.Fatal(err)
				}
				if e.Blob, err = bat.WriteBlob(fmt.Appendf(nil, "version %d", i)); err != nil {
					b.Fatal(err)
				}
				if tree, err = bat.EditDirectory(tree, []object.Change{{Name: e.Name, Entry: &e}}); err != nil {
					b.Fatal(err)
				}
				c := &object.Commit{Tree: tree, Author: "a", Email: "b", Message: "c", Writer: "k.1", Seq: uint64(i + 1), Gen: uint64(i + 1)}
				if head := s.Head(); !head.IsZero() {
					c.Parents = []object.CommitID{head}
				}
				id, err := bat.PutCommit(c)
				if err != nil {
					b.Fatal(err)
				}
				if err := bat.Commit(RefUpdate{HeadRef, s.Head(), id}); err != nil {
					b.Fatal(err)
				}
				if s.PackCount() > 16 {
					if err := s.Consolidate(b.Context()); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

func BenchmarkDecodeDirectory(b *testing.B) {
	for _, n := range []int{100, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := newTestStore(b)
			bat, err := s.NewBatch()
			if err != nil {
				b.Fatal(err)
			}
			tree, err := bat.PutDirectory(benchDir(n))
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if _, err := object.DecodeDirectory(bat, tree); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// A large incompressible file, into a durable pack and out again.
func BenchmarkLargeFile(b *testing.B) {
	const size = 256 << 20
	b.SetBytes(size)
	block := randomBytes(1, 1<<20)
	s := newTestStore(b)
	for i := 0; b.Loop(); i++ {
		bat, err := s.NewBatch()
		if err != nil {
			b.Fatal(err)
		}
		if _, err := bat.PutFile(&repeat{block: block, salt: byte(i), left: size}, size, object.TreeID{}); err != nil {
			b.Fatal(err)
		}
		if err := bat.Commit(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSmallFiles(b *testing.B) {
	s := newTestStore(b)
	for round := 0; b.Loop(); round++ {
		bat, err := s.NewBatch()
		if err != nil {
			b.Fatal(err)
		}
		for i := range 10_000 {
			if _, err := bat.WriteBlob(fmt.Appendf(nil, "%d %d %s", round, i, benchText)); err != nil {
				b.Fatal(err)
			}
		}
		if err := bat.Commit(); err != nil {
			b.Fatal(err)
		}
	}
}

var benchText = string(make([]byte, 2000)) + "some text that is not all zeros, but nearly"

// repeat yields a block again and again, each time with another first byte.
type repeat struct {
	block []byte
	salt  byte
	left  int64
}

func (r *repeat) Read(b []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(int64(len(b)), r.left)], r.block)
	b[0], r.salt = r.salt, r.salt+1
	r.left -= int64(n)
	return n, nil
}

// BenchmarkOpen opens a store of a million files and 10,000 commits.
func BenchmarkOpen(b *testing.B) {
	s := newTestStore(b)
	root := &object.Directory{}
	batch, err := s.NewBatch()
	if err != nil {
		b.Fatal(err)
	}
	for i := range 1000 {
		dir := benchDir(1000)
		for k := range dir.Entries {
			if dir.Entries[k].Blob, err = batch.WriteBlob(fmt.Append(nil, i, k)); err != nil {
				b.Fatal(err)
			}
		}
		e := object.Entry{Name: fmt.Sprintf("dir%04d", i), Kind: object.Dir, ID: object.FileID{1, byte(i), byte(i >> 8)}, Mode: 0o755}
		if e.Tree, err = batch.PutDirectory(dir); err != nil {
			b.Fatal(err)
		}
		root.Entries = append(root.Entries, e)
	}
	tree, err := batch.PutDirectory(root)
	if err != nil {
		b.Fatal(err)
	}
	seq := uint64(0)
	commit := func(batch *Batch, tree object.TreeID) {
		seq++
		c := &object.Commit{Tree: tree, Author: "a", Email: "b", Message: "c", Writer: "k.1", Seq: seq, Gen: seq}
		if head := s.Head(); !head.IsZero() {
			c.Parents = []object.CommitID{head}
		}
		id, err := batch.PutCommit(c)
		if err == nil {
			err = batch.Commit(RefUpdate{HeadRef, s.Head(), id})
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	commit(batch, tree)
	for i := range 10_000 {
		batch, err := s.NewBatch()
		if err != nil {
			b.Fatal(err)
		}
		e := root.Entries[i%1000]
		sub, err := batch.Lookup(e.Tree, "file-0000500.txt")
		if err != nil || sub == nil {
			b.Fatal(sub, err)
		}
		file := *sub
		if file.Blob, err = batch.WriteBlob(fmt.Append(nil, "version", i)); err != nil {
			b.Fatal(err)
		}
		if e.Tree, err = batch.EditDirectory(e.Tree, []object.Change{{Name: file.Name, Entry: &file}}); err != nil {
			b.Fatal(err)
		}
		if tree, err = batch.EditDirectory(tree, []object.Change{{Name: e.Name, Entry: &e}}); err != nil {
			b.Fatal(err)
		}
		root.Entries[i%1000] = e
		commit(batch, tree)
		if s.PackCount() > 16 {
			if err := s.Consolidate(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	}
	size, packs := s.Size(), s.PackCount()
	s.Close()
	for b.Loop() {
		again, err := Open(s.dir)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := again.Commit(again.Head()); err != nil {
			b.Fatal(err)
		}
		again.Close()
	}
	b.ReportMetric(float64(size)/(1<<20), "MiB")
	b.ReportMetric(float64(packs), "packs")
}
