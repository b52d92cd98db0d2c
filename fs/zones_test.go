package fs

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/silvermirror/smfs/fs/tree"
	"github.com/silvermirror/smfs/journal"
	"golang.org/x/sys/unix"
)

// parts is a mirror with two resources, one inside the other, and a directory
// that belongs to none.
func parts() setup {
	return setup{
		prepare: func(dir string) {
			os.MkdirAll(filepath.Join(dir, "docs/private"), 0o755)
			os.Mkdir(filepath.Join(dir, "plain"), 0o755)
		},
		options: func(w *world, o *Options) {
			o.Resources = nil
			for _, r := range []struct{ name, path string }{{"docs", "docs"}, {"docs:private", "docs/private"}} {
				fd, err := unix.Open(filepath.Join(w.dir, r.path), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
				must(w.t, err)
				o.Resources = append(o.Resources, ResourceRoot{Name: r.name, Path: r.path, Tree: openTree(w.t, fd, r.name)})
				must(w.t, unix.Close(fd))
			}
		},
	}
}

type entry struct {
	kind               journal.Kind
	resource, path, to string
}

func entries(records []journal.Record) []entry {
	var all []entry
	for _, r := range records {
		if r.Kind != journal.KindClose {
			all = append(all, entry{r.Kind, r.Resource, r.Path, r.To})
		}
	}
	return all
}

// TestResources: each path belongs to the deepest resource that holds it; a
// rename between two is journaled in both.
func TestResources(t *testing.T) {
	steps := []struct {
		name string
		do   func(d string) error
		want []entry
	}{
		{"create in docs", creating("docs/f", unix.O_WRONLY), []entry{{journal.KindCreate, "docs", "f", ""}}},
		{"create in private", creating("docs/private/g", unix.O_WRONLY), []entry{{journal.KindCreate, "docs:private", "g", ""}}},
		{"create in neither", creating("plain/h", unix.O_WRONLY), nil},
		{"create at the root", creating("top", unix.O_WRONLY), nil},
		{"chmod of a resource's root", func(d string) error { return os.Chmod(d+"/docs/private", 0o700) },
			[]entry{{journal.KindAttr, "docs:private", "", ""}}},
		{"rename within", renaming2("docs/f", "docs/f2", 0), []entry{{journal.KindRename, "docs", "f", "f2"}}},
		{"rename between", renaming2("docs/f2", "docs/private/f3", 0),
			[]entry{{journal.KindUnlink, "docs", "f2", ""}, {journal.KindCreate, "docs:private", "f3", ""}}},
		{"rename back over", func(d string) error {
			if err := creating("docs/f4", unix.O_WRONLY)(d); err != nil {
				return err
			}
			return renaming2("docs/private/f3", "docs/f4", 0)(d)
		}, []entry{{journal.KindCreate, "docs", "f4", ""},
			{journal.KindUnlink, "docs:private", "f3", ""}, {journal.KindCreate, "docs", "f4", ""}}},
		{"exchange between", renaming2("docs/f4", "docs/private/g", unix.RENAME_EXCHANGE),
			[]entry{{journal.KindCreate, "docs", "f4", ""}, {journal.KindCreate, "docs:private", "g", ""}}},
		{"rename out", renaming2("docs/f4", "plain/f4", 0), []entry{{journal.KindUnlink, "docs", "f4", ""}}},
		{"rename in", renaming2("plain/f4", "docs/f5", 0), []entry{{journal.KindCreate, "docs", "f5", ""}}},
		{"rename a directory between", func(d string) error {
			if err := os.Mkdir(d+"/docs/dir", 0o755); err != nil {
				return err
			}
			if err := creating("docs/dir/x", unix.O_WRONLY)(d); err != nil {
				return err
			}
			if err := renaming2("docs/dir", "docs/private/dir", 0)(d); err != nil {
				return err
			}
			return os.Chmod(d+"/docs/private/dir/x", 0o600)
		}, []entry{{journal.KindMkdir, "docs", "dir", ""}, {journal.KindCreate, "docs", "dir/x", ""},
			{journal.KindRmdir, "docs", "dir", ""}, {journal.KindMkdir, "docs:private", "dir", ""},
			{journal.KindAttr, "docs:private", "dir/x", ""}}},
	}
	eachPathWith(t, parts(), func(w *world) {
		for _, s := range steps {
			if err := s.do(w.dir); err != nil {
				w.t.Fatalf("%s: %v", s.name, err)
			}
			if got := entries(w.journal.take()); !slices.Equal(got, s.want) {
				w.t.Errorf("%s: records %v, want %v", s.name, got, s.want)
			}
		}
		w.write("docs/one", "")
		must(w.t, os.Link(w.path("docs/one"), w.path("docs/two")))
		wantErrno(w.t, "link between", os.Link(w.path("docs/one"), w.path("docs/private/x")), unix.EXDEV)
		wantErrno(w.t, "rename one of two links between", os.Rename(w.path("docs/one"), w.path("docs/private/x")), unix.EXDEV)
		wantErrno(w.t, "remove a resource's root", unix.Rmdir(w.path("docs/private")), unix.EBUSY)
		wantErrno(w.t, "rename a resource's root", os.Rename(w.path("docs/private"), w.path("docs/p")), unix.EBUSY)
		wantErrno(w.t, "rename what holds one", os.Rename(w.path("docs"), w.path("d")), unix.EBUSY)
	})
}

// TestExternalResource: a directory elsewhere appears at its path, is journaled
// there, and shows what is changed beside the mount.
func TestExternalResource(t *testing.T) {
	photos := t.TempDir()
	must(t, os.WriteFile(filepath.Join(photos, "old"), []byte("old"), 0o644))
	s := setup{options: func(w *world, o *Options) {
		fd := openBase(w.t, photos)
		o.Resources = append(o.Resources, ResourceRoot{Name: "photos", Path: "photos", Tree: openTree(w.t, fd, "photos"), External: true})
	}}
	eachPathWith(t, s, func(w *world) {
		if got := w.list(""); !slices.Contains(got, "photos") {
			w.t.Errorf("the root lists %q", got)
		}
		if got := w.read("photos/old"); got != "old" {
			w.t.Errorf("reads %q", got)
		}
		w.write("photos/new", "new")
		w.journal.await(journal.KindClose, "new")
		if got := entries(w.journal.take()); !slices.Equal(got, []entry{{journal.KindCreate, "photos", "new", ""}}) {
			w.t.Errorf("records %v", got)
		}
		if _, err := os.Stat(filepath.Join(photos, "new")); err != nil {
			w.t.Error(err)
		}
		wantErrno(w.t, "remove it", unix.Rmdir(w.path("photos")), unix.EBUSY)
		must(w.t, os.WriteFile(filepath.Join(photos, "beside"), []byte("beside"), 0o644))
		w.m.Notifier().Changed(w.keyOf("photos"), "beside", tree.Info{}, tree.Info{})
		w.m.Drain()
		if got := w.read("photos/beside"); got != "beside" {
			w.t.Errorf("reads %q", got)
		}
		must(w.t, os.Remove(w.path("photos/beside")))
		must(w.t, os.Remove(w.path("photos/new")))
	})
}

// keyOf is the key of what is at path, from what the mount shows.
func (w *world) keyOf(path string) journal.FileKey {
	var st unix.Statx_t
	must(w.t, unix.Statx(unix.AT_FDCWD, w.path(path), 0, unix.STATX_ALL, &st))
	return keyOf(&st)
}

// TestRootForeignMount: a filesystem that was mounted inside the mirror stays
// reachable, with inode numbers of its own, and is not journaled.
func TestRootForeignMount(t *testing.T) {
	if os.Geteuid() != 0 {
		return // only root mounts a tmpfs
	}
	for _, passthrough := range []string{"auto", "off"} {
		t.Run(passthrough, func(t *testing.T) {
			w := newWorld(t, setup{passthrough: passthrough, prepare: func(dir string) {
				at := filepath.Join(dir, "usb")
				must(t, os.Mkdir(at, 0o755))
				must(t, unix.Mount("tmpfs", at, "tmpfs", 0, "size=1m"))
				// After the mirror is unmounted, before the directory is removed.
				t.Cleanup(func() { must(t, unix.Unmount(at, unix.MNT_DETACH)) })
				must(t, os.WriteFile(filepath.Join(at, "f"), []byte("on the stick"), 0o644))
			}})
			if got := w.read("usb/f"); got != "on the stick" {
				t.Errorf("reads %q", got)
			}
			w.write("usb/g", "more")
			must(t, os.Chmod(w.path("usb/g"), 0o600))
			if r := w.journal.take(); len(r) != 0 {
				t.Errorf("journaled: %+v", r)
			}
			wantErrno(t, "rename onto it", os.Rename(w.path("usb/g"), w.path("g")), unix.EXDEV)
			w.checkDirents("usb")
			if busy := newBusyError(w.dir, w.m.mountID); len(busy.Mounts) != 0 {
				t.Errorf("what is mounted beneath keeps the mirror's mount: %v", busy)
			}
		})
	}
}
