package bench

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"
)

const (
	dirs        = 10
	filesPerDir = 1000
)

// eachFile does something with each of the files.
func eachFile(do func(path string) error) func(string) (time.Duration, error) {
	return timed(func(dir string) error {
		for d := range dirs {
			for f := range filesPerDir {
				if err := do(filepath.Join(dir, fmt.Sprintf("d%d/file%04d.txt", d, f))); err != nil {
					return err
				}
			}
		}
		return nil
	})
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

// BenchmarkMetadata measures operations on names, on 10,000 small files.
func BenchmarkMetadata(b *testing.B) {
	perFile := unit{"us", func(d time.Duration) float64 { return float64(d.Microseconds()) / (dirs * filesPerDir) }}
	compare(b, perFile, []job{
		{name: "create+write+close", do: func(dir string) (time.Duration, error) {
			if err := makeDirs(dir); err != nil {
				return 0, err
			}
			return eachFile(func(path string) error { return os.WriteFile(path, []byte("a small file\n"), 0o644) })(dir)
		}},
		{name: "stat, after a write", do: eachFile(stat)},
		{name: "stat, hot", do: eachFile(stat)},
		{name: "readdir+stat, cold", cold: true, do: timed(list)},
		{name: "open+read+close", do: eachFile(func(path string) error { _, err := os.ReadFile(path); return err })},
		{name: "rewrite", do: eachFile(func(path string) error { return os.WriteFile(path, []byte("another text\n"), 0o644) })},
		{name: "rename", do: eachFile(func(path string) error { return os.Rename(path, path+".renamed") })},
		{name: "unlink", do: eachFile(func(path string) error { return os.Remove(path + ".renamed") })},
	})
}

func makeDirs(dir string) error {
	for d := range dirs {
		if err := os.Mkdir(filepath.Join(dir, fmt.Sprint("d", d)), 0o755); err != nil {
			return err
		}
	}
	return nil
}

func stat(path string) error {
	_, err := os.Lstat(path)
	return err
}
