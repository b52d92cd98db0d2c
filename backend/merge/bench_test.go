package merge

import (
	"context"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/silvermirror/smfs/backend/object"
)

// bigTree has 100 directories of size files each. Those whose number differs
// have other FileIDs, and the same names.
func bigTree(b *testing.B, m *memory, size int, number byte, edit func(dir, file int) bool) object.TreeID {
	b.Helper()
	top := &object.Directory{}
	for i := range 100 {
		d := &object.Directory{}
		for j := range size {
			e := object.Entry{Name: fmt.Sprintf("file%06d", j), Kind: object.File, Mode: 0o644, ID: bigID(number, i, j+1)}
			binary.BigEndian.PutUint32(e.Blob[:], uint32(j+1))
			if edit != nil && edit(i, j) {
				e.Blob[10] = number
			}
			d.Entries = append(d.Entries, e)
		}
		tree, err := m.PutDirectory(d)
		if err != nil {
			b.Fatal(err)
		}
		top.Entries = append(top.Entries, object.Entry{Name: fmt.Sprintf("dir%02d", i), Kind: object.Dir, Mode: 0o755, ID: bigID(number, i, 0), Tree: tree})
	}
	tree, err := m.PutDirectory(top)
	if err != nil {
		b.Fatal(err)
	}
	return tree
}

func bigID(number byte, dir, file int) (id object.FileID) {
	id[0] = number
	binary.BigEndian.PutUint32(id[4:], uint32(dir+1))
	binary.BigEndian.PutUint32(id[8:], uint32(file))
	return id
}

// BenchmarkOneChange merges one edit on either side in a tree of 100,000 files.
func BenchmarkOneChange(b *testing.B) {
	m := newMemory()
	base := bigTree(b, m, 1000, 1, nil)
	x := sideA(bigTree(b, m, 1000, 1, func(d, f int) bool { return d == 3 && f == 7 }))
	y := sideB(bigTree(b, m, 1000, 1, func(d, f int) bool { return d == 5 && f == 9 }))
	for b.Loop() {
		if _, err := Merge(context.Background(), m, base, x, y); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkJoin unites two trees of 100,000 files that have the same names and
// nothing else in common.
func BenchmarkJoin(b *testing.B) {
	m := newMemory()
	x, y := sideA(bigTree(b, m, 1000, 1, nil)), sideB(bigTree(b, m, 1000, 2, nil))
	for b.Loop() {
		if _, err := Merge(context.Background(), m, object.TreeID{}, x, y); err != nil {
			b.Fatal(err)
		}
	}
}
