package bench

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/silvermirror/smfs/fstest"
)

// BenchmarkLarge measures the first commit of a file of 1 GiB that does not shrink,
// beside `git add && git commit`; commits after small edits in it, and what history
// they take; the reading of its older version; and the most memory that the
// daemon ever had.
func BenchmarkLarge(b *testing.B) {
	const size = 1 << 30
	p := fstest.Program{Path: fstest.Build(b)}
	fillMemory(b)
	for range b.N {
		m := fstest.NewMirror(b, p, "A")
		m.Mount()
		film := m.Path("film")
		if err := writeNoise(film, size); err != nil {
			b.Fatal(err)
		}
		run(b, "cp", film, b.TempDir()+"/film") // and into the page cache
		start := time.Now()
		m.Run("wait", "--committed", "--timeout", "10m")
		b.ReportMetric(time.Since(start).Seconds(), "s-wait")
		m.Umount()

		from := fstest.MirrorAt(b, p, copyOf(b, film))
		run(b, "sync") // no commit shall have to wait for what was written before it
		start = time.Now()
		from.Run("sync")
		commit := time.Since(start)
		b.ReportMetric(commit.Seconds(), "s-commit")
		run(b, "sync")
		git := gitCommit(b, from.Dir, "film")
		b.ReportMetric(git.Seconds(), "s-git")
		b.ReportMetric(git.Seconds()/commit.Seconds(), "x-git/commit")

		m.Mount()
		m.Run("wait", "--committed", "--timeout", "10m")
		first, before := m.Head(), m.Status().Resources[0].StoreBytes
		// The daemon has not seen the file before the first of the edits.
		for i, name := range []string{"s-edit", "s-edit-again"} {
			f, err := os.OpenFile(film, os.O_WRONLY, 0)
			if err == nil {
				_, err = f.WriteAt([]byte("edited"), int64(size/(2+i)))
			}
			if err != nil {
				b.Fatal(err)
			}
			f.Close()
			start = time.Now()
			m.Run("wait", "--committed", "--timeout", "10m")
			b.ReportMetric(time.Since(start).Seconds(), name)
		}
		b.ReportMetric(float64(m.Status().Resources[0].StoreBytes-before)/(1<<20), "MiB-edits")
		out := filepath.Join(b.TempDir(), "old")
		start = time.Now()
		m.Run("restore", film, "--at", first, "--to", out)
		b.ReportMetric(float64(size>>20)/time.Since(start).Seconds(), "MiB/s-old")
		reportMemory(b, m, "large")
		m.Umount()
	}
	b.ReportMetric(0, "ns/op")
}

// BenchmarkEdits saves a file of 10 MiB over and over, a few bytes changed at a random
// place each time, and tells what history that takes.
func BenchmarkEdits(b *testing.B) {
	m := fstest.NewMirror(b, fstest.Program{Path: fstest.Build(b)}, "A")
	m.Mount()
	file := m.Path("file")
	if err := writeNoise(file, 10<<20); err != nil {
		b.Fatal(err)
	}
	m.Run("wait", "--committed")
	before, edits := m.Status().Resources[0].StoreBytes, 0
	most := 0
	for b.Loop() {
		f, err := os.OpenFile(file, os.O_WRONLY, 0)
		if err == nil {
			_, err = f.WriteAt(fmt.Appendf(nil, "edit %d", edits), rand.Int64N(10<<20-100))
		}
		if err != nil {
			b.Fatal(err)
		}
		f.Close()
		m.Run("wait", "--committed")
		edits++
		packs, err := filepath.Glob(m.Store() + "/objects/pack/*.pack")
		if err != nil {
			b.Fatal(err)
		}
		most = max(most, len(packs))
	}
	b.ReportMetric(float64(m.Status().Resources[0].StoreBytes-before)/float64(edits)/1024, "KiB/edit")
	b.ReportMetric(float64(most), "packs-most")
	m.Umount()
}

// fillMemory fills the page cache, as it is on a machine in use. A virtual machine
// pays for the first touch of its memory as much as for writing a file.
func fillMemory(b *testing.B) {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		b.Fatal(err)
	}
	holes, err := os.Create(filepath.Join(b.TempDir(), "holes"))
	if err != nil {
		b.Fatal(err)
	}
	defer holes.Close()
	if err = holes.Truncate(int64(info.Totalram) * int64(info.Unit)); err == nil {
		_, err = io.Copy(io.Discard, struct{ io.Reader }{holes})
	}
	if err != nil {
		b.Fatal(err)
	}
}

func writeNoise(path string, size int) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	random, block := rand.NewChaCha8([32]byte{1}), make([]byte, 1<<20)
	for range size >> 20 {
		_, _ = random.Read(block) // which never fails
		if _, err := f.Write(block); err != nil {
			return err
		}
	}
	return nil
}

// copyOf is a new directory that holds a copy of a file.
func copyOf(b *testing.B, file string) string {
	dir := b.TempDir()
	run(b, "cp", file, dir)
	return dir
}

// gitCommit is how long git takes to add and commit a file in dir.
func gitCommit(b *testing.B, dir, name string) time.Duration {
	start := time.Now()
	run(b, "git", "-C", dir, "-c", "init.defaultBranch=main", "init", "-q", "--separate-git-dir="+b.TempDir()+"/git")
	run(b, "git", "-C", dir, "add", name)
	run(b, "git", "-C", dir, "-c", "user.name=x", "-c", "user.email=x@x", "commit", "-qm", "x")
	return time.Since(start)
}
