package backend

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestGrowth(t *testing.T) {
	file := filepath.Join(t.TempDir(), "sizes")
	g := &growth{}
	g.open(file)
	start := time.Unix(1_700_000_000, 0)
	if got := g.since(5); !got.Since.IsZero() {
		t.Errorf("before anything was noted: %+v", got)
	}
	for day := range 12 {
		for hour := range 3 { // but the first is no more than the day's
			if err := g.note(start.AddDate(0, 0, day).Add(time.Duration(hour)*time.Hour), int64(100*day+hour)); err != nil {
				t.Fatal(err)
			}
		}
	}
	again := &growth{}
	again.open(file)
	for _, g := range []*growth{g, again} {
		if got := g.since(1500); got.Bytes != 1100 || !got.Since.Equal(start.AddDate(0, 0, 4)) {
			t.Errorf("%+v", got)
		}
	}
	if err := os.WriteFile(file, []byte("rubbish\n17 4 x\n1700000000 3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	damaged := &growth{}
	damaged.open(file)
	if len(damaged.notes) > 2 {
		t.Errorf("of a damaged file: %+v", damaged.notes)
	}
}
