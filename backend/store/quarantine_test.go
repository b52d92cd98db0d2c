package store

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/silvermirror/smfs/backend/object"
)

// A pack in quarantine can be read, with what the store has, while the store
// sees nothing of it; Discard leaves no trace.
func TestQuarantine(t *testing.T) {
	a, b := newTestStore(t), newTestStore(t)
	w := newWriter(t, a, 1)
	w.files = sampleFiles()
	first := w.commit()
	send(t, a, b, first)
	w.files["a.txt"] = "new"
	second := w.commit()
	_, data := packOf(t, a, second, first)
	in, err := b.Receive(context.Background(), bytes.NewReader(data), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := in.Commit(second)
	if err != nil {
		t.Fatal(err)
	}
	d, err := in.Directory(c.Tree)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a.txt", "link"} { // one new, one in the store
		e, _ := d.Lookup(name)
		if _, err := in.ReadBlob(e.Blob, 100); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !in.Has(second) || b.Has(second) {
		t.Error("the quarantine leaks, or does not hold")
	}
	if _, err := b.Commit(second); !errors.Is(err, ErrMissing) {
		t.Errorf("store reads a commit in quarantine: %v", err)
	}
	in.Discard()
	if err := in.Accept(); err == nil {
		t.Error("accepted after Discard")
	}
	wantNoTemps(t, b)
	if b.Head() != first {
		t.Error("head moved")
	}
}

// Commits of plain git come in with all they refer to, as foreign ones.
func TestReceiveForeign(t *testing.T) {
	from, to := newTestStore(t), newTestStore(t)
	w := newWriter(t, from, 1)
	w.files["a"] = "1"
	first := w.commit()
	send(t, from, to, first)
	work := filepath.Join(t.TempDir(), "work")
	git(t, from, "clone", "--quiet", from.dir, work)
	for name, text := range map[string]string{"a": "2", "sub/b": "3"} {
		if err := os.MkdirAll(filepath.Join(work, filepath.Dir(name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(work, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"add", "."}, {"-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "-m", "by hand"}, {"push", "--quiet", "origin", "HEAD:refs/heads/foreign"}} {
		if out, err := exec.Command("git", append([]string{"-C", work}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	foreign := mustRef(t, from, "refs/heads/foreign")
	_, data := packOf(t, from, foreign, first)
	in, err := to.Receive(context.Background(), bytes.NewReader(data), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	defer in.Discard()
	if err := in.CheckConnected(foreign); err != nil {
		t.Fatal(err)
	}
	if err := in.Accept(RefUpdate{"refs/remotes/host/main", object.CommitID{}, foreign}); err != nil {
		t.Fatal(err)
	}
	if c, err := to.Commit(foreign); err != nil || !c.Foreign() {
		t.Errorf("foreign commit is %+v, %v", c, err)
	}
	wantSound(t, to)
	wantGitClean(t, to)
}

// A commit may not pass for one of smfs on the tree of a foreign parent.
func TestForeignTreeIsNoBase(t *testing.T) {
	s := newTestStore(t)
	p := packBuilder{}
	tree := p.add(object.TypeTree, object.AppendTree(nil, []object.TreeEntry{{Mode: object.GitFile, Name: "a", ID: p.add(object.TypeBlob, []byte("x"))}}))
	plain := p.add(object.TypeCommit, []byte("tree "+object.TreeID(tree).String()+"\nauthor A <a@b> 1 +0000\ncommitter A <a@b> 1 +0000\n\nby hand\n"))
	head := p.commit(tree, func(c *object.Commit) { c.Parents = []object.CommitID{plain} })
	if err := accept(s, p.bytes(), head); !errors.Is(err, object.ErrForeign) {
		t.Errorf("got %v, want ErrForeign", err)
	}
	wantNothing(t, s)
}
