package journal

import (
	"errors"
	"math/rand/v2"
	"syscall"
	"testing"
)

// TestReserve fills the disk: what frees room can be announced as long as there is
// some kept, nothing else can.
func TestReserve(t *testing.T) {
	d := newSimFiles(rand.New(rand.NewPCG(1, 1)))
	j := mustOpen(t, d)
	j.Reserve()
	d.full = true
	refused := func() {
		t.Helper()
		for _, kind := range []Kind{KindCreate, KindOpen, KindAttr, KindRename, KindWrite} {
			if _, err := j.Begin(Record{Kind: kind, Resource: "r", Path: "f", To: "g"}); !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("%v on a full disk: %v", kind, err)
			}
		}
	}
	refused()
	begin(t, j, Record{Kind: KindUnlink, Path: "gone"}).End(nil) // which takes the room that was kept
	refused()
	begin(t, j, Record{Kind: KindOpen, Frees: true, Path: "emptied"}).End(nil)
	begin(t, j, Record{Kind: KindClose, Path: "emptied"}).End(nil)
	removals, err := 0, error(nil)
	for ; err == nil; removals++ {
		var op *Op
		if op, err = j.Begin(Record{Kind: KindUnlink, Resource: "r", Path: "more"}); err == nil {
			op.End(nil)
		}
	}
	if !errors.Is(err, syscall.ENOSPC) || removals < 500 {
		t.Errorf("%d removals, then %v", removals, err)
	}

	d.full = false
	j.Reserve()
	d.full = true
	begin(t, j, Record{Kind: KindRmdir, Path: "dir"}).End(nil)
	refused()
	d.full = false
	begin(t, j, Record{Kind: KindCreate, Path: "new"}).End(nil) // and there is a reserve again
	d.full = true
	for range 3000 {
		if op, err := j.Begin(Record{Kind: KindUnlink, Resource: "r", Path: "last"}); err == nil {
			op.End(nil)
		}
	}
	wantMarks(t, mustOpen(t, d.restart(false)), "dir emptied gone last more new")
}
