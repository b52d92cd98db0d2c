package peer

import (
	"context"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/silvermirror/smfs/fstest/sshd"
)

// swallow takes pushes and forgets them.
func swallow() *handler {
	return &handler{push: func(_ context.Context, _ *Session, _ Push, r io.Reader) error {
		_, err := io.Copy(io.Discard, r)
		return err
	}}
}

// overEach runs a benchmark over TCP on the loopback interface, and over ssh.
func overEach(b *testing.B, f func(b *testing.B, s *Session)) {
	b.Run("tcp", func(b *testing.B) {
		s, _ := pair(b, true, nil, swallow())
		f(b, s)
	})
	b.Run("ssh", func(b *testing.B) {
		srv := sshd.Start(b)
		f(b, connectTo(b, dialer(srv.ClientHome), srv.URL("/dev/shm")))
	})
}

// sink is a resource whose pushes the remote node writes to /dev/null.
const sink = "../null"

func push(size int64) func(io.Writer) error {
	return func(w io.Writer) error {
		piece := make([]byte, 128<<10)
		for left := size; left > 0; left -= int64(len(piece)) {
			if _, err := w.Write(piece[:min(left, int64(len(piece)))]); err != nil {
				return err
			}
		}
		return nil
	}
}

func BenchmarkThroughput(b *testing.B) {
	const size = 64 << 20
	overEach(b, func(b *testing.B, s *Session) {
		b.SetBytes(size)
		for b.Loop() {
			must(b, s.Push(context.Background(), Push{Resource: sink, Head: commitID("h")}, push(size)))
		}
	})
}

func BenchmarkSmallCall(b *testing.B) {
	overEach(b, func(b *testing.B, s *Session) { latency(b, s) })
}

func BenchmarkSmallPush(b *testing.B) {
	overEach(b, func(b *testing.B, s *Session) {
		for b.Loop() {
			must(b, s.Push(context.Background(), Push{Resource: sink, Head: commitID("h")}, push(2000)))
		}
	})
}

// BenchmarkSmallCallUnderBulk makes small calls while a large push goes on.
func BenchmarkSmallCallUnderBulk(b *testing.B) {
	overEach(b, func(b *testing.B, s *Session) {
		ctx, stop := context.WithCancel(context.Background())
		done := make(chan struct{})
		var sent int64
		go func() {
			defer close(done)
			s.Push(ctx, Push{Resource: sink, Head: commitID("h")}, func(w io.Writer) error {
				for {
					if err := push(1 << 20)(w); err != nil {
						return err
					}
					sent += 1 << 20
				}
			})
		}()
		start := time.Now()
		latency(b, s)
		stop()
		<-done
		b.ReportMetric(float64(sent)/1e6/time.Since(start).Seconds(), "bulk-MB/s")
	})
}

func latency(b *testing.B, s *Session) {
	var all []time.Duration
	for b.Loop() {
		took, err := s.Ping(context.Background())
		must(b, err)
		all = append(all, took)
	}
	slices.Sort(all)
	for _, p := range []struct {
		name string
		at   int
	}{{"p50-us", len(all) / 2}, {"p99-us", len(all) * 99 / 100}, {"max-us", len(all) - 1}} {
		b.ReportMetric(float64(all[p.at].Microseconds()), p.name)
	}
}
