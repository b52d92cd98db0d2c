package tree

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestStatTellsAbsenceFromOtherErrors(t *testing.T) {
	bothWalks(t, func(t *testing.T, tr *Tree, dir string) {
		check(t, os.MkdirAll(dir+"/d/e", 0o755))
		write(t, dir+"/d/f", "x")
		check(t, os.Symlink("d", dir+"/l"))
		check(t, os.Symlink("nowhere", dir+"/d/dangling"))
		for path, ok := range map[string]bool{
			"": true, "d": true, "d/e": true, "d/f": true, "l": true, "d/dangling": true,
			"x": false, "d/x": false, "x/y/z": false,
			"d/f/x": false, "d/f/x/y": false, // below a file
			"l/f": false, "l/e/x": false, "d/dangling/x": false, // below a symlink
		} {
			_, err := tr.Stat(path)
			if ok && err != nil || !ok && !errors.Is(err, os.ErrNotExist) {
				t.Errorf("Stat(%q): %v", path, err)
			}
		}
		for _, path := range []string{"/", "/etc/passwd", "..", "d/../..", "d//e", "d/", "./d", "a\x00b", "d/./e"} {
			_, err := tr.Stat(path)
			if !errors.Is(err, ErrPath) {
				t.Errorf("Stat(%q): %v, want ErrPath", path, err)
			}
		}
		_, err := tr.ReadDir("d/f")
		if !errors.Is(err, ErrNotDirectory) || errors.Is(err, os.ErrNotExist) {
			t.Errorf("ReadDir of a file: %v", err)
		}
		_, err = tr.ReadDir("l")
		if !errors.Is(err, ErrNotDirectory) || errors.Is(err, os.ErrNotExist) {
			t.Errorf("ReadDir of a symlink: %v", err)
		}
		_, err = tr.OpenFile("l")
		wantErr(t, err, ErrNotRegular)
	})
}

func TestDeletedRootIsNotAbsence(t *testing.T) {
	bothWalks(t, func(t *testing.T, _ *Tree, dir string) {
		root := filepath.Join(dir, "root")
		check(t, os.Mkdir(root, 0o755))
		tr := openTree(t, root, Options{}, false)
		check(t, os.Remove(root))
		_, err := tr.Stat("f")
		if errors.Is(err, os.ErrNotExist) || !errors.Is(err, ErrRootGone) {
			t.Errorf("Stat below a deleted root: %v", err)
		}
		wantErr(t, tr.Healthy("", ""), ErrRootGone)
	})
}

func TestUnreadableDirectoryIsNotAbsence(t *testing.T) {
	if os.Geteuid() == 0 {
		asUser(t, "^TestUnreadableDirectoryIsNotAbsence$")
		return
	}
	bothWalks(t, func(t *testing.T, tr *Tree, dir string) {
		check(t, os.MkdirAll(dir+"/d/e", 0o755))
		check(t, os.Chmod(dir+"/d", 0))
		defer os.Chmod(dir+"/d", 0o755)
		_, err := tr.Stat("d/e")
		if !errors.Is(err, os.ErrPermission) || errors.Is(err, os.ErrNotExist) {
			t.Errorf("Stat: %v", err)
		}
	})
}

func TestStrangeNames(t *testing.T) {
	bothWalks(t, func(t *testing.T, tr *Tree, dir string) {
		names := []string{
			strings.Repeat("n", 255), strings.Repeat("ü", 127), "\xff\xfe\x80", "-rf", " ", "a\nb", "...", "*", `\`, ".smfs", ".git",
		}
		for i, name := range names {
			want := fmt.Sprint("content ", i)
			info := must[Info](t)(tr.Place(temp(t, tr, "", want), At(name), Absent()))
			if got := contents(t, tr, name); got != want {
				t.Errorf("%q holds %q, want %q", name, got, want)
			}
			if again := must[Info](t)(tr.Stat(name)); again != info {
				t.Errorf("%q: Place returned %+v, Stat %+v", name, info, again)
			}
		}
		list := must[[]Name](t)(tr.ReadDir(""))
		if len(list) != len(names) {
			t.Fatalf("%d names of %d: %v", len(list), len(names), list)
		}
		for i := 1; i < len(list); i++ {
			if list[i-1].Name >= list[i].Name {
				t.Errorf("%q before %q", list[i-1].Name, list[i].Name)
			}
		}
		_, err := tr.Stat(strings.Repeat("n", 256))
		if !errors.Is(err, unix.ENAMETOOLONG) || errors.Is(err, os.ErrNotExist) {
			t.Errorf("name of 256 bytes: %v", err)
		}
		for _, name := range names {
			check(t, tr.Remove(At(name), Exactly(must[Info](t)(tr.Stat(name)))))
		}
		noTemps(t, dir)
	})
}

// TestBeyondPathMax works in a tree deeper than any system call takes a path.
func TestBeyondPathMax(t *testing.T) {
	bothWalks(t, func(t *testing.T, tr *Tree, _ string) {
		path := ""
		for i := range 120 {
			path = join(path, fmt.Sprintf("%03d%s", i, strings.Repeat("d", 97)))
			must[Info](t)(tr.Mkdir(At(path), 0o755))
			if i%10 == 0 {
				must[Info](t)(tr.Place(temp(t, tr, path, "x"), At(path+"/z"), Absent()))
			}
		}
		info := must[Info](t)(tr.Place(temp(t, tr, path, "deep"), At(path+"/f"), Absent()))
		if got := contents(t, tr, path+"/f"); got != "deep" {
			t.Errorf("deep file holds %q", got)
		}
		must[Info](t)(tr.Place(temp(t, tr, path, "deeper"), At(path+"/f"), Exactly(info)))
		must[Info](t)(tr.Rename(At(path+"/f"), At("shallow"), Exactly(must[Info](t)(tr.Stat(path+"/f")))))
		if got := contents(t, tr, "shallow"); got != "deeper" {
			t.Errorf("moved file holds %q", got)
		}
		if _, err := tr.Stat(path + "/f"); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("moved file: %v", err)
		}
		if left, err := tr.RemoveTemps(t.Context()); err != nil || len(left) > 0 {
			t.Errorf("left over %v, error %v", left, err)
		}
	})
}

func TestReadlinkAndXattrs(t *testing.T) {
	bothWalks(t, func(t *testing.T, tr *Tree, dir string) {
		long := strings.Repeat("x/", 2000)
		check(t, os.Symlink(long, dir+"/l"))
		if got := target(t, tr, "l"); got != long {
			t.Errorf("target of %d bytes, want %d", len(got), len(long))
		}
		write(t, dir+"/f", "")
		if _, _, err := tr.Readlink("f"); !errors.Is(err, unix.EINVAL) || errors.Is(err, os.ErrNotExist) {
			t.Errorf("Readlink of a file: %v", err)
		}
		big := strings.Repeat("v", 2000)
		for name, value := range map[string]string{"user.b": "2", "user.a": "", "user.smfs.x": "ours", "user.z": big} {
			check(t, unix.Setxattr(dir+"/f", name, []byte(value), 0))
		}
		got := xattrs(t, tr, "f")
		if want := []Xattr{{"user.a", ""}, {"user.b", "2"}, {"user.z", big}}; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("attributes %q", got)
		}
		if got := xattrs(t, tr, "l"); len(got) != 0 {
			t.Errorf("attributes of a symlink: %q", got)
		}
	})
}

func TestSpecialFilesAreNotOpened(t *testing.T) {
	dir := t.TempDir()
	tr := openTree(t, dir, Options{}, false)
	check(t, unix.Mkfifo(dir+"/fifo", 0o644))
	_, err := tr.OpenFile("fifo") // would block for ever if it were opened to read
	wantErr(t, err, ErrNotRegular)
	if got := xattrs(t, tr, "fifo"); got != nil {
		t.Errorf("attributes %q", got)
	}
}

func TestRootMark(t *testing.T) {
	dir := t.TempDir()
	tr := openTree(t, dir, Options{Resource: "docs"}, false)
	if id := must[string](t)(tr.RootID()); id != "" {
		t.Errorf("fresh root is marked %q", id)
	}
	wantErr(t, tr.Healthy("id", ""), ErrUnhealthy)
	check(t, tr.MarkRoot("id"))
	fsid := must[string](t)(tr.Filesystem())
	check(t, tr.Healthy("id", fsid))
	check(t, tr.Healthy("id", ""))
	wantErr(t, tr.Healthy("id", "other"), ErrUnhealthy)
	wantErr(t, tr.Healthy("other", fsid), ErrUnhealthy)
	if got := xattrs(t, tr, ""); len(got) != 0 {
		t.Errorf("the mark shows as %q", got)
	}
}
