package store

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/silvermirror/smfs/backend/object"
)

func TestUpdateRefs(t *testing.T) {
	s := newTestStore(t)
	w := newWriter(t, s, 1)
	w.files["a"] = "1"
	c1 := w.commit()
	w.files["a"] = "2"
	c2 := w.commit()
	none := object.CommitID{}
	tip := "refs/smfs/tip/" + w.name
	if err := s.UpdateRefs(RefUpdate{tip, none, c1}, RefUpdate{HeadRef, c2, c1}); err != nil {
		t.Fatal(err)
	}
	if s.Head() != c1 || mustRef(t, s, tip) != c1 {
		t.Error("refs did not move")
	}
	// One that has changed keeps all in place.
	for _, u := range []RefUpdate{{HeadRef, c2, c1}, {tip, none, c2}, {"refs/smfs/none", c1, c2}} {
		if err := s.UpdateRefs(RefUpdate{"refs/smfs/other", none, c1}, u); !errors.Is(err, ErrRefChanged) {
			t.Errorf("%v: %v, want ErrRefChanged", u, err)
		}
	}
	if id := mustRef(t, s, "refs/smfs/other"); !id.IsZero() {
		t.Error("a ref moved beside one that had changed")
	}
	if err := s.UpdateRefs(RefUpdate{tip, c1, none}); err != nil || !mustRef(t, s, tip).IsZero() {
		t.Errorf("delete: %v", err)
	}
	if err := s.UpdateRefs(RefUpdate{tip, none, c1}, RefUpdate{tip, none, c2}); !errors.Is(err, ErrBadRef) {
		t.Errorf("one ref twice: %v", err)
	}
	wantNoTemps(t, s)
}

func TestPackedRefs(t *testing.T) {
	s := newTestStore(t)
	w := newWriter(t, s, 1)
	w.files["a"] = "1"
	c1 := w.commit()
	none := object.CommitID{}
	if err := s.UpdateRefs(RefUpdate{"refs/smfs/tip/k.1", none, c1}, RefUpdate{"refs/smfs/tip/k.2", none, c1}); err != nil {
		t.Fatal(err)
	}
	git(t, s, "tag", "-a", "-m", "x", "v1", "main")
	git(t, s, "pack-refs", "--all", "--prune")
	s = reopen(t, s)
	if s.Head() != c1 || mustRef(t, s, "refs/smfs/tip/k.1") != c1 {
		t.Error("packed refs are not read")
	}
	if refs, err := s.Refs("refs/smfs/tip/"); err != nil || len(refs) != 2 || refs[0].Name != "refs/smfs/tip/k.1" {
		t.Errorf("listed %v, %v", refs, err)
	}
	if err := s.UpdateRefs(RefUpdate{"refs/smfs/tip/k.1", c1, none}); err != nil || !mustRef(t, s, "refs/smfs/tip/k.1").IsZero() {
		t.Errorf("delete of a packed ref: %v", err)
	}
	if id := mustRef(t, s, "refs/smfs/tip/k.2"); id != c1 {
		t.Error("the other packed ref is gone")
	}
	w = newWriter(t, s, 2)
	w.head = c1
	w.commit()
	if got := strings.TrimSpace(git(t, s, "rev-parse", "main")); got != s.Head().String() {
		t.Errorf("git sees %s, head is %s", got, s.Head())
	}
	wantSound(t, s)
	wantGitClean(t, s)
}

func TestCheckRef(t *testing.T) {
	for _, name := range []string{"refs/heads/main", "refs/smfs/tip/ab-_=.1"} {
		if err := checkRef(name); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{
		"", "HEAD", "refs", "refs/x", "heads/main/x", "refs/heads/../../config", "refs/heads/", "refs//x", "/refs/heads/x", "refs/heads/.x", "refs/heads/x.lock", "refs/heads/x.", "refs/heads/x./y",
		"refs/heads/a..b", "refs/heads/a b", "refs/heads/a\nb", "refs/heads/a:b", "refs/heads/@", "refs/heads/\xff", "refs/heads/" + strings.Repeat("x", 300), "refs/1/2/3/4/5/6/7/8",
	} {
		if err := checkRef(name); !errors.Is(err, ErrBadRef) {
			t.Errorf("%q: %v, want ErrBadRef", name, err)
		}
	}
}

func TestLocks(t *testing.T) {
	s := newTestStore(t)
	w := newWriter(t, s, 1)
	w.files["a"] = "1"
	c1 := w.commit()
	// Ours, of a process that died: gone with the next Open.
	l, err := s.refs.lock(HeadRef, c1)
	if err != nil {
		t.Fatal(err)
	}
	s = reopen(t, s)
	if _, err := os.Lstat(l.lock); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("lock of a dead process: %v", err)
	}
	// One of a git that runs is respected, one that is old is not.
	if err := os.WriteFile(l.lock, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s = reopen(t, s)
	if err := s.UpdateRefs(RefUpdate{HeadRef, c1, object.CommitID{}}); !errors.Is(err, ErrRefLocked) {
		t.Errorf("locked by git: %v, want ErrRefLocked", err)
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(l.lock, old, old); err != nil {
		t.Fatal(err)
	}
	w.s = s
	w.files["a"] = "2"
	w.commit()
	wantNoTemps(t, s)
	if _, err := os.Lstat(filepath.Join(s.dir, HeadRef+".lock")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("old lock: %v", err)
	}
}

// git moves the head: the store sees it when it next moves it itself.
func TestHeadMovedByGit(t *testing.T) {
	s := newTestStore(t)
	w := newWriter(t, s, 1)
	w.files["a"] = "1"
	c1 := w.commit()
	w.files["a"] = "2"
	c2 := w.commit()
	git(t, s, "update-ref", HeadRef, c1.String())
	if err := s.UpdateRefs(RefUpdate{HeadRef, c2, c2}); !errors.Is(err, ErrRefChanged) || s.Head() != c1 {
		t.Errorf("head is %s, %v", s.Head(), err)
	}
}
