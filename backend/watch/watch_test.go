package watch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"

	"github.com/silvermirror/smfs/fs/tree"
)

// watched is a directory whose changes are told to the test.
type watched struct {
	t     *testing.T
	dir   string
	w     *Watcher
	calls chan func()
	ended chan error
	told  *Changes
}

func open(t *testing.T, dir string) *watched {
	t.Helper()
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	must(t, err)
	defer unix.Close(fd)
	backing, err := tree.Open(fd, tree.Options{Resource: "test"})
	must(t, err)
	t.Cleanup(func() { backing.Close() })
	w, err := Open(context.Background(), Options{
		Tree: backing, Settle: 20 * time.Millisecond, Longest: time.Second,
		Skip: func(path string, _ bool) bool {
			return within(path, "ignored") || strings.Contains(path, tree.TempPrefix)
		},
	})
	must(t, err)
	return &watched{t: t, dir: dir, w: w, calls: make(chan func()), ended: make(chan error, 1)}
}

func within(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }

func (d *watched) run() {
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		d.ended <- d.w.Run(ctx, d.calls, func(c *Changes) { d.told = c })
	}()
	d.t.Cleanup(func() { stop(); <-done })
}

// next is what is told next.
func (d *watched) next() string {
	d.t.Helper()
	select {
	case f := <-d.calls:
		f()
	case err := <-d.ended:
		d.t.Fatalf("ended: %v", err)
	case <-time.After(time.Minute):
		d.t.Fatal("nothing was told")
	}
	var out []string
	for name, taken := range d.told.Names {
		if taken {
			name = "-" + name
		}
		out = append(out, name)
	}
	for path := range d.told.Trees {
		out = append(out, path+"/")
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func (d *watched) path(rel string) string { return filepath.Join(d.dir, rel) }

func (d *watched) write(rel string) {
	d.t.Helper()
	must(d.t, os.WriteFile(d.path(rel), []byte(rel), 0o644))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestTold changes a directory and reads what is told.
func TestTold(t *testing.T) {
	d := open(t, t.TempDir())
	d.run()
	for _, step := range []struct {
		do   func()
		want string
	}{
		{func() { d.write("f") }, "f"},
		{func() { must(t, os.MkdirAll(d.path("a/b/c"), 0o755)) }, "a a/"},
		{func() { d.write("a/b/c/f") }, "a/b/c/f"},
		{func() { must(t, os.Rename(d.path("a"), d.path("z"))) }, "-a z z/"},
		{func() { d.write("z/b/c/f") }, "z/b/c/f"},
		{func() { must(t, os.Mkdir(d.path("a"), 0o755)) }, "a a/"},
		{func() { d.write("a/f") }, "a/f"},
		{func() { must(t, os.Mkdir(d.path("n"), 0o755)); must(t, os.Rename(d.path("z"), d.path("n/z"))) }, "-z n n/"},
		{func() { d.write("n/z/b/c/f") }, "n/z/b/c/f"},
		{func() {
			must(t, unix.Renameat2(unix.AT_FDCWD, d.path("n"), unix.AT_FDCWD, d.path("a"), unix.RENAME_EXCHANGE))
		}, "-a -n a/ n/"},
		{func() { d.write("a/z/b/c/f"); d.write("n/f") }, "a/z/b/c/f n/f"},
		{func() { must(t, os.Remove(d.path("f"))) }, "-f"},
		{func() { must(t, os.Chmod(d.path("n"), 0o700)) }, "n"},
		{func() { must(t, os.Mkdir(d.path("ignored"), 0o755)); d.write("ignored/f"); d.write("end") }, "end"},
		{func() { must(t, os.Symlink("n", d.path("link"))) }, "link"},
		{func() { d.write("link/f") }, "n/f"},
	} {
		step.do()
		want := strings.Fields(step.want)
		for got := d.next(); ; got += " " + d.next() { // a slow machine may be told it in parts
			all := strings.Fields(got)
			if missing := slices.DeleteFunc(slices.Clone(want), func(w string) bool { return slices.Contains(all, w) }); len(missing) > 0 {
				continue
			}
			for _, a := range all {
				if name := strings.TrimSuffix(strings.TrimPrefix(a, "-"), "/"); !slices.ContainsFunc(want, func(w string) bool {
					return within(name, strings.TrimSuffix(strings.TrimPrefix(w, "-"), "/"))
				}) {
					t.Errorf("told %q, want %q", all, want)
				}
			}
			break
		}
	}
	must(t, os.Rename(d.dir, d.dir+".away"))
	if err := <-d.ended; !errors.Is(err, ErrLost) {
		t.Errorf("with the root moved: %v", err)
	}
	must(t, os.Rename(d.dir+".away", d.dir))
}

// TestUntoldUntilQuiet: what belongs together is told together, also where the
// worker has no time.
func TestUntoldUntilQuiet(t *testing.T) {
	d := open(t, t.TempDir())
	d.run()
	d.write("a")
	time.Sleep(100 * time.Millisecond) // it is due, and nobody takes it
	must(t, os.Rename(d.path("a"), d.path("b")))
	d.write("c")
	time.Sleep(100 * time.Millisecond)
	if got, want := d.next(), "-a b c"; got != want {
		t.Errorf("told %q, want %q", got, want)
	}
}

// TestOverflow: more than the kernel keeps for who does not listen is an error.
func TestOverflow(t *testing.T) {
	limit, err := os.ReadFile("/proc/sys/fs/inotify/max_queued_events")
	must(t, err)
	var n int
	fmt.Sscan(string(limit), &n)
	d := open(t, t.TempDir())
	for i := range n/2 + n/4 { // two events each
		d.write(fmt.Sprint(i))
		must(t, os.Remove(d.path(fmt.Sprint(i))))
	}
	d.run()
	if err := <-d.ended; !errors.Is(err, fsnotify.ErrEventOverflow) {
		t.Errorf("ended with %v", err)
	}
}
