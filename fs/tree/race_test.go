package tree

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// TestConcurrentEditsSurvivePlace lets a user edit a file, in place and by
// rename, while remote versions are placed over it and removed. Whatever the
// user wrote is still in the slot, or was read before it was replaced.
func TestConcurrentEditsSurvivePlace(t *testing.T) {
	bothRenames(t, func(t *testing.T, tr *Tree, dir string) {
		e := &edits{t: t, tr: tr, path: dir + "/f", committed: make(map[string]bool), plain: tr.o.plainRename}
		rnd := newRand(t)
		user, applier := rand.New(rand.NewPCG(rnd.Uint64(), 1)), rand.New(rand.NewPCG(rnd.Uint64(), 2))
		stop := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
					e.apply(i, applier)
				}
			}
		})
		for i := range 400 {
			e.edit(i, user)
		}
		close(stop)
		wg.Wait()
		t.Logf("placed %d, removed %d, refused %d", e.placed, e.removed, e.refused)
		if e.placed == 0 || e.refused == 0 {
			t.Errorf("nothing was put to the test: placed %d, refused %d", e.placed, e.refused)
		}
	})
}

type edits struct {
	t     *testing.T
	tr    *Tree
	path  string
	plain bool

	mu        sync.Mutex
	committed map[string]bool // what the applier read before it replaced it

	placed, removed, refused int // the applier's
}

// version is content no other version has, nor its length.
func version(who string, i int) string {
	return fmt.Sprintf("%s %d %s", who, i, strings.Repeat("x", 2*i+len(who)%2))
}

// edit writes one version as a program would; like an open through the mount,
// it opens with the slot lock held and writes without.
func (e *edits) edit(i int, rnd *rand.Rand) {
	content := version("user", i)
	root := must[Info](e.t)(e.tr.Stat("")).Key
	switch how := rnd.IntN(3); {
	case how == 0 && !e.plain: // saved beside, renamed over at any moment
		write(e.t, e.path+".save", content)
		check(e.t, os.Rename(e.path+".save", e.path))
	case how == 0: // without an exchange, a rename needs the lock too
		write(e.t, e.path+".save", content)
		unlock := e.tr.Lock(root)
		err := os.Rename(e.path+".save", e.path)
		unlock()
		check(e.t, err)
	case how == 1:
		e.inPlace(root, func(f *os.File) {
			check(e.t, f.Truncate(0))
			_, err := f.WriteString(content)
			check(e.t, err)
		})
	default:
		e.inPlace(root, func(f *os.File) {
			check(e.t, f.Truncate(int64(len(content))))
			m := must[[]byte](e.t)(unix.Mmap(int(f.Fd()), 0, len(content), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED))
			check(e.t, f.Close()) // the mapping is the only writer from here on
			copy(m, content)
			check(e.t, unix.Munmap(m))
		})
	}
	// Between changes of the slot the edit is there, or it was read.
	defer e.tr.Lock(root)()
	now, err := os.ReadFile(e.path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		e.t.Fatal(err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if string(now) != content && !e.committed[content] {
		e.t.Fatalf("edit %d is lost: the slot holds %.40q", i, now)
	}
}

func (e *edits) inPlace(root key, write func(*os.File)) {
	unlock := e.tr.Lock(root)
	f, err := os.OpenFile(e.path, os.O_RDWR|os.O_CREATE, 0o644)
	unlock()
	check(e.t, err)
	defer f.Close()
	write(f)
}

// apply reads what is in the slot, as the committer would, then replaces or
// removes it.
func (e *edits) apply(i int, rnd *rand.Rand) {
	want, ok := e.commit()
	if !ok {
		return
	}
	var err error
	if remove := !want.absent && rnd.IntN(8) == 0; remove {
		if err = e.tr.Remove(At("f"), want); err == nil {
			e.removed++
		}
	} else {
		if err = e.place(version("remote", i), want); err == nil {
			e.placed++
		}
	}
	if err == nil {
		return
	}
	e.refused++
	if !errors.Is(err, ErrChanged) && !errors.Is(err, ErrBusy) {
		e.t.Errorf("apply: %v", err)
	}
}

func (e *edits) place(content string, want Expect) error {
	tmp, err := e.tr.NewTemp("", 0o644, nil)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(tmp, content); err != nil {
		return errors.Join(err, tmp.Discard())
	}
	_, err = e.tr.Place(tmp, At("f"), want)
	return errors.Join(err, tmp.Discard())
}

func (e *edits) commit() (Expect, bool) {
	f, err := e.tr.OpenFile("f")
	if errors.Is(err, os.ErrNotExist) {
		return Absent(), true
	}
	if err != nil {
		e.t.Errorf("open: %v", err)
		return Expect{}, false
	}
	defer f.Close()
	// A mapping that is there already may be written without a change of the
	// times: nobody must have one before the read, nor after it.
	before, err := f.Quiet()
	content, err2 := io.ReadAll(f)
	quiet, err3 := f.Quiet()
	after, err4 := f.Stat()
	if err := errors.Join(err, err2, err3, err4); err != nil {
		e.t.Error(err)
		return Expect{}, false
	}
	if !before || !quiet || !Exactly(f.Info).matches(after) {
		return Expect{}, false
	}
	e.mu.Lock()
	e.committed[string(content)] = true
	e.mu.Unlock()
	return Exactly(f.Info), true
}

// TestSymlinkSwapsDoNotEscape swaps a directory with a symlink that leads out
// of the tree while everything is tried below it.
func TestSymlinkSwapsDoNotEscape(t *testing.T) {
	bothWalks(t, func(t *testing.T, _ *Tree, dir string) {
		outside, root := dir+"/outside", dir+"/root"
		check(t, os.MkdirAll(outside+"/sub", 0o755))
		check(t, os.MkdirAll(root+"/a/sub", 0o755))
		write(t, outside+"/f", "secret")
		write(t, outside+"/sub/f", "secret")
		write(t, root+"/a/f", "mine")
		write(t, root+"/a/sub/f", "mine")
		check(t, os.Symlink("../outside", root+"/l"))
		tr := openTree(t, root, Options{}, strings.Contains(t.Name(), "stepwise"))

		stop := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				err := unix.Renameat2(unix.AT_FDCWD, root+"/a", unix.AT_FDCWD, root+"/l", unix.RENAME_EXCHANGE)
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
		for i := range 1500 {
			tryEscape(t, tr, i)
		}
		close(stop)
		wg.Wait()

		names := must[[]os.DirEntry](t)(os.ReadDir(outside))
		sub := must[[]os.DirEntry](t)(os.ReadDir(outside + "/sub"))
		if len(names) != 2 || len(sub) != 1 || read(t, outside+"/f") != "secret" || read(t, outside+"/sub/f") != "secret" {
			t.Errorf("outside now holds %v and %v", names, sub)
		}
		info := must[os.FileInfo](t)(os.Stat(outside + "/f"))
		if info.Mode().Perm() != 0o644 {
			t.Errorf("outside's file has mode %v", info.Mode())
		}
	})
}

func tryEscape(t *testing.T, tr *Tree, i int) {
	t.Helper()
	base := []string{"a", "a/sub"}[i%2]
	if f, err := tr.OpenFile(base + "/f"); err == nil {
		content, err := io.ReadAll(f)
		if err != nil || string(content) == "secret" {
			t.Errorf("read %q, %v", content, err)
		}
		f.Close()
	}
	mode := uint32(0o600)
	if info, err := tr.Stat(base + "/f"); err == nil {
		_, _ = tr.SetAttr(At(base+"/f"), Exactly(info), Attr{Mode: &mode})
	}
	if tmp, err := tr.NewTemp(base, 0o600, nil); err == nil {
		if info, err := tr.Place(tmp, At(base+"/new"), Absent()); err == nil {
			_ = tr.Remove(At(base+"/new"), Exactly(info))
		}
		_ = tmp.Discard()
	}
	if info, err := tr.Mkdir(At(base+"/dir"), 0o700); err == nil {
		_ = tr.Rmdir(At(base+"/dir"), Exactly(info))
	}
	if list, err := tr.ReadDir(base); err == nil && len(list) == 0 {
		t.Errorf("%s is empty", base)
	}
	_, _, _ = tr.Xattrs(base + "/f")
	if tmp, err := tr.NewTempSymlink(base, "x", 0, nil); err == nil {
		_, _ = tr.Place(tmp, At(base+"/s"), Absent())
		_ = tmp.Discard()
	}
}
