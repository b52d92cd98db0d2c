package tree

import (
	"fmt"
	"io"
	"os"
	"testing"
)

// benchTree is a tree of 100 directories with 100 files each, in memory where
// there is such a filesystem.
func benchTree(b *testing.B) *Tree {
	b.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "smfs-tree-")
	if err != nil {
		dir = b.TempDir()
	}
	b.Cleanup(func() { os.RemoveAll(dir) })
	for d := range 100 {
		sub := fmt.Sprintf("%s/a/b/c%d", dir, d)
		if err := os.MkdirAll(sub, 0o755); err != nil {
			b.Fatal(err)
		}
		for f := range 100 {
			if err := os.WriteFile(fmt.Sprintf("%s/f%d", sub, f), []byte("x"), 0o644); err != nil {
				b.Fatal(err)
			}
		}
	}
	root, err := os.Open(dir)
	if err != nil {
		b.Fatal(err)
	}
	defer root.Close()
	t, err := Open(int(root.Fd()), Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { t.Close() })
	return t
}

func BenchmarkStat(b *testing.B) {
	t := benchTree(b)
	for b.Loop() {
		if _, err := t.Stat("a/b/c7/f7"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRemoveTemps10k(b *testing.B) {
	t := benchTree(b)
	for b.Loop() {
		if _, err := t.RemoveTemps(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReplace(b *testing.B) {
	t := benchTree(b)
	info, err := t.Stat("a/b/c7/f7")
	for b.Loop() {
		if err != nil {
			b.Fatal(err)
		}
		var tmp *Temp
		if tmp, err = t.NewTemp("a/b/c7", 0o644, &info); err != nil {
			continue
		}
		if _, err = io.WriteString(tmp, "content"); err == nil {
			info, err = t.Place(tmp, At("a/b/c7/f7"), Exactly(info))
		}
	}
}

func BenchmarkOpenReadQuiet(b *testing.B) {
	t := benchTree(b)
	for b.Loop() {
		f, err := t.OpenFile("a/b/c7/f7")
		if err != nil {
			b.Fatal(err)
		}
		if quiet, err := f.Quiet(); !quiet || err != nil {
			b.Fatal(quiet, err)
		}
		f.Close()
	}
}
