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
	if _, err := j.Begin(Record{Kind: KindCreate, Resource: "r", Path: "f"}); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a create on a full disk: %v", err)
	}
	begin(t, j, Record{Kind: KindUnlink, Path: "gone"}).End(nil) // which takes the room that was kept
	begin(t, j, Record{Kind: KindCreate, Path: "in the rest of it"}).End(nil)
	d.full = true
	if _, err := j.Begin(Record{Kind: KindUnlink, Resource: "r", Path: "more"}); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("without a reserve: %v", err)
	}
	d.full = false
	j.Reserve()
	d.full = true
	begin(t, j, Record{Kind: KindRmdir, Path: "dir"}).End(nil)
	wantMarks(t, mustOpen(t, d.restart(false)), "dir gone in the rest of it")
}
