package bench

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"github.com/silvermirror/smfs/fstest"
)

// BenchmarkMemory measures what the daemon has in memory (VmRSS) after each of some
// steps, and the most that it ever had (VmHWM), for mirrors that are large in one way
// or another. b.N has no say.
func BenchmarkMemory(b *testing.B) {
	b.Run("1M-files", func(b *testing.B) {
		m := mirrorOfMany(b, 1000, 1000)
		m.Mount()
		m.Run("wait", "--committed", "--timeout", "30m")
		reportMemory(b, m, "first-commit")
		m.Umount()
		m.Mount()
		m.Run("wait", "--committed", "--timeout", "30m")
		reportMemory(b, m, "start")
		run(b, "find", m.Dir, "-name", "x")
		reportMemory(b, m, "find")
		run(b, "ls", "-lR", m.Dir)
		reportMemory(b, m, "ls-lR")
	})
	b.Run("10k-open", func(b *testing.B) {
		m := mirrorOfMany(b, 10, 1000)
		m.Mount("--no-passthrough") // passthrough takes two descriptors a file
		m.Run("wait", "--committed", "--timeout", "10m")
		reportMemory(b, m, "closed")
		for path := range many(m.Dir, 10, 1000) {
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
		}
		reportMemory(b, m, "open")
	})
	b.Run("100k-in-a-directory", func(b *testing.B) {
		m := mirrorOfMany(b, 1, 100_000)
		m.Mount()
		m.Run("wait", "--committed", "--timeout", "10m")
		reportMemory(b, m, "first-commit")
		run(b, "ls", "-lR", m.Dir)
		reportMemory(b, m, "ls-lR")
		if err := os.WriteFile(m.Path("d0000/one-more"), nil, 0o644); err != nil {
			b.Fatal(err)
		}
		m.Run("wait", "--committed", "--timeout", "10m")
		reportMemory(b, m, "one-more")
	})
	b.Run("100GiB-sparse", func(b *testing.B) {
		m := fstest.NewMirror(b, fstest.Program{Path: fstest.Build(b)}, "A")
		m.Mount("--no-passthrough")
		f, err := os.Create(m.Path("sparse"))
		if err == nil {
			err = f.Truncate(100 << 30)
		}
		block := make([]byte, 1<<20)
		for i := 0; i < 1000 && err == nil; i++ {
			at := rand.Int64N(100<<10-1) << 20
			if _, err = f.ReadAt(block, at); err == nil && i%10 == 0 {
				_, err = f.WriteAt(block, at)
			}
		}
		if err != nil {
			b.Fatal(err)
		}
		reportMemory(b, m, "used")
		f.Close()
		m.Run("wait", "--committed", "--timeout", "1h")
		reportMemory(b, m, "committed")
	})
}

// mirrorOfMany makes a mirror on a tmpfs whose files are there before the mount.
func mirrorOfMany(b *testing.B, dirs, files int) *fstest.Mirror {
	b.Helper()
	dir := tmpfs(b)
	for path := range many(dir, dirs, files) {
		err := os.WriteFile(path, []byte(path), 0o644)
		if os.IsNotExist(err) {
			if err = os.Mkdir(filepath.Dir(path), 0o755); err == nil {
				err = os.WriteFile(path, []byte(path), 0o644)
			}
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	return fstest.MirrorAt(b, fstest.Program{Path: fstest.Build(b)}, dir)
}

// many names files in directories.
func many(dir string, dirs, files int) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for d := range dirs {
			for f := range files {
				if !yield(filepath.Join(dir, fmt.Sprintf("d%04d/file%05d.txt", d, f))) {
					return
				}
			}
		}
	}
}

var memoryLine = regexp.MustCompile(`(?m)^(VmHWM|VmRSS):\s*(\d+) kB$`)

func reportMemory(b *testing.B, m *fstest.Mirror, step string) {
	b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", m.Status().PID))
	if err != nil {
		b.Fatal(err)
	}
	for _, line := range memoryLine.FindAllSubmatch(status, -1) {
		kb, _ := strconv.Atoi(string(line[2]))
		b.ReportMetric(float64(kb)/1024, fmt.Sprintf("MiB-%s-%s", line[1][2:], step))
	}
	b.ReportMetric(0, "ns/op")
}
