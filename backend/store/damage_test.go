package store

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/silvermirror/smfs/backend/object"
)

func onlyPack(t *testing.T, s *Store) *pack {
	t.Helper()
	if s.PackCount() != 1 {
		t.Fatalf("%d packs, want 1", s.PackCount())
	}
	return s.packs()[0]
}

func TestIdxIsMadeAgain(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"missing": os.Remove,
		"empty":   func(path string) error { return os.Truncate(path, 0) },
		"torn":    func(path string) error { return os.Truncate(path, 1100) },
		"flipped": func(path string) error { return flip(path, 1050) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newTestStore(t)
			w := newWriter(t, s, 1)
			w.files = sampleFiles()
			id := w.commit()
			if err := spoil(onlyPack(t, s).name + ".idx"); err != nil {
				t.Fatal(err)
			}
			s = reopen(t, s)
			wantFiles(t, s, id, w.files)
			wantSound(t, s)
			wantGitClean(t, s)
		})
	}
}

func flip(path string, at int64) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, at); err != nil {
		return err
	}
	b[0] ^= 1 << (at % 8)
	_, err = f.WriteAt(b, at)
	return err
}

// Bits flip anywhere in a pack: Check finds it, what is read is right or an
// error, and files that do not lie there go on working.
func TestFlippedBits(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	s := newTestStore(t)
	w := newWriter(t, s, 1)
	w.files = map[string]string{"a": "one", "b": strings.Repeat("two ", 100), "c": string(randomBytes(5, 3000)), "d/e": "three"}
	id := w.commit()
	p := onlyPack(t, s)
	for range 60 {
		at := r.Int64N(p.size)
		if err := flip(p.name+".pack", at); err != nil {
			t.Fatal(err)
		}
		s.heads, s.dirs = newCache[object.CommitID, *object.Commit](1), newCache[object.TreeID, *object.Directory](1)
		s.raw = newCache[rawKey, []byte](1)
		for name, want := range w.files {
			got, err := content(s, id, name)
			if err == nil && got != want {
				t.Errorf("bit at %d flipped: %s is served wrong", at, name)
			}
			if err != nil && !errors.Is(err, ErrCorrupt) {
				t.Errorf("bit at %d flipped: %s: %v, want ErrCorrupt", at, name, err)
			}
		}
		if len(problems(t, s)) == 0 {
			t.Errorf("bit at %d flipped: check finds nothing", at)
		}
		if err := flip(p.name+".pack", at); err != nil {
			t.Fatal(err)
		}
	}
	wantSound(t, s)
}

// The head of an entry tells type and size; no bit of it may mislead.
func TestFlippedHeader(t *testing.T) {
	s := newTestStore(t)
	w := newWriter(t, s, 1)
	w.files = map[string]string{"a": strings.Repeat("x", 5000)}
	id := w.commit()
	p := onlyPack(t, s)
	e, _ := p.dir.find(object.Hash(object.TypeBlob, []byte(w.files["a"])))
	raw, err := os.ReadFile(p.name + ".pack")
	if err != nil {
		t.Fatal(err)
	}
	for bit := range 24 {
		bad := append([]byte(nil), raw...)
		bad[e.off+int64(bit/8)] ^= 1 << (bit % 8)
		if err := os.WriteFile(p.name+".pack", bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := content(s, id, "a"); err == nil && got != w.files["a"] || err != nil && !errors.Is(err, ErrCorrupt) {
			t.Errorf("bit %d of the head flipped: %.20q, %v", bit, got, err)
		}
	}
}

// One damaged file: it is named, the rest works, before and after the index is
// made again.
func TestDamagedBlob(t *testing.T) {
	s := newTestStore(t)
	w := newWriter(t, s, 1)
	w.files = map[string]string{"bad": string(randomBytes(5, 3000))}
	w.commit()
	bad := onlyPack(t, s)
	e, _ := bad.dir.find(object.Hash(object.TypeBlob, []byte(w.files["bad"])))
	w.files["good"] = "fine"
	id := w.commit()
	if err := flip(bad.name+".pack", e.off+200); err != nil {
		t.Fatal(err)
	}
	for _, how := range []string{"as it is", "index gone"} {
		if how == "index gone" {
			if err := os.Remove(bad.name + ".idx"); err != nil {
				t.Fatal(err)
			}
		}
		s = reopen(t, s)
		if _, err := content(s, id, "bad"); !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrMissing) {
			t.Errorf("%s: bad file: %v", how, err)
		}
		if got, err := content(s, id, "good"); err != nil || got != "fine" {
			t.Errorf("%s: good file: %q, %v", how, got, err)
		}
		if all := strings.Join(problems(t, s), "\n"); !strings.Contains(all, `file "bad"`) || strings.Contains(all, `file "good"`) {
			t.Errorf("%s: check says\n%s", how, all)
		}
	}
}

func TestDamagedRefs(t *testing.T) {
	s := newTestStore(t)
	w := newWriter(t, s, 1)
	w.files["a"] = "1"
	id := w.commit()
	if err := s.UpdateRefs(RefUpdate{"refs/smfs/tip/k.1", object.CommitID{}, id}); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("refs/smfs/tip/k.1", "garbage\n")
	if _, err := s.Ref("refs/smfs/tip/k.1"); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "refs/smfs/tip/k.1") {
		t.Errorf("damaged ref: %v", err)
	}
	if s = reopen(t, s); s.Head() != id {
		t.Error("another ref's damage spoils the head")
	}
	if all := strings.Join(problems(t, s), "\n"); !strings.Contains(all, "refs/smfs/tip/k.1") {
		t.Errorf("check says %q", all)
	}
	for _, text := range []string{"", "garbage", strings.Repeat("0", 40) + "\n", strings.Repeat("ab", 20) + "\n", "ref: refs/heads/other\n"} {
		write(HeadRef, text)
		if _, err := Open(s.dir); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), HeadRef) {
			t.Errorf("head is %q: %v, want ErrDamaged", text, err)
		}
	}
}

func TestOpenCleansUp(t *testing.T) {
	s := newTestStore(t)
	b, err := s.NewBatch()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.WriteBlob(randomBytes(1, 2<<20)); err != nil {
		t.Fatal(err)
	}
	if names, err := filepath.Glob(filepath.Join(s.packDir(), tmpPrefix+"*")); err != nil || len(names) != 1 {
		t.Fatalf("temporaries: %v, %v", names, err)
	}
	wantNoTemps(t, reopen(t, s))
}
