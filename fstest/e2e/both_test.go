package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

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
		sides.Go(func() { meddle(m, rand.New(rand.NewPCG(seed, uint64(i)))) })
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

// meddle makes random changes; most of those that fail met one of the other side.
func meddle(m *fstest.Mirror, rnd *rand.Rand) {
	names := []string{"1", "2", "3", "d", "d/1", "d/2", "d/e", "d/e/1", "f", "f/1", "f/2"}
	for i := range 400 {
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
