package bench

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"text/tabwriter"
	"time"
)

const (
	dirs        = 10
	filesPerDir = 1000
)

// operation is one kind of work on all files of a directory tree.
type operation struct {
	name string
	do   func(dir string) error
}

var operations = []operation{
	{"create+write+close", eachFile(func(path string) error { return os.WriteFile(path, []byte("a small file\n"), 0o644) })},
	{"stat, after a write", eachFile(func(path string) error { _, err := os.Lstat(path); return err })},
	{"stat, hot", eachFile(func(path string) error { _, err := os.Lstat(path); return err })},
	{"readdir+stat, cold", list},
	{"open+read+close", eachFile(func(path string) error { _, err := os.ReadFile(path); return err })},
	{"rewrite", eachFile(func(path string) error { return os.WriteFile(path, []byte("another text\n"), 0o644) })},
	{"rename", eachFile(func(path string) error { return os.Rename(path, path+".renamed") })},
	{"unlink", eachFile(func(path string) error { return os.Remove(path + ".renamed") })},
}

// eachFile makes an operation of what is done with one file.
func eachFile(do func(path string) error) func(dir string) error {
	return func(dir string) error {
		for d := range dirs {
			for f := range filesPerDir {
				if err := do(filepath.Join(dir, fmt.Sprintf("d%d/file%04d.txt", d, f))); err != nil {
					return err
				}
			}
		}
		return nil
	}
}

// list reads all directories, and looks at each name as it comes, as ls -l does;
// "cold" is with the kernel's caches of names and inodes empty.
func list(dir string) error {
	for d := range dirs {
		if err := listOne(filepath.Join(dir, fmt.Sprint("d", d))); err != nil {
			return err
		}
	}
	return nil
}

func listOne(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	for {
		names, err := f.ReadDir(100)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		for _, n := range names {
			if _, err := n.Info(); err != nil {
				return err
			}
		}
	}
}

// BenchmarkMetadata measures operations on names, on 10,000 small files over tmpfs:
// smfs on both data paths, bindfs, go-fuse's loopback, and tmpfs itself. The
// figures are of the best of b.N rounds; the filesystems take turns.
func BenchmarkMetadata(b *testing.B) {
	kinds := filesystems()
	best := map[string]map[string]time.Duration{}
	for _, op := range operations {
		best[op.name] = map[string]time.Duration{}
	}
	for range b.N {
		for _, k := range kinds {
			measure(b, k, best)
		}
	}
	b.Log("\n" + table(kinds, best))
}

// measure does each operation once on one filesystem.
func measure(b *testing.B, k filesystem, best map[string]map[string]time.Duration) {
	dir := k.mount(b, tmpfs(b))
	for d := range dirs {
		if err := os.Mkdir(filepath.Join(dir, fmt.Sprint("d", d)), 0o755); err != nil {
			b.Fatal(err)
		}
	}
	for _, op := range operations {
		if strings.HasSuffix(op.name, "cold") {
			dropCaches(b)
		}
		start := time.Now()
		if err := op.do(dir); err != nil {
			b.Fatalf("%s on %s: %v", op.name, k.name, err)
		}
		took := time.Since(start)
		if was := best[op.name][k.name]; was == 0 || took < was {
			best[op.name][k.name] = took
		}
	}
}

// table shows microseconds an operation, and how many times as fast as the faster
// of the peers smfs is.
func table(kinds []filesystem, best map[string]map[string]time.Duration) string {
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, "us\t")
	for _, k := range kinds {
		fmt.Fprint(w, k.name, "\t")
	}
	fmt.Fprintln(w, "peers/smfs\tpeers/smfs-user\t")
	for _, op := range operations {
		fmt.Fprint(w, op.name, "\t")
		for _, k := range kinds {
			fmt.Fprintf(w, "%.1f\t", float64(best[op.name][k.name].Microseconds())/(dirs*filesPerDir))
		}
		peer := min(best[op.name]["bindfs"], best[op.name]["loopback"])
		for _, k := range []string{"smfs", "smfs-user"} {
			fmt.Fprintf(w, "%.2f\t", float64(peer)/float64(best[op.name][k]))
		}
		fmt.Fprintln(w)
	}
	w.Flush()
	return out.String()
}

func dropCaches(b *testing.B) {
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("2\n"), 0); err != nil {
		b.Fatal(err)
	}
}
