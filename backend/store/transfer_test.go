package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/silvermirror/smfs/backend/object"
)

func packOf(t testing.TB, s *Store, want object.CommitID, haves ...object.CommitID) (*Outgoing, []byte) {
	t.Helper()
	o, err := s.Pack(context.Background(), want, haves)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	n, err := o.WriteTo(&b)
	if err != nil || n != int64(b.Len()) {
		t.Fatalf("wrote %d of %d bytes, %v", n, b.Len(), err)
	}
	return o, b.Bytes()
}

// send brings want to the store `to`, whose head it becomes.
func send(t testing.TB, from, to *Store, want object.CommitID) *Outgoing {
	t.Helper()
	o, err := from.Pack(context.Background(), want, []object.CommitID{to.Head()})
	if err != nil {
		t.Fatal(err)
	}
	large := o.Large()
	has := make([]bool, len(large))
	for i, id := range large {
		has[i] = to.Has(id)
	}
	o.Leave(large, has)
	var data bytes.Buffer
	if _, err := o.WriteTo(&data); err != nil {
		t.Fatal(err)
	}
	if err := accept(to, data.Bytes(), want); err != nil {
		t.Fatal(err)
	}
	return o
}

func accept(to *Store, data []byte, want object.CommitID) error {
	in, err := to.Receive(context.Background(), bytes.NewReader(data), Limits{})
	if err != nil {
		return err
	}
	defer in.Discard()
	if err := in.CheckConnected(want); err != nil {
		return err
	}
	return in.Accept(RefUpdate{HeadRef, to.Head(), want})
}

func TestTransfer(t *testing.T) {
	a, b := newTestStore(t), newTestStore(t)
	w := newWriter(t, a, 1)
	w.files = sampleFiles()
	send(t, a, b, w.commit())
	wantFiles(t, b, w.head, w.files)

	w.files["docs/deep/er/c"] = "changed"
	o := send(t, a, b, w.commit())
	if o.Objects > 12 { // a commit, a blob, four directories of a tree, a .smfs tree and a blob of metadata at most
		t.Errorf("%d objects were sent for one small change", o.Objects)
	}
	for name, text := range w.files { // a directory is renamed
		if rest, ok := strings.CutPrefix(name, "docs/"); ok {
			delete(w.files, name)
			w.files["papers/"+rest] = text
			w.ids["papers/"+rest] = w.id(name)
		}
	}
	for _, dir := range []string{"/deep", "/deep/er", "/empty", "/.smfs"} {
		w.ids["papers"+dir] = w.ids["docs"+dir]
	}
	if o := send(t, a, b, w.commit()); o.Objects != 4 { // commit, root, its .smfs, its metadata
		t.Errorf("%d objects were sent for a renamed directory, want 4", o.Objects)
	}
	b = reopen(t, b)
	wantFiles(t, b, w.head, w.files)
	wantSound(t, b)
	wantGitClean(t, b)
	if a.Head() != b.Head() {
		t.Error("heads differ")
	}
}

// TestTransferChunks: of a large file that was changed, what is sent is what was
// changed, wherever that is, and whatever else became of it.
func TestTransferChunks(t *testing.T) {
	const size = 30 << 20
	a, b := newTestStore(t), newTestStore(t)
	w := newWriter(t, a, 1)
	old := string(randomBytes(7, size))
	w.files = map[string]string{"dir/large": old, "small": "x"}
	first := send(t, a, b, w.commit())
	if first.Bytes < size || first.Bytes > size+size/50 {
		t.Errorf("%d bytes were sent for a file of %d", first.Bytes, size)
	}
	send1 := func(what string, objects int, files map[string]string) {
		t.Helper()
		w.files = files
		o := send(t, a, b, w.commit())
		if o.Objects > objects || o.Bytes > 10<<20 {
			t.Errorf("%s: %d objects of %d bytes were sent", what, o.Objects, o.Bytes)
		}
		wantFiles(t, b, w.head, files)
	}
	edited := old[:size/3] + "inserted" + old[size/3:]
	send1("an insertion", 16, map[string]string{"dir/large": edited, "small": "x"})
	send1("a copy", 12, map[string]string{"dir/large": edited, "copy": edited, "small": "x"})
	w.ids["dir/moved"] = w.id("dir/large")
	send1("an edit and a rename", 16, map[string]string{"dir/moved": edited[:size/2] + "more" + edited[size/2:], "copy": edited, "small": "x"})
	w.ids["moved"] = w.id("dir/moved")
	send1("a rename and an edit in another directory", 16, map[string]string{"moved": edited[100_000:], "copy": edited, "small": "x"})
	wantSound(t, b)
	wantGitClean(t, b)
}

// Two stores exchange random histories, merges included; whatever one sends is
// enough for the other.
func TestTransferRandom(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	a, b := newTestStore(t), newTestStore(t)
	wa, wb := newWriter(t, a, 1), newWriter(t, b, 2)
	for range 10 {
		for _, w := range []*writer{wa, wb} {
			mutate(r, w)
			w.commit()
		}
		from, to, w := a, b, wb
		if r.IntN(2) == 0 {
			from, to, w = b, a, wa
		}
		theirs, ours := from.Head(), to.Head()
		_, data := packOf(t, from, theirs, ours)
		in, err := to.Receive(context.Background(), bytes.NewReader(data), Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if err := in.CheckConnected(theirs); err != nil {
			t.Fatal(err)
		}
		if err := in.Accept(RefUpdate{"refs/smfs/remote", mustRef(t, to, "refs/smfs/remote"), theirs}); err != nil {
			t.Fatal(err)
		}
		w.commit(ours, theirs)
	}
	for _, s := range []*Store{a, b} {
		wantSound(t, s)
		wantGitClean(t, s)
	}
}

func mustRef(t testing.TB, s *Store, name string) object.CommitID {
	t.Helper()
	id, err := s.Ref(name)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// mutate changes, adds, moves or removes a few files.
func mutate(r *rand.Rand, w *writer) {
	for range 1 + r.IntN(4) {
		name := fmt.Sprintf("d%d/e%d/f%d", r.IntN(3), r.IntN(3), r.IntN(4))
		switch old, ok := w.files[name]; {
		case ok && r.IntN(3) == 0:
			delete(w.files, name)
		case ok && r.IntN(2) == 0:
			delete(w.files, name)
			w.files["moved/"+fmt.Sprint(r.IntN(9))] = old
		default:
			w.files[name] = fmt.Sprint("text ", r.IntN(50))
		}
	}
	w.files["always"] = "here"
}

func TestNewCommits(t *testing.T) {
	s := newTestStore(t)
	w := newWriter(t, s, 1)
	w.files["a"] = "1"
	c1 := w.commit()
	w.files["a"] = "2"
	c2 := w.commit()
	w.files["a"] = "3"
	c3 := w.commit(c1)
	c4 := w.commit(c2, c3)
	missing := object.CommitID{1}
	for _, c := range []struct {
		want  object.CommitID
		haves []object.CommitID
		out   []object.CommitID
	}{
		{c4, nil, []object.CommitID{c1, c3, c2, c4}}, {c4, []object.CommitID{c4}, nil}, {c4, []object.CommitID{c1, missing}, []object.CommitID{c3, c2, c4}},
		{c4, []object.CommitID{c2}, []object.CommitID{c3, c4}}, {c2, []object.CommitID{c3}, []object.CommitID{c2}}, {c1, []object.CommitID{c4}, nil}, {object.CommitID{}, nil, nil},
	} {
		got, err := s.NewCommits(c.want, c.haves)
		if err != nil || fmt.Sprint(got) != fmt.Sprint(c.out) {
			t.Errorf("new in %s over %v:\ngot  %v, %v\nwant %v", c.want, c.haves, got, err, c.out)
		}
	}
	if _, err := s.NewCommits(missing, nil); !errors.Is(err, ErrMissing) {
		t.Errorf("missing commit wanted: %v", err)
	}
}
