package fs

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/silvermirror/smfs/fs/tree"
	"github.com/silvermirror/smfs/journal"
	"golang.org/x/sys/unix"
)

// TestManyAtOnce: programs that create, rename (files and directories), link,
// unlink, list and open in the same few directories. Every call answers as it
// may; afterwards the mount shows what is below.
func TestManyAtOnce(t *testing.T) {
	eachPath(t, func(w *world) { w.chaos(nil) })
}

// TestManyAndApply: the same while apply places and removes files there. The
// kernel looks a name up again upon ESTALE, but once only: a call that apply
// overtakes twice may answer it, which is rare even here.
func TestManyAndApply(t *testing.T) {
	eachPath(t, func(w *world) { w.chaos(w.applyAtOnce) })
}

func (w *world) chaos(apply func(r *rand.Rand)) {
	seed := rand.Uint64()
	w.t.Logf("seed %d", seed)
	for i := range 3 {
		must(w.t, os.Mkdir(w.path(fmt.Sprintf("d%d", i)), 0o755))
	}
	const programs, steps = 6, 100
	var overtaken atomic.Int64
	var wg sync.WaitGroup
	for i := range programs {
		wg.Go(func() {
			c := chaos{w: w, r: rand.New(rand.NewPCG(seed, uint64(i))), apply: apply != nil}
			for range steps {
				c.step()
			}
			overtaken.Add(c.overtaken)
		})
	}
	if apply != nil {
		wg.Go(func() { apply(rand.New(rand.NewPCG(seed, 100))) })
	}
	wg.Wait()
	if n := overtaken.Load(); n > programs*steps/50 {
		w.t.Errorf("%d calls answered ESTALE", n)
	}
	w.m.Drain()
	for _, dir := range []string{"", "d0", "d1", "d2"} {
		w.compareListings(dir)
	}
}

type chaos struct {
	w     *world
	r     *rand.Rand
	apply bool // apply is at work too

	overtaken int64 // calls that answered ESTALE
}

func (c *chaos) name() string {
	return c.w.path(fmt.Sprintf("d%d", c.r.IntN(3)), fmt.Sprintf("n%d", c.r.IntN(5)))
}

// step does one thing; it may meet whatever the others have done.
func (c *chaos) step() {
	var err error
	a, b := c.name(), c.name()
	switch c.r.IntN(9) {
	case 0:
		err = os.WriteFile(a, []byte("text"), 0o644)
	case 1:
		err = os.Remove(a)
	case 2:
		err = unix.Rename(a, b)
	case 3:
		err = unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
	case 4:
		err = os.Link(a, b)
	case 5:
		err = os.Mkdir(a, 0o755)
	case 6:
		_, err = os.ReadDir(c.w.path(fmt.Sprintf("d%d", c.r.IntN(3))))
	case 7:
		err = os.Chmod(a, os.FileMode(0o600+c.r.IntN(64)))
	case 8:
		_, err = os.ReadFile(a)
	}
	if c.apply && errors.Is(err, unix.ESTALE) {
		c.overtaken++
		return
	}
	if err != nil && !expected(err) {
		c.w.t.Errorf("%v", err)
	}
}

// expected: what such a race may answer.
func expected(err error) bool {
	for _, e := range []syscall.Errno{
		unix.ENOENT, unix.EEXIST, unix.EISDIR, unix.ENOTDIR, unix.ENOTEMPTY, unix.EPERM, unix.EINVAL, unix.ELOOP,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// applyAtOnce places and removes files as apply does, where the slots allow it.
func (w *world) applyAtOnce(r *rand.Rand) {
	for range 100 {
		path := fmt.Sprintf("d%d/n%d", r.IntN(3), r.IntN(5))
		expect := tree.Absent()
		if info, err := w.tree.Stat(path); err == nil {
			expect = tree.Exactly(info)
		}
		if r.IntN(3) == 0 {
			w.mayFail(w.tree.Remove(tree.At(path), expect))
			continue
		}
		tmp, err := w.tree.NewTemp(parentOf(path), 0o644, nil)
		if err != nil {
			w.t.Errorf("make a temporary: %v", err)
			return
		}
		if _, err := w.tree.Place(tmp, tree.At(path), expect); err != nil {
			w.mayFail(err)
			w.mayFail(tmp.Discard())
		}
	}
}

func (w *world) mayFail(err error) {
	for _, e := range []error{tree.ErrChanged, tree.ErrBusy, tree.ErrNotEmpty, os.ErrNotExist, unix.EISDIR} {
		if errors.Is(err, e) {
			return
		}
	}
	if err != nil {
		w.t.Errorf("apply: %v", err)
	}
}

// compareListings: same names, same inodes.
func (w *world) compareListings(dir string) {
	below, err := os.ReadDir(w.below(dir))
	must(w.t, err)
	var want []string
	for _, e := range below {
		if !tree.IsTemp(e.Name()) {
			want = append(want, e.Name())
		}
	}
	got := w.list(dir)
	if fmt.Sprint(got) != fmt.Sprint(want) {
		w.t.Errorf("%s lists %q, below %q", dir, got, want)
		return
	}
	for _, name := range want {
		a, b := stat(w.t, w.path(dir, name)), stat(w.t, w.below(dir, name))
		if a.Ino != b.Ino || a.Mode != b.Mode || a.Nlink != b.Nlink {
			w.t.Errorf("%s/%s: inode %d mode %o links %d, below %d %o %d", dir, name, a.Ino, a.Mode, a.Nlink, b.Ino, b.Mode, b.Nlink)
		}
	}
}

// TestRenameAgainstCreate: files that are made below a directory while it is
// renamed again and again are all marked where they are in the end.
func TestRenameAgainstCreate(t *testing.T) {
	eachPath(t, func(w *world) {
		must(w.t, os.Mkdir(w.path("a"), 0o755))
		fd, err := unix.Open(w.path("a"), unix.O_RDONLY|unix.O_DIRECTORY, 0)
		must(w.t, err)
		defer unix.Close(fd)
		var wg sync.WaitGroup
		wg.Go(func() {
			for i := range 40 {
				from, to := w.path("a"), w.path("b")
				if i%2 == 1 {
					from, to = to, from
				}
				if err := os.Rename(from, to); err != nil {
					w.t.Error(err)
				}
			}
		})
		for i := range 100 {
			f, err := unix.Openat(fd, fmt.Sprintf("f%d", i), unix.O_CREAT|unix.O_WRONLY, 0o644)
			if err == nil {
				err = unix.Close(f)
			}
			if err != nil {
				w.t.Error(err)
			}
		}
		wg.Wait()
		marked := make(map[string]bool)
		for _, m := range w.journal.Snapshot("mirror") {
			marked[m.Path] = true
		}
		for i := range 100 {
			if name := fmt.Sprintf("a/f%d", i); !marked[name] {
				w.t.Errorf("%s is not marked", name)
			}
		}
	})
}

// TestRenameWaitsForPaths: between the moment in which a path has been worked
// out and the end of what happens there, no directory on it is renamed.
func TestRenameWaitsForPaths(t *testing.T) {
	eachPath(t, func(w *world) {
		must(w.t, os.MkdirAll(w.path("a/sub"), 0o755))
		renamed := make(chan error, 1)
		w.journal.onRecord(func(r journal.Record) {
			if r.Kind != journal.KindMkdir {
				return
			}
			go func() { renamed <- os.Rename(w.path("a"), w.path("b")) }()
			// Until the rename waits for us. Where the two directories share a
			// slot lock it waits for that one, and is not seen to.
			for i := 0; i < 1<<20 && w.m.names.TryRLock(); i++ {
				w.m.names.RUnlock()
				if len(renamed) > 0 {
					w.t.Error("renamed a directory while something was being made in it")
					return
				}
				runtime.Gosched()
			}
		})
		err := os.Mkdir(w.path("a/sub/new"), 0o755)
		w.journal.onRecord(nil)
		must(w.t, err)
		must(w.t, <-renamed)
	})
}
