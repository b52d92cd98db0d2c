package backend_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/silvermirror/smfs/backend"
)

func (m *mirror) undo(o backend.UndoOptions) *backend.Undone {
	m.t.Helper()
	u, err := m.engine.Undo(context.Background(), o)
	must(m.t, err)
	return u
}

// begun is a mirror whose history has begun, so that what comes is no import.
func begun(t *testing.T, dir string, with ...func(*backend.Options)) *mirror {
	m := openMirror(t, dir, with...)
	for _, text := range []string{"one", "two"} {
		m.write("begun", text)
		m.sync()
	}
	return m
}

// TestRandomUndo does random things, undoes the last of them, and undoes that.
func TestRandomUndo(t *testing.T) {
	histories(t, func(t *testing.T, rnd *rand.Rand) {
		m := begun(t, t.TempDir(), backend.CommitAtMost([]int{1, 3, 0}[rnd.IntN(3)]))
		h := newHistory(t, rnd)
		defer h.showIfFailed()
		undone := 0
		for range 25 {
			for range 1 + rnd.IntN(4) {
				h.step(m)
			}
			m.sync()
			before, tree := m.list(), m.git("rev-parse", "main^{tree}")
			u, err := m.engine.Undo(t.Context(), backend.UndoOptions{Last: 1 + rnd.IntN(3)})
			if errors.Is(err, backend.ErrNotFound) || errors.Is(err, backend.ErrRefused) {
				continue
			}
			must(t, err)
			undone++
			h.note("undo %q", u.Batches)
			oldest := u.Batches[len(u.Batches)-1].Commits
			m.wantTree(oldest[len(oldest)-1] + "^")
			if len(u.Skipped)+len(u.Conflicts) > 0 {
				t.Errorf("nothing has changed since, but %q, %q", u.Skipped, u.Conflicts)
			}
			if rnd.IntN(2) == 0 {
				continue
			}
			h.note("undo that")
			m.undo(backend.UndoOptions{})
			m.wantTree(tree)
			if after := m.list(); after != before {
				t.Errorf("undo of undo: there was\n%s\nand is\n%s", before, after)
			}
		}
		if undone < 5 {
			t.Errorf("only %d undone", undone)
		}
		m.wantSettled()
		m.git("fsck", "--strict")
	})
}

// wantTree checks that the head's tree is that of a commit, or that tree.
func (m *mirror) wantTree(of string) {
	m.t.Helper()
	if want, got := m.git("rev-parse", of+"^{tree}"), m.git("rev-parse", "main^{tree}"); got != want {
		m.t.Errorf("the tree is %s, not %s, which %s has:\n%s", got, want, of, m.git("diff", "--stat", want, got))
	}
}

// TestRandomUndoBesideOthers undoes on one mirror while another goes on: what that
// wrote stays, and both agree.
func TestRandomUndoBesideOthers(t *testing.T) {
	histories(t, func(t *testing.T, rnd *rand.Rand) {
		root := t.TempDir()
		for _, name := range []string{"a", "b"} {
			must(t, os.Mkdir(filepath.Join(root, name), 0o755))
		}
		a, b := begun(t, filepath.Join(root, "a")), openMirror(t, filepath.Join(root, "b"))
		mine := newHistory(t, rnd)
		for range 12 {
			mine.step(a)
		}
		a.sync()
		for range 8 {
			a.meet(b)
			for range 1 + rnd.IntN(5) {
				mine.step(a)
			}
			a.sync()
			if rnd.IntN(2) == 0 {
				a.meet(b)
			}
			others := newHistory(t, rnd)
			others.n, others.log = mine.n+1000, mine.log
			for range 1 + rnd.IntN(5) {
				others.step(b)
			}
			b.sync()
			if rnd.IntN(2) == 0 {
				a.meet(b)
			}
			u, err := a.engine.Undo(t.Context(), backend.UndoOptions{Last: 1 + rnd.IntN(2)})
			if err != nil && !errors.Is(err, backend.ErrNotFound) && !errors.Is(err, backend.ErrRefused) {
				t.Fatal(err)
			}
			others.note("undo: %+v, %v", u, err)
			a.meet(b)
			a.meet(b)
			same(t, a, b)
			all := a.list()
			for token := range others.alive {
				if !strings.Contains(all, token) {
					t.Errorf("%s, which the other wrote, is lost", token)
				}
			}
			mine.n, mine.log = others.n, others.log
			if t.Failed() {
				break
			}
		}
		mine.showIfFailed()
		for _, m := range []*mirror{a, b} {
			m.wantSettled()
			m.git("fsck", "--strict")
		}
	})
}

func TestUndo(t *testing.T) {
	m := begun(t, t.TempDir())
	m.write("d/a", "a")
	m.write("d/b", "b")
	m.sync()
	m.tag("d/a", "work")
	must(t, os.RemoveAll(m.path("d")))
	m.sync()
	m.write("d/b", "newer")
	m.sync()

	dry := m.undo(backend.UndoOptions{Path: "d/a", DryRun: true})
	if dry.Commit != "" || len(dry.Changes) == 0 || m.read("d/b") != "newer" {
		t.Errorf("a dry run: %+v", dry)
	}
	u := m.undo(backend.UndoOptions{Path: "d/a"}) // not the last one
	if m.read("d/a") != "a" || m.read("d/b") != "newer" || m.tagsOf("d/a") != "work" {
		t.Errorf("d/a %q, tags %q, d/b %q", m.read("d/a"), m.tagsOf("d/a"), m.read("d/b"))
	}
	if len(u.Conflicts) != 1 || !strings.HasPrefix(u.Batches[0].What, "delete d") || u.Batches[0].Program != "" {
		t.Errorf("undone: %+v", u)
	}
	m.undo(backend.UndoOptions{})
	if got := strings.Join(m.onDisk(), " "); strings.Contains(got, "d/a") || m.read("d/b") != "newer" {
		t.Errorf("undo of undo leaves %s", got)
	}
	if got := m.git("log", "-1", "--format=%s"); !strings.HasPrefix(got, "redo delete d") {
		t.Errorf("its subject is %q", got)
	}

	m.tag("begun", "urgent")
	m.undo(backend.UndoOptions{})
	if got := m.tagsOf("begun"); got != "" {
		t.Errorf("tags after the undo: %q", got)
	}
	m.undo(backend.UndoOptions{})
	if got := m.tagsOf("begun"); got != "urgent" {
		t.Errorf("tags after undo of undo: %q", got)
	}

	m.write("begun", "edited by a program")
	m.sync()
	m.undo(backend.UndoOptions{Path: "begun"})
	m.write("begun", "edited since")
	m.sync()
	_, err := m.engine.Restore(t.Context(), backend.RestoreOptions{Path: "begun"}, nil)
	must(t, err)
	if _, err := m.engine.Undo(t.Context(), backend.UndoOptions{Path: "d/none"}); !errors.Is(err, backend.ErrNotFound) || backend.Hint(err) == "" {
		t.Errorf("nothing to undo: %v", err)
	}
	m.wantSettled()
}

// TestUndoNotTheImport: what was there when the mirror was made is nothing to undo.
func TestUndoNotTheImport(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a", "b", "c", "d"} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(name), 0o644))
	}
	m := openMirror(t, dir, backend.CommitAtMost(1))
	m.sync()
	if _, err := m.engine.Undo(t.Context(), backend.UndoOptions{}); !errors.Is(err, backend.ErrRefused) {
		t.Errorf("undo of the import: %v", err)
	}
	m.write("a", "edited")
	m.sync()
	m.undo(backend.UndoOptions{})
	if got := m.read("a"); got != "a" {
		t.Errorf("a is %q", got)
	}
}

func TestCommitByHand(t *testing.T) {
	late := func(o *backend.Options) { o.Config.Resources[0].Settle = time.Minute } // or it may be committed before
	m := openMirror(t, t.TempDir(), late)
	commit := func(text string) backend.Committed {
		t.Helper()
		list, err := m.engine.Commit(t.Context(), backend.CommitOptions{Message: text})
		must(t, err)
		return list[0]
	}
	if _, err := m.engine.Commit(t.Context(), backend.CommitOptions{Message: "x"}); !errors.Is(err, backend.ErrNotFound) {
		t.Errorf("a commit of nothing: %v", err)
	}
	m.write("a", "one")
	first := commit("first (of many)\n\nwith a body")
	if got := m.git("log", "-1", "--format=%H %s"); !first.Changed || got != first.Commit+" first (of many)" || m.git("show", "main:a") != "one" {
		t.Errorf("%+v; the head is %s", first, got)
	}
	point := commit("a point")
	if point.Changed {
		t.Errorf("nothing to commit: %+v", point)
	}
	m.wantTree(first.Commit)
	m.write("a", "two")
	m.sync()
	var versions []backend.Version
	must(t, m.engine.Log(t.Context(), backend.LogOptions{}, func(v backend.Version) error {
		versions = append(versions, v)
		return nil
	}))
	if v := versions[2]; len(versions) != 3 || v.Subject != "first (of many)" || v.Program != "" || v.Body != "with a body" || versions[1].Subject != "a point" {
		t.Errorf("log: %+v", versions)
	}
	u := m.undo(backend.UndoOptions{Last: 2}) // the point is no change
	if got := m.onDisk(); len(got) > 1 {
		t.Errorf("undo of both, %+v, leaves %q", u.Batches, got)
	}
	m.undo(backend.UndoOptions{})
	_, err := m.engine.Restore(t.Context(), backend.RestoreOptions{Path: "a", At: point.Commit[:8]}, nil)
	must(t, err)
	if m.read("a") != "one" {
		t.Errorf("a is %q", m.read("a"))
	}
	m.git("fsck", "--strict")
}
