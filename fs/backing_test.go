package fs

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestRootAccessTimes: what the options of the mount say of times of access holds
// for the files beneath. Only root can make a mount for that.
func TestRootAccessTimes(t *testing.T) {
	if os.Geteuid() != 0 {
		return
	}
	now := time.Now().Truncate(time.Second)
	hour := func(ago int) time.Time { return now.Add(-time.Duration(ago) * time.Hour) }
	for _, c := range []struct {
		options []string
		of      string
		read    time.Time // what the time of access is before
		moves   bool
	}{
		{nil, "f", hour(3), true},
		{nil, "f", hour(-1), false},
		{[]string{"noatime"}, "f", hour(3), false},
		{[]string{"noatime"}, "d", hour(3), false},
		{[]string{"ro"}, "f", hour(3), false},
		{[]string{"ro", "strictatime"}, "f", hour(-1), false},
		{[]string{"strictatime"}, "f", hour(-1), true},
		{[]string{"strictatime"}, "d", hour(-1), true},
		{[]string{"strictatime", "nodiratime"}, "d", hour(-1), false},
		{[]string{"relatime"}, "f", hour(3), true},
	} {
		prepare := func(dir string) {
			f, d := filepath.Join(dir, "f"), filepath.Join(dir, "d")
			must(t, os.WriteFile(f, []byte("text"), 0o644))
			must(t, os.Mkdir(d, 0o755))
			must(t, os.Chtimes(f, c.read, hour(2)))
			must(t, os.Chtimes(d, c.read, hour(2)))
		}
		options := func(_ *world, o *Options) { o.Flags = c.options }
		eachPathWith(t, setup{options: options, prepare: prepare}, func(w *world) {
			if c.of == "f" {
				w.read("f")
			} else if _, err := os.ReadDir(w.path("d")); err != nil {
				w.t.Error(err)
			}
			for _, path := range []string{w.path(c.of), w.below(c.of)} {
				st := stat(w.t, path)
				if moved := !time.Unix(st.Atim.Unix()).Equal(c.read); moved != c.moves {
					w.t.Errorf("with %q the time of access of %s, %s, moved: %v", c.options, path, c.read, moved)
				}
			}
		})
	}
}

// TestRootBackingMount: a mount of our own beneath shows all that is mounted there,
// and files move in it.
func TestRootBackingMount(t *testing.T) {
	if os.Geteuid() != 0 {
		return
	}
	w := newWorld(t, setup{
		options: func(_ *world, o *Options) { o.Flags = []string{"noatime"} },
		prepare: func(dir string) {
			at := filepath.Join(dir, "usb")
			must(t, os.Mkdir(at, 0o755))
			must(t, unix.Mount("tmpfs", at, "tmpfs", 0, "size=1m"))
			t.Cleanup(func() { must(t, unix.Unmount(at, unix.MNT_DETACH)) })
			must(t, os.WriteFile(filepath.Join(at, "f"), []byte("on the stick"), 0o644))
		},
	})
	if got := w.read("usb/f"); got != "on the stick" {
		t.Errorf("reads %q", got)
	}
	wantErrno(t, "rename out of it", os.Rename(w.path("usb/f"), w.path("f")), unix.EXDEV)
	w.write("a", "text")
	must(t, os.Mkdir(w.path("dir"), 0o755))
	must(t, os.Link(w.path("a"), w.path("dir/b")))
	must(t, os.Rename(w.path("a"), w.path("dir/c")))
	if got := w.read("dir/c"); got != "text" {
		t.Errorf("reads %q", got)
	}
}
