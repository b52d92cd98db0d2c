package store

import (
	"context"
	"os"
	"path/filepath"
	"testing"
)

// A crash came between the new pack and the removal of the old ones: merging
// them all again gives the new pack once more, which must not go with the old.
func TestConsolidateAfterCrash(t *testing.T) {
	s := newTestStore(t)
	w := newWriter(t, s, 1)
	w.files["a.txt"] = string(randomBytes(1, 500))
	w.commit()
	w.files["a.txt"] = string(randomBytes(2, 500))
	head := w.commit()
	old := map[string][]byte{}
	names, err := filepath.Glob(filepath.Join(s.packDir(), "pack-*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if old[name], err = os.ReadFile(name); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Consolidate(context.Background()); err != nil {
		t.Fatal(err)
	}
	for name, data := range old {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s = reopen(t, s)
	if s.PackCount() != 3 {
		t.Fatalf("%d packs, want the merged one and two old ones", s.PackCount())
	}
	if err := s.Consolidate(context.Background()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if s.PackCount() != 1 {
			t.Errorf("%d packs are left, want 1", s.PackCount())
		}
		wantFiles(t, s, head, w.files)
		wantSound(t, s)
		s = reopen(t, s)
	}
}
