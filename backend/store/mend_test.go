package store

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/silvermirror/smfs/backend/object"
)

func mend(t *testing.T, s *Store) (aside string, did []string) {
	t.Helper()
	aside = filepath.Join(t.TempDir(), "aside")
	if err := s.Mend(context.Background(), aside, func(text string) { did = append(did, text) }); err != nil {
		t.Fatal(err)
	}
	return aside, did
}

// TestMend flips bits anywhere in a pack. After Mend nothing but the objects that
// lay there is amiss, with them put back nothing at all; what was damaged is kept.
func TestMend(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	for range 30 {
		s := newTestStore(t)
		w := newWriter(t, s, 1)
		w.files = map[string]string{"a": "one", "b": strings.Repeat("two ", 100), "c": string(randomBytes(5, 3000)), "d/e": "three"}
		id := w.commit()
		whole, err := Open(s.dir)
		if err != nil {
			t.Fatal(err)
		}
		defer whole.Close()
		p := onlyPack(t, s)
		at := r.Int64N(p.size)
		data, err := os.ReadFile(p.name + ".pack")
		if err != nil {
			t.Fatal(err)
		}
		data[at] ^= 0x10
		if err := os.Remove(p.name + ".pack"); err != nil { // whole goes on with the old bytes
			t.Fatal(err)
		}
		if err := os.WriteFile(p.name+".pack", data, 0o600); err != nil {
			t.Fatal(err)
		}
		s.Close()
		if s, err = Open(s.dir); err != nil {
			continue // it hit the head, which is another matter
		}
		defer s.Close()
		aside, did := mend(t, s)
		if len(did) != 1 {
			t.Errorf("bit at %d: did %q", at, did)
		}
		if kept, err := os.ReadFile(filepath.Join(aside, "objects/pack", filepath.Base(p.name)+".pack")); err != nil || string(kept) != string(data) {
			t.Errorf("bit at %d: the damaged pack is not kept: %v", at, err)
		}
		putBack(t, s, whole)
		wantSound(t, s)
		wantGitClean(t, s)
		wantFiles(t, s, id, w.files)
	}
}

// putBack brings what is missing from a store that is whole, until nothing is.
func putBack(t *testing.T, s, whole *Store) {
	t.Helper()
	for range 10 {
		b, err := s.NewBatch()
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Check(context.Background(), func(f Fault) {
			if f.Object == ([20]byte{}) {
				t.Errorf("check: %s", f.Text)
				return
			}
			kind, data, err := whole.readAny(f.Object, object.MaxTree)
			if err == nil {
				err = b.put(kind, f.Object, data)
			}
			if err != nil || kind != f.Kind {
				t.Errorf("%s: put back a %s, not a %s: %v", f.Text, kind, f.Kind, err)
			}
		}, func(int) {}); err != nil {
			t.Fatal(err)
		}
		if b.w.count() == 0 {
			b.Discard()
			return
		}
		if err := b.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	t.Error("there is no end of missing objects")
}

// TestMendIdx damages an index while the store is open.
func TestMendIdx(t *testing.T) {
	s := newTestStore(t)
	w := newWriter(t, s, 1)
	w.files = sampleFiles()
	id := w.commit()
	if err := flip(onlyPack(t, s).name+".idx", 1050); err != nil {
		t.Fatal(err)
	}
	if list := problems(t, s); len(list) != 1 {
		t.Errorf("check: %q", list)
	}
	if _, did := mend(t, s); len(did) != 1 || !strings.Contains(did[0], "index of pack") {
		t.Errorf("did %q", did)
	}
	wantSound(t, s)
	wantFiles(t, s, id, w.files)
	if _, did := mend(t, s); len(did) != 0 {
		t.Errorf("did %q in a sound store", did)
	}
}

// TestPutHeadAside takes away a ref that keeps the store from opening, and
// nothing else.
func TestPutHeadAside(t *testing.T) {
	s := newTestStore(t)
	w := newWriter(t, s, 1)
	w.files = sampleFiles()
	w.commit()
	s.Close()
	aside := filepath.Join(t.TempDir(), "aside")
	if err := PutHeadAside(s.dir, aside); err != nil {
		t.Fatal(err)
	}
	if s, err := Open(s.dir); err != nil || s.Head() != w.head {
		t.Fatalf("the head of a sound store is %s, %v", s.Head(), err)
	}
	if err := os.WriteFile(filepath.Join(s.dir, HeadRef), []byte("garbage\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := PutHeadAside(s.dir, aside); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(filepath.Join(aside, HeadRef)); err != nil || string(data) != "garbage\n" {
		t.Errorf("kept %q, %v", data, err)
	}
	if s, err := Open(s.dir); err != nil || !s.Head().IsZero() {
		t.Errorf("the head is %s, %v", s.Head(), err)
	}
	if err := os.WriteFile(filepath.Join(s.dir, metaName), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := PutHeadAside(s.dir, aside); err == nil {
		t.Error("a damaged description is no matter of the head")
	}
}

// TestMendHead loses the ref of the head while the store is open.
func TestMendHead(t *testing.T) {
	s := newTestStore(t)
	w := newWriter(t, s, 1)
	w.files = sampleFiles()
	id := w.commit()
	ref := filepath.Join(s.dir, HeadRef)
	for _, spoil := range []func() error{
		func() error { return os.Remove(ref) },
		func() error { return os.WriteFile(ref, []byte("nonsense"), 0o600) },
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		if list := problems(t, s); len(list) != 1 || !strings.Contains(list[0], HeadRef) {
			t.Errorf("check: %q", list)
		}
		if _, did := mend(t, s); len(did) != 1 {
			t.Errorf("did %q", did)
		}
		wantSound(t, s)
		wantFiles(t, reopen(t, s), id, w.files)
		s = reopen(t, s)
	}
}

// TestCheckClaims has commits that say what is not so.
func TestCheckClaims(t *testing.T) {
	for want, claim := range map[string]func(c *object.Commit, w *writer) error{
		"not signed":   func(*object.Commit, *writer) error { return nil },
		"generation 7": func(c *object.Commit, w *writer) error { c.Gen = 7; return object.Sign(c, w.key) },
		"its cover":    func(c *object.Commit, w *writer) error { c.Cover = nil; return object.Sign(c, w.key) },
	} {
		t.Run(want, func(t *testing.T) {
			s := newTestStore(t)
			w := newWriter(t, s, 1)
			w.files = sampleFiles()
			parent := w.commit()
			p, err := s.Commit(parent)
			if err != nil {
				t.Fatal(err)
			}
			b, err := s.NewBatch()
			if err != nil {
				t.Fatal(err)
			}
			c := &object.Commit{Tree: p.Tree, Parents: []object.CommitID{parent}, Cover: p.FullCover(parent), Author: "a", Email: "b", Message: "m", Writer: w.name, Seq: 2, Gen: 2}
			if err := claim(c, w); err != nil {
				t.Fatal(err)
			}
			id, err := b.PutCommit(c)
			if err == nil {
				err = b.Commit(RefUpdate{HeadRef, parent, id})
			}
			if err != nil {
				t.Fatal(err)
			}
			if list := problems(t, s); len(list) != 1 || !strings.Contains(list[0], want) {
				t.Errorf("check: %q, want %q", list, want)
			}
		})
	}
}
