package store

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/silvermirror/smfs/backend/chunk"
	"github.com/silvermirror/smfs/backend/object"
)

// TestCrash runs every kind of change of the store and kills it at each step
// of each, with or without a loss of power, as the seed says. After that the store must open,
// be whole, hold the last acknowledged commit or the one under way, and take
// another.
func TestCrash(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	base := crashBase(t)
	for _, s := range crashScenarios(t, base) {
		t.Run(s.name, func(t *testing.T) {
			for step := 0; ; step++ {
				r := rand.New(rand.NewPCG(seed, uint64(step)))
				done := crashOnce(t, base, s, step, r.IntN(3) > 0, r)
				if t.Failed() {
					t.Fatalf("after a crash at step %d", step)
				}
				if done {
					if step < s.steps {
						t.Errorf("only %d steps were tried", step)
					}
					return
				}
			}
		})
	}
}

// crashBase makes a store with two packs.
func crashBase(t *testing.T) string {
	s := newTestStore(t)
	w := newWriter(t, s, 1)
	w.files = map[string]string{"a": "one", "d/b": "two"}
	w.commit()
	w.files["a"] = "three"
	w.commit()
	s.Close()
	return s.dir
}

type crashScenario struct {
	name  string
	steps int // it has at least so many
	run   func(s *Store, w *writer) (inFlight object.CommitID, err error)
}

func crashScenarios(t *testing.T, base string) []crashScenario {
	// What a peer has: the base and one commit more.
	peer := copyStore(t, base, osDisk{})
	pw := newWriter(t, peer, 2)
	pw.head = peer.Head()
	pw.files = map[string]string{"a": "four", "e": string(randomBytes(3, chunk.Threshold+9))}
	theirs := pw.commit()
	_, data := packOf(t, peer, theirs, peerBase(t, peer, theirs))
	return []crashScenario{
		{"commit", 12, func(s *Store, w *writer) (object.CommitID, error) {
			w.files = map[string]string{"a": "five", "big": string(randomBytes(4, chunk.Threshold+99)), "n/e/w": "x"}
			err := w.try()
			return object.CommitID{}, err
		}},
		{"accept", 12, func(s *Store, w *writer) (object.CommitID, error) { return theirs, accept(s, data, theirs) }},
		{"consolidate", 10, func(s *Store, w *writer) (object.CommitID, error) {
			return object.CommitID{}, s.Consolidate(t.Context())
		}},
		{"refs", 12, func(s *Store, w *writer) (object.CommitID, error) {
			head := s.Head()
			if err := s.UpdateRefs(RefUpdate{"refs/smfs/tip/k.1", object.CommitID{}, head}, RefUpdate{"refs/smfs/new/deep/x", object.CommitID{}, head}); err != nil {
				return object.CommitID{}, err
			}
			return object.CommitID{}, s.UpdateRefs(RefUpdate{"refs/smfs/tip/k.1", head, object.CommitID{}})
		}},
		{"meta", 5, func(s *Store, w *writer) (object.CommitID, error) {
			m := s.Meta()
			m.Incarnation = "2"
			return object.CommitID{}, s.SetMeta(m)
		}},
	}
}

func peerBase(t *testing.T, s *Store, id object.CommitID) object.CommitID {
	c, err := s.Commit(id)
	if err != nil {
		t.Fatal(err)
	}
	return c.Parents[0]
}

func copyStore(t *testing.T, from string, d disk) *Store {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "copy.git")
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	s, err := open(dir, d)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// crashOnce reports whether the scenario came to its end before the step.
func crashOnce(t *testing.T, base string, c crashScenario, step int, power bool, r *rand.Rand) bool {
	t.Helper()
	d := &faultDisk{backups: t.TempDir(), left: -1, files: map[string]*faultFile{}}
	s := copyStore(t, base, d)
	w := newWriter(t, s, 1)
	w.head, w.seq = s.Head(), 2
	acked := s.Head()
	d.left = step
	theirs, err := c.run(s, w)
	done := err == nil && !d.crashed // a crash while tidying up is no error
	if err == nil {
		acked = s.Head()
	} else if !errors.Is(err, errCrash) {
		t.Fatalf("step %d: %v", step, err)
	}
	s.Close()
	d.crashed = true
	if power {
		if err := d.lose(r); err != nil {
			t.Fatalf("step %d: lose: %v", step, err)
		}
	}
	after, err := open(s.dir, lazyDisk{})
	if err != nil {
		t.Errorf("step %d, power lost %v: %v", step, power, err)
		return true
	}
	defer after.Close()
	checkAfterCrash(t, after, acked, theirs, fmt.Sprintf("step %d, power lost %v", step, power))
	return done
}

func checkAfterCrash(t *testing.T, s *Store, acked, theirs object.CommitID, when string) {
	t.Helper()
	for _, p := range problems(t, s) {
		t.Errorf("%s: %s", when, p)
	}
	wantNoTemps(t, s)
	head, err := s.Commit(s.Head())
	if err != nil {
		t.Fatalf("%s: %v", when, err)
	}
	onTop := len(head.Parents) == 1 && head.Parents[0] == acked
	if s.Head() != acked && s.Head() != theirs && !onTop {
		t.Errorf("%s: head is %s, the last acknowledged was %s", when, s.Head(), acked)
	}
	w := newWriter(t, s, 3)
	w.head = s.Head()
	w.files = map[string]string{"after": "x", "d/b": "two"}
	if err := w.try(); err != nil {
		t.Errorf("%s: commit after it: %v", when, err)
	}
	wantFiles(t, s, s.Head(), w.files)
}

// A Create cut short can be repeated.
func TestCrashCreate(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for step := 0; ; step++ {
		dir := filepath.Join(t.TempDir(), "x.git")
		d := &faultDisk{backups: t.TempDir(), left: step, files: map[string]*faultFile{}}
		s, err := create(dir, Meta{Incarnation: "1"}, d)
		if err == nil {
			s.Close()
			if step < 10 {
				t.Errorf("only %d steps were tried", step)
			}
			return
		}
		d.crashed = true
		if err := d.lose(rand.New(rand.NewPCG(seed, uint64(step)))); err != nil {
			t.Fatal(err)
		}
		s, err = Create(dir, Meta{Incarnation: "1"})
		if errors.Is(err, os.ErrExist) {
			s, err = Open(dir)
		}
		if err != nil {
			t.Fatalf("step %d: %v", step, err)
		}
		w := newWriter(t, s, 1)
		w.files["a"] = "x"
		w.commit()
		s.Close()
	}
}
