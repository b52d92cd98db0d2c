package journal

import (
	"strings"
	"testing"
)

// TestRename follows marks through renames: what is marked, what is busy.
func TestRename(t *testing.T) {
	j := mustOpen(t, newSimFiles(nil))
	begin(t, j, Record{Kind: KindWrite, Path: "a/f"}).End(nil)
	move := begin(t, j, Record{Kind: KindRename, Path: "a", To: "b"})
	wantMarks(t, j, "a* a/f* b* b/f*")
	create := begin(t, j, Record{Kind: KindCreate, Path: "a/g"})
	wantMarks(t, j, "a* a/f* a/g* b* b/f* b/g*")
	early := j.Snapshot("r")
	move.End(nil)
	wantMarks(t, j, "a a/f a/g* b b/f b/g*")
	j.Clear("r", early)
	wantMarks(t, j, "a a/f a/g* b b/f b/g*")
	j.Clear("r", j.Snapshot("r"))
	wantMarks(t, j, "a/g* b/g*")
	again := begin(t, j, Record{Kind: KindRename, Path: "b", To: "c"})
	create.End(nil)
	wantMarks(t, j, "a/g b* b/g* c* c/g*")
	again.End(nil)
	replayed := mustOpen(t, j.files.(*simFiles).restart(false))
	wantMarks(t, replayed, "a/g b b/g c c/g")
}

// TestRenameOfFlight renames a directory in which an operation is in flight:
// it may act at either place, before or after the rename is over.
func TestRenameOfFlight(t *testing.T) {
	j := mustOpen(t, newSimFiles(nil))
	create := begin(t, j, Record{Kind: KindCreate, Path: "a/g"})
	begin(t, j, Record{Kind: KindRename, Path: "a", To: "b"}).End(nil)
	wantMarks(t, j, "a a/g* b b/g*")
	before := j.Snapshot("r")
	create.End(nil)
	j.Clear("r", before)
	wantMarks(t, j, "a/g b/g")
}

// TestCarry gives marks to another name, which wakes nobody and outlives a restart.
func TestCarry(t *testing.T) {
	j := mustOpen(t, newSimFiles(nil))
	flying := begin(t, j, Record{Kind: KindWrite, Path: "a/f"})
	if err := j.Carry("r", "a", "b"); err != nil {
		t.Fatal(err)
	}
	wantMarks(t, j, "a a/f* b b/f*")
	select {
	case <-j.Wait("r"):
		t.Error("a wake-up without a change")
	default:
	}
	flying.End(nil)
	wantMarks(t, j, "a a/f b b/f")
	wantMarks(t, mustOpen(t, j.files.(*simFiles).restart(false)), "a a/f b b/f")
}

// TestEndMoved moves a directory back and forth: what is left behind is not
// marked twice, unless something is in flight there.
func TestEndMoved(t *testing.T) {
	j := mustOpen(t, newSimFiles(nil))
	begin(t, j, Record{Kind: KindWrite, Path: "a/f"}).End(nil)
	for range 40 {
		begin(t, j, Record{Kind: KindRename, Path: "a", To: "b/x"}).EndMoved()
		begin(t, j, Record{Kind: KindRename, Path: "b", To: "a/y"}).EndMoved()
		begin(t, j, Record{Kind: KindRename, Path: "a/y/x", To: "b"}).EndMoved()
		begin(t, j, Record{Kind: KindRename, Path: "b", To: "a"}).EndMoved()
	}
	const want = "a a/f a/y a/y/x b"
	wantMarks(t, j, want)
	wantMarks(t, mustOpen(t, j.files.(*simFiles).restart(false)), want)
	flying := begin(t, j, Record{Kind: KindCreate, Path: "a/g"})
	begin(t, j, Record{Kind: KindRename, Path: "a", To: "c"}).EndMoved()
	if got := list(j); !strings.Contains(got, "a/g* ") || !strings.Contains(got, "c/g* ") {
		t.Fatalf("marks are %q", got)
	}
	flying.End(nil)
}
