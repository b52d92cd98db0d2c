package fs

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// TestTooManyOpen opens more files than the daemon can hold: it says so, and goes on
// when some are closed.
func TestTooManyOpen(t *testing.T) {
	const most = 50
	s := setup{options: func(_ *world, o *Options) { o.maxHandles = most }}
	eachPathWith(t, s, func(w *world) {
		must(w.t, os.WriteFile(w.path("f"), nil, 0o644))
		w.settleClose()
		var fds []int
		for i := range most {
			fd, err := unix.Open(w.path(fmt.Sprint(i)), unix.O_CREAT|unix.O_RDWR|unix.O_CLOEXEC, 0o644)
			must(w.t, err)
			fds = append(fds, fd)
		}
		for _, flags := range []int{unix.O_RDONLY, unix.O_RDWR} {
			if _, err := unix.Open(w.path("f"), flags|unix.O_CLOEXEC, 0); err != unix.ENFILE {
				w.t.Errorf("open one more: %v", err)
			}
		}
		if _, err := unix.Open(w.path("new"), unix.O_CREAT|unix.O_RDWR|unix.O_CLOEXEC, 0o644); err != unix.ENFILE {
			w.t.Errorf("create one more: %v", err)
		}
		must(w.t, w.absent("new"))
		for _, fd := range fds {
			must(w.t, unix.Close(fd))
		}
		w.settleClose()
		must(w.t, w.get("f"))
	})
}
