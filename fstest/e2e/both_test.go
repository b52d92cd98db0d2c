package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/silvermirror/smfs/fstest"
)

// TestBothSidesBusy changes the same few names on two mirrors at the same time:
// they end up the same, and neither has had to scan while it was mounted.
func TestBothSidesBusy(t *testing.T) {
	t.Parallel()
	a, b, _ := mounted(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	var sides sync.WaitGroup
	for i, m := range []*fstest.Mirror{a, b} {
		sides.Go(func() { meddle(m, rand.New(rand.NewPCG(seed, uint64(i))), 400) })
	}
	sides.Wait()
	meet(t, a, b)
	for _, m := range []*fstest.Mirror{a, b} {
		check(t, sameAsHead(m, nil))
		if s := m.Status(); s.Resources[0].Problem != "" {
			t.Errorf("problem: %s", s.Resources[0].Problem)
		}
		m.Umount()
		log, err := os.ReadFile(m.Path(".silvermirror/smfs.log"))
		check(t, err)
		if _, scan, found := strings.Cut(string(log), "a scan is needed"); found {
			t.Errorf("a scan while mounted:%.300s", scan)
		}
	}
}

// TestChainBusy is the same with three mirrors in a chain, the middle one of which
// is killed meanwhile, its mount taken away and changed as plain files.
func TestChainBusy(t *testing.T) {
	t.Parallel()
	a, b, host := mounted(t)
	c := fstest.NewMirror(t, a.Program, "C")
	t.Cleanup(host.Down)
	c.Mount()
	b.Run("peer", "add", "c", host.URL(c.Dir), "--command", a.Program.Path)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	mirrors := []*fstest.Mirror{a, b, c}
	for round := range uint64(2) {
		var sides sync.WaitGroup
		for i, m := range mirrors {
			sides.Go(func() {
				rnd := rand.New(rand.NewPCG(seed+round, uint64(i)))
				meddle(m, rnd, 60)
				if m != b {
					meddle(m, rnd, 100)
					return
				}
				m.Kill()
				if round > 0 {
					_ = unix.Unmount(m.Dir, unix.MNT_DETACH)
					meddle(m, rnd, 20)
				}
				m.Mount()
				meddle(m, rnd, 60)
			})
		}
		sides.Wait()
		meet(t, mirrors...)
		for _, m := range mirrors {
			check(t, sameAsHead(m, nil))
		}
		if t.Failed() {
			return
		}
	}
}

// meddle makes random changes; most of those that fail met one of the other side.
func meddle(m *fstest.Mirror, rnd *rand.Rand, times int) {
	names := []string{"1", "2", "3", "d", "d/1", "d/2", "d/e", "d/e/1", "f", "f/1", "f/2"}
	for i := range times {
		p, q := m.Path(names[rnd.IntN(len(names))]), m.Path(names[rnd.IntN(len(names))])
		switch rnd.IntN(9) {
		case 0, 1, 2:
			_ = os.WriteFile(p, fmt.Append(nil, "text ", i), 0o644)
		case 3:
			_ = os.Mkdir(p, 0o755)
		case 4, 5:
			_ = os.Rename(p, q)
		case 6:
			_ = os.Remove(p)
		case 7:
			_ = os.Link(p, q)
		case 8:
			_ = os.WriteFile(p+".new", fmt.Append(nil, "saved ", i), 0o644)
			_ = os.Rename(p+".new", p)
		}
		time.Sleep(time.Duration(rnd.IntN(10)) * time.Millisecond)
	}
}
