package journal

import (
	"math/rand/v2"
	"testing"
)

// TestInodeMark follows the mark that a file with several names has of its own.
func TestInodeMark(t *testing.T) {
	f := newSimFiles(rand.New(rand.NewPCG(1, 1)))
	j := mustOpen(t, f)
	key := FileKey{Ino: 7, Gen: 9}
	begin(t, j, Record{Kind: KindOpen, Path: "d/a", Key: key, Linked: true}).End(nil)
	name := inodeName(key)
	wantMarks(t, j, name+" d/a")
	begin(t, j, Record{Kind: KindUnlink, Path: "d/a", Key: key}).End(nil)
	begin(t, j, Record{Kind: KindRename, Path: "d", To: "e"}).EndMoved()

	check := func(j *Journal) {
		t.Helper()
		var found []Mark
		for _, m := range j.Snapshot("r") {
			if m.Inode != (FileKey{}) {
				found = append(found, m)
			}
		}
		if len(found) != 1 || found[0].Inode != key || found[0].Kinds != KindSetOf(KindOpen) {
			t.Fatalf("marks of files: %+v, want one of %v by an open", found, key)
		}
	}
	check(j)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j = mustOpen(t, f)
	check(j)

	op := begin(t, j, Record{Kind: KindWrite, Path: "e/b", Key: key, Linked: true})
	j.Clear("r", j.Snapshot("r"))
	wantMarks(t, j, name+"* e/b*")
	op.End(nil)
	j.Clear("r", j.Snapshot("r"))
	wantMarks(t, j, "")
}

// TestNoInodeMark has a file with one name, and one that nothing is known of.
func TestNoInodeMark(t *testing.T) {
	j := mustOpen(t, newSimFiles(rand.New(rand.NewPCG(1, 1))))
	begin(t, j, Record{Kind: KindOpen, Path: "a", Key: FileKey{Ino: 7, Gen: 9}}).End(nil)
	begin(t, j, Record{Kind: KindOpen, Path: "b", Linked: true}).End(nil)
	wantMarks(t, j, "a b")
}
