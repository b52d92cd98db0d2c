package fs

import (
	"context"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// TestActor: a thread is known by its process, and looked at again when its
// entry has grown old.
func TestActor(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	now := time.Unix(1000, 0)
	a := actors{now: func() time.Time { return now }}
	caller := &fuse.Caller{Owner: fuse.Owner{Uid: 7}, Pid: uint32(unix.Gettid())}
	ctx := fuse.NewContext(context.Background(), caller)
	got := a.of(ctx)
	if got.UID != 7 || got.PID != uint32(os.Getpid()) || got.Command == "" {
		t.Errorf("actor %+v", got)
	}
	tid := caller.Pid
	a.seen[tid] = actorEntry{pid: 1, command: "cached", until: now.Add(time.Second)}
	if got := a.of(ctx); got.Command != "cached" {
		t.Errorf("asked again: %+v", got)
	}
	now = now.Add(time.Second)
	if got := a.of(ctx); got.Command == "cached" {
		t.Errorf("kept too long: %+v", got)
	}
	if got := a.of(context.Background()); got.PID != 0 || got.Command != "" {
		t.Errorf("without a caller: %+v", got)
	}
	for i := range uint32(2 * actorsKept) {
		a.entry(1<<30 + i)
	}
	if len(a.seen) > actorsKept {
		t.Errorf("%d entries are kept", len(a.seen))
	}
}
