package bench

import (
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/silvermirror/smfs/fstest"
	"github.com/silvermirror/smfs/fstest/sshd"
)

// BenchmarkTail measures how long create, write and close of a small file take, one
// after the other, when nothing else goes on, and while 1 GiB is imported and a peer
// takes 256 KiB a second.
func BenchmarkTail(b *testing.B) {
	host := sshd.Start(b)
	p := fstest.Program{Path: fstest.Build(b), Env: host.Env()}
	slow := filepath.Join(b.TempDir(), "smfs")
	if err := os.WriteFile(slow, []byte("#!/bin/sh\npv -qL 256k | "+p.Path+" \"$@\"\n"), 0o755); err != nil {
		b.Fatal(err)
	}
	from, to := fstest.NewMirror(b, p, "A"), fstest.NewMirror(b, p, "B")
	from.Mount()
	to.Mount()
	from.Run("peer", "add", "b", host.URL(to.Dir), "--command", slow)
	for _, dir := range []string{"calm", "import", "loaded"} {
		if err := os.Mkdir(from.Path(dir), 0o755); err != nil {
			b.Fatal(err)
		}
	}
	calm := latencies{}
	for i := range 10_000 {
		calm.create(b, from.Path(fmt.Sprintf("calm/%d", i)))
	}
	from.Run("wait", "--committed", "--timeout", "5m")
	imported := make(chan error, 1)
	go func() { imported <- importGiB(from) }()
	loaded := latencies{}
	for i, on := 0, true; on; i++ {
		loaded.create(b, from.Path(fmt.Sprintf("loaded/%d", i)))
		select {
		case err := <-imported:
			if on = false; err != nil {
				b.Fatal(err)
			}
		default:
		}
	}
	if peers := from.Status().Peers; len(peers) != 1 || peers[0].State != "connected" {
		b.Fatalf("the peer: %+v", peers)
	}
	for name, l := range map[string]latencies{"calm": calm, "loaded": loaded} {
		b.ReportMetric(l.percentile(0.5), "ms-p50-"+name)
		b.ReportMetric(l.percentile(0.99), "ms-p99-"+name)
		b.ReportMetric(l.percentile(0.999), "ms-p99.9-"+name)
	}
	b.ReportMetric(loaded.percentile(0.999)/calm.percentile(0.999), "x-p99.9")
	b.ReportMetric(float64(len(loaded)), "files-loaded")
	b.ReportMetric(0, "ns/op")
}

// importGiB copies 1 GiB that cannot be compressed into the mirror, and waits until
// it is committed.
func importGiB(m *fstest.Mirror) error {
	for i := range 64 {
		f, err := os.Create(m.Path(fmt.Sprintf("import/%d", i)))
		if err != nil {
			return err
		}
		if _, err = io.CopyN(f, rand.Reader, 16<<20); err == nil {
			err = f.Close()
		}
		if err != nil {
			return err
		}
	}
	if out, err := m.Try("wait", "--committed", "--timeout", "10m"); err != nil {
		return fmt.Errorf("wait: %w\n%s", err, out)
	}
	return nil
}

type latencies []time.Duration

func (l *latencies) create(b *testing.B, path string) {
	start := time.Now()
	if err := os.WriteFile(path, make([]byte, 4096), 0o644); err != nil {
		b.Fatal(err)
	}
	*l = append(*l, time.Since(start))
}

// percentile is in ms.
func (l latencies) percentile(p float64) float64 {
	slices.Sort(l)
	return float64(l[min(int(p*float64(len(l))), len(l)-1)]) / float64(time.Millisecond)
}
