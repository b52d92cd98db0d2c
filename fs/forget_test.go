package fs

import (
	"fmt"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// TestForget has the kernel look at more files than it may know: it is made to
// forget, and nobody notices.
func TestForget(t *testing.T) {
	const files, most = 2000, 200
	s := setup{
		prepare: func(dir string) {
			for i := range files {
				must(t, os.MkdirAll(fmt.Sprintf("%s/d%d", dir, i%10), 0o755))
				must(t, os.WriteFile(fmt.Sprintf("%s/d%d/%d", dir, i%10, i), []byte(fmt.Sprint(i)), 0o644))
			}
		},
		options: func(_ *world, o *Options) { o.maxKnown = most },
	}
	eachPathWith(t, s, func(w *world) {
		name := func(i int) string { return w.path(fmt.Sprintf("d%d/%d", i%10, i)) }
		var open []*os.File
		for i := 0; i < files; i += 100 {
			f, err := os.Open(name(i))
			must(w.t, err)
			open = append(open, f)
		}
		var inodes []uint64
		for i := range files {
			var st unix.Stat_t
			must(w.t, unix.Stat(name(i), &st))
			inodes = append(inodes, st.Ino)
		}
		for w.known() > most+most/forgetShare+len(open) {
			runtime.GC() // what is forgotten is counted until it is collected
		}
		for i, f := range open {
			if at, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd())); err != nil || at != name(100*i) {
				w.t.Errorf("%s, which is open, is at %s, %v", name(100*i), at, err)
			}
			must(w.t, f.Close())
		}
		for i := range files {
			var st unix.Stat_t
			must(w.t, unix.Stat(name(i), &st))
			if got, err := os.ReadFile(name(i)); err != nil || string(got) != fmt.Sprint(i) || st.Ino != inodes[i] {
				w.t.Fatalf("%s reads %q, %v, inode %d, not %d", name(i), got, err, st.Ino, inodes[i])
			}
		}
	})
}

// known counts the files that the kernel knows.
func (w *world) known() (n int) {
	for _, node := range w.m.table.all() {
		if !node.isDir() && !node.forgotten.Load() {
			n++
		}
	}
	return n
}
