package bench

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/silvermirror/smfs/fstest"
	"github.com/silvermirror/smfs/fstest/sshd"
)

func TestMain(m *testing.M) {
	code := m.Run()
	fstest.RemoveBuild()
	os.Exit(code)
}

// BenchmarkVisible measures how long an edit takes from close(2) on one mirror
// to being readable in the other one's mount, over ssh on loopback: b.N edits,
// one at a time, of 10 files of 1 KiB.
func BenchmarkVisible(b *testing.B) {
	host := sshd.Start(b)
	p := fstest.Program{Path: fstest.Build(b), Env: host.Env()}
	from, to := fstest.NewMirror(b, p, "A"), fstest.NewMirror(b, p, "B")
	from.Mount()
	to.Mount()
	from.Run("peer", "add", "b", host.URL(to.Dir), "--command", p.Path)
	for i := range 10 {
		edit(b, from.Path(name(i)), -1)
	}
	from.Run("wait", "--mirrored", "--timeout", "30s")
	var took []time.Duration
	for i := range b.N {
		content := edit(b, from.Path(name(i%10)), i)
		start := time.Now()
		for {
			got, err := os.ReadFile(to.Path(name(i % 10)))
			if err == nil && bytes.Equal(got, content) {
				break
			}
			if time.Since(start) > 30*time.Second {
				b.Fatalf("edit %d did not arrive: %v", i, err)
			}
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	at := func(p float64) float64 {
		return float64(took[min(int(p*float64(len(took))), len(took)-1)]) / float64(time.Millisecond)
	}
	b.ReportMetric(at(0.5), "ms-p50")
	b.ReportMetric(at(0.9), "ms-p90")
	b.ReportMetric(at(0.99), "ms-p99")
	b.ReportMetric(at(1), "ms-max")
	b.ReportMetric(0, "ns/op")
}

func name(i int) string { return fmt.Sprintf("file%d.txt", i) }

// edit writes a file anew and returns its content.
func edit(b *testing.B, path string, i int) []byte {
	content := bytes.Repeat(fmt.Appendf(nil, "edit %08d\n", i), 73)
	if err := os.WriteFile(path, content, 0o644); err != nil {
		b.Fatal(err)
	}
	return content
}
