package store

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/silvermirror/smfs/backend/object"
)

func TestConsolidate(t *testing.T) {
	s := newTestStore(t)
	w := newWriter(t, s, 1)
	w.files = sampleFiles()
	var heads []object.CommitID
	for i := range 24 {
		w.files["a.txt"] = fmt.Sprint("version ", i)
		heads = append(heads, w.commit())
		if s.PackCount() > 16 {
			if err := s.Consolidate(context.Background()); err != nil {
				t.Fatal(err)
			}
			if s.PackCount() > keepPacks+1 {
				t.Fatalf("%d packs are left", s.PackCount())
			}
		}
	}
	for range 2 {
		for i, id := range heads {
			if got, err := content(s, id, "a.txt"); err != nil || got != fmt.Sprint("version ", i) {
				t.Errorf("version %d is %q, %v", i, got, err)
			}
		}
		wantSound(t, s)
		wantGitClean(t, s)
		s = reopen(t, s)
	}
}

// A damaged pack stays as it is; the others are merged.
func TestConsolidateDamaged(t *testing.T) {
	s := newTestStore(t)
	w := newWriter(t, s, 1)
	for i := range 5 {
		w.files[fmt.Sprint(i)] = string(randomBytes(uint64(i), 500))
		w.commit()
	}
	bad := s.packs()[2]
	if err := flip(bad.name+".pack", 200); err != nil {
		t.Fatal(err)
	}
	if err := s.Consolidate(context.Background()); err != nil {
		t.Fatal(err)
	}
	if s.PackCount() != 2 {
		t.Errorf("%d packs, want 2", s.PackCount())
	}
	if all := strings.Join(problems(t, s), "\n"); !strings.Contains(all, filepath.Base(bad.name)) {
		t.Errorf("check says %q", all)
	}
}

// Curious users run git's housekeeping, with deltas, cruft and midx, while the
// store is open and after.
func TestGitHousekeeping(t *testing.T) {
	for _, args := range [][]string{
		{"gc", "--quiet"}, {"gc", "--aggressive", "--quiet"}, {"repack", "-a", "-d", "-f", "--depth=100", "--window=50", "-q"}, {"repack", "-A", "-d", "-q"},
		{"multi-pack-index", "write", "--no-progress"}, {"gc", "--cruft", "--quiet", "--prune=now"}, {"unpack"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			s := newTestStore(t)
			w := newWriter(t, s, 1)
			w.files = map[string]string{"a": "x", "d/": "", "docs/b.txt": strings.Repeat("many lines of text\n", 3000)}
			heads := []object.CommitID{}
			for i := range 6 {
				w.files["docs/b.txt"] += fmt.Sprint("line ", i, "\n")
				heads = append(heads, w.commit())
			}
			if args[0] == "unpack" {
				unpack(t, s)
			} else {
				git(t, s, args...)
			}
			files := w.files
			w.files = map[string]string{"docs/b.txt": files["docs/b.txt"], "new": "x"}
			w.commit()
			for round := range 3 {
				wantFiles(t, s, heads[5], files)
				wantFiles(t, s, w.head, w.files)
				wantSound(t, s)
				switch round {
				case 0:
					wantGitClean(t, s)
					if err := s.Consolidate(context.Background()); err != nil {
						t.Fatal(err)
					}
				case 1:
					s = reopen(t, s)
				}
			}
			wantGitClean(t, s)
			to := newTestStore(t)
			send(t, s, to, w.head)
			wantSound(t, to)
		})
	}
}

// unpack turns all packs into loose objects.
func unpack(t *testing.T, s *Store) {
	t.Helper()
	names, err := s.packNames()
	if err != nil {
		t.Fatal(err)
	}
	aside := t.TempDir()
	for _, name := range names {
		for _, ext := range []string{".idx", ".pack"} {
			if err := os.Rename(name+ext, filepath.Join(aside, filepath.Base(name)+ext)); err != nil {
				t.Fatal(err)
			}
		}
		script := "unpack-objects -q < " + filepath.Join(aside, filepath.Base(name)+".pack")
		git(t, s, "-c", "alias.x=!git --git-dir="+s.dir+" "+script, "x")
	}
}

// Reads, batches, transfers and consolidation at once.
func TestConcurrent(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	s, to := newTestStore(t), newTestStore(t)
	w := newWriter(t, s, 1)
	w.files = map[string]string{"first": string(randomBytes(9, 2<<20))}
	first := w.commit()
	done := make(chan struct{})
	var g errgroup.Group
	g.Go(func() error {
		defer close(done)
		r := rand.New(rand.NewPCG(seed, 1))
		for range 12 {
			mutate(r, w)
			if err := w.try(); err != nil {
				return err
			}
		}
		return nil
	})
	until := func(fn func() error) {
		g.Go(func() error {
			for {
				if err := fn(); err != nil {
					return err
				}
				select {
				case <-done:
					return nil
				default:
				}
			}
		})
	}
	until(func() error { return s.Consolidate(context.Background()) })
	until(func() error {
		got, err := content(s, first, "first")
		if err == nil && got != string(randomBytes(9, 2<<20)) {
			err = ErrCorrupt
		}
		return err
	})
	until(func() error {
		head := s.Head()
		o, err := s.Pack(context.Background(), head, []object.CommitID{to.Head()})
		if err != nil {
			return err
		}
		var b strings.Builder
		if _, err := o.WriteTo(&b); err != nil {
			return err
		}
		return accept(to, []byte(b.String()), head)
	})
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	wantSound(t, s)
	wantSound(t, to)
	wantGitClean(t, s)
}
