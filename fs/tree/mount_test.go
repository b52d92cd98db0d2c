package tree

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// inNamespace runs the test again where it may mount, and where all mounts end
// with it.
func inNamespace(t *testing.T, run string) {
	t.Helper()
	attr := &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		attr = &syscall.SysProcAttr{
			Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNS,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}},
		}
	}
	runAgain(t, run, t.TempDir(), attr)
}

func mountTmpfs(t *testing.T, dir string) {
	t.Helper()
	check(t, unix.Mount("tmpfs", dir, "tmpfs", 0, ""))
	t.Cleanup(func() { check(t, unix.Unmount(dir, unix.MNT_DETACH)) })
}

// TestForeignMount finds another filesystem below the root, and the same one
// bound there, which is neither absent nor walked into.
func TestForeignMount(t *testing.T) {
	if !inChild() {
		inNamespace(t, "^TestForeignMount$")
		return
	}
	bothWalks(t, func(t *testing.T, _ *Tree, dir string) {
		check(t, os.MkdirAll(dir+"/d/m", 0o755))
		check(t, os.MkdirAll(dir+"/bound", 0o755))
		check(t, os.MkdirAll(dir+"/elsewhere", 0o755))
		write(t, dir+"/elsewhere/f", "x")
		write(t, dir+"/file", "covered")
		mountTmpfs(t, dir+"/d/m")
		write(t, dir+"/d/m/f", "x")
		check(t, unix.Mount(dir+"/elsewhere", dir+"/bound", "", unix.MS_BIND, ""))
		defer unix.Unmount(dir+"/bound", unix.MNT_DETACH)
		check(t, unix.Mount(dir+"/elsewhere/f", dir+"/file", "", unix.MS_BIND, ""))
		defer unix.Unmount(dir+"/file", unix.MNT_DETACH)

		tr := openTree(t, dir, Options{}, strings.Contains(t.Name(), "stepwise"))
		for _, path := range []string{"d/m", "d/m/f", "d/m/x", "bound", "bound/f", "file"} {
			if _, err := tr.Stat(path); !errors.Is(err, ErrForeignMount) || errors.Is(err, os.ErrNotExist) {
				t.Errorf("Stat(%q): %v", path, err)
			}
		}
		_, err := tr.NewTemp("d/m", 0o644, nil)
		wantErr(t, err, ErrForeignMount)
		_, err = tr.Mkdir(At("bound/x"), 0o755)
		wantErr(t, err, ErrForeignMount)
		if list := must[[]Name](t)(tr.ReadDir("d")); len(list) != 1 || list[0].Name != "m" {
			t.Errorf("directory above the mount lists %v", list)
		}
		must[[]string](t)(tr.RemoveTemps(t.Context())) // it does not look there
	})
}

// TestUnderAMount reaches the directory through its fd after another
// filesystem was mounted over it, as smfs does with itself.
func TestUnderAMount(t *testing.T) {
	if !inChild() {
		inNamespace(t, "^TestUnderAMount$")
		return
	}
	for name, late := range map[string]bool{"opened before": false, "opened after": true} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			check(t, os.Mkdir(dir+"/d", 0o755))
			write(t, dir+"/d/f", "under")
			fd := must[int](t)(unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0))
			defer unix.Close(fd)
			if late {
				mountTmpfs(t, dir)
			}
			tr := must[*Tree](t)(Open(fd, Options{}))
			defer tr.Close()
			if !late {
				mountTmpfs(t, dir)
			}
			check(t, os.Mkdir(dir+"/d", 0o755))
			write(t, dir+"/d/f", "above")
			for _, beside := range []bool{false, true} {
				tr.beside = beside
				if got := contents(t, tr, "d/f"); got != "under" {
					t.Errorf("d/f holds %q", got)
				}
				info := must[Info](t)(tr.Stat("d/f"))
				info = must[Info](t)(tr.Place(temp(t, tr, "d", "under"), At("d/f"), Exactly(info)))
				list := []Xattr{{"user.a", "b"}}
				must[Info](t)(tr.SetAttr(At("d/f"), Exactly(info), Attr{Xattrs: &list}))
				must[[]string](t)(tr.RemoveTemps(t.Context()))
			}
			if got := read(t, dir+"/d/f"); got != "above" {
				t.Errorf("the mount's file holds %q", got)
			}
		})
	}
}
