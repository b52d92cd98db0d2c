package fs

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"github.com/silvermirror/smfs/fstest"
	"golang.org/x/sys/unix"
)

// TestMountsStay mounts over names of the mount: neither what is forgotten nor what
// an apply changes takes that away; once it is gone, what is beneath shows.
func TestMountsStay(t *testing.T) {
	fstest.ForRoot(t)
	const files, most = 2000, 200
	s := setup{
		prepare: func(dir string) {
			must(t, os.MkdirAll(dir+"/in/dir", 0o755))
			for i := range files {
				must(t, os.WriteFile(fmt.Sprintf("%s/in/%d", dir, i), []byte("own"), 0o644))
			}
		},
		options: func(_ *world, o *Options) { o.maxKnown = most },
	}
	eachPathWith(t, s, func(w *world) {
		other := t.TempDir()
		must(w.t, os.WriteFile(filepath.Join(other, "f"), []byte("mounted"), 0o644))
		bind := func(from, name string) {
			must(w.t, unix.Mount(from, w.path(name), "", unix.MS_BIND, ""))
			w.t.Cleanup(func() { unix.Unmount(w.path(name), unix.MNT_DETACH) })
		}
		bind(filepath.Join(other, "f"), "in/0")
		bind(other, "in/dir")
		reads := func(name, want string) {
			w.t.Helper()
			if got, err := os.ReadFile(w.path(name)); err != nil || string(got) != want {
				w.t.Fatalf("%s reads %q, %v; want %q", name, got, err, want)
			}
		}
		for range 10 {
			for i := range files {
				must(w.t, w.stat(fmt.Sprint("in/", i)))
			}
			runtime.GC() // what is forgotten is counted until it is collected
			reads("in/0", "mounted")
		}
		w.m.Drain()
		beneath := func(name string) string { return fmt.Sprintf("/proc/self/fd/%d/in/%s", w.base, name) }
		must(w.t, os.WriteFile(beneath("new"), []byte("beneath"), 0o644))
		must(w.t, os.Rename(beneath("new"), beneath("0")))
		in := w.m.root.GetChild("in").Operations().(*DirNode)
		w.m.queue.entry(&in.node, "0", change{unix.S_IFREG, unix.S_IFREG, nil})
		w.m.queue.entry(&w.m.root.node, "in", change{unix.S_IFDIR, unix.S_IFDIR, nil})
		w.m.Drain()
		reads("in/0", "mounted")
		reads("in/dir/f", "mounted")
		must(w.t, unix.Unmount(w.path("in/0"), 0))
		must(w.t, unix.Unmount(w.path("in/dir"), 0))
		for range 60_000 { // the queue looks again soon
			if got, err := os.ReadFile(w.path("in/0")); err == nil && string(got) == "beneath" {
				return
			}
			_ = unix.Nanosleep(&unix.Timespec{Nsec: 1e6}, nil)
		}
		w.t.Error("what is beneath does not show")
	})
}

// TestHeldChangesComeFirst: what had to wait for a mount happened before what is
// queued by then.
func TestHeldChangesComeFirst(t *testing.T) {
	q := &queue{changes: make(map[note]change)}
	q.wake = sync.NewCond(&q.mu)
	n := note{nil, "name"}
	q.add(n, change{after: unix.S_IFREG})
	q.addEarlier(n, change{before: unix.S_IFDIR})
	if got, want := q.changes[n], (change{before: unix.S_IFDIR, after: unix.S_IFREG}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}
