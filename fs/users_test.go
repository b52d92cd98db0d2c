package fs

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// The tests here need root, who can be other users: TestRoot... They are left
// out where the others run.

const (
	alice = 61001
	bob   = 61002
	staff = 61100 // a group that both are in
)

func as(uid uint32, groups ...uint32) *syscall.Credential {
	return &syscall.Credential{Uid: uid, Gid: uid, Groups: groups}
}

// shared is a mount of root's that others may enter.
func shared(t *testing.T, test func(w *world)) {
	if os.Geteuid() != 0 {
		return // an ordinary user cannot be anybody else
	}
	open := func(_ *world, o *Options) { o.AllowOther = true }
	eachPathWith(t, setup{options: open}, test)
}

// TestRootCreatesAsCaller: what others make is theirs, in a directory that only
// their supplementary group lets them write to as well.
func TestRootCreatesAsCaller(t *testing.T) {
	shared(t, func(w *world) {
		must(w.t, os.Mkdir(w.path("team"), 0o755))
		must(w.t, os.Chown(w.path("team"), 0, staff))
		must(w.t, os.Chmod(w.path("team"), 0o770))
		_, err := program(w.t, as(alice, staff), "create", w.path("team/hers"), "text")
		must(w.t, err)
		_, err = program(w.t, as(alice, staff), "mkdir", w.path("team/dir"))
		must(w.t, err)
		for _, name := range []string{"team/hers", "team/dir"} {
			if st := stat(w.t, w.below(name)); st.Uid != alice || st.Gid != alice {
				w.t.Errorf("%s belongs to %d:%d", name, st.Uid, st.Gid)
			}
		}
		_, err = program(w.t, as(bob), "create", w.path("team/his"), "text")
		wantErrno(w.t, "create without the group", err, unix.EACCES)
		w.write("mine", "")
		if st := stat(w.t, w.below("mine")); st.Uid != 0 {
			w.t.Errorf("root's file belongs to %d", st.Uid)
		}

		must(w.t, os.Chmod(w.path("team"), os.ModeSetgid|0o770))
		_, err = program(w.t, as(alice, staff), "create", w.path("team/inherits"), "text")
		must(w.t, err)
		if st := stat(w.t, w.below("team/inherits")); st.Uid != alice || st.Gid != staff {
			w.t.Errorf("in a setgid directory: %d:%d", st.Uid, st.Gid)
		}
	})
}

func TestRootPermissions(t *testing.T) {
	shared(t, func(w *world) {
		w.write("secret", "text")
		must(w.t, os.Chmod(w.path("secret"), 0o600))
		_, err := program(w.t, as(alice), "read", w.path("secret"))
		wantErrno(w.t, "read", err, unix.EACCES)
		_, err = program(w.t, as(alice), "write", w.path("secret"), "x")
		wantErrno(w.t, "write", err, unix.EACCES)
		_, err = program(w.t, as(alice), "list", w.path(smfsName))
		wantErrno(w.t, "list .smfs", err, unix.EACCES)

		must(w.t, os.Mkdir(w.path("tmp"), 0o755))
		must(w.t, os.Chmod(w.path("tmp"), os.ModeSticky|0o777))
		_, err = program(w.t, as(alice), "create", w.path("tmp/hers"), "text")
		must(w.t, err)
		_, err = program(w.t, as(bob), "unlink", w.path("tmp/hers"))
		wantErrno(w.t, "remove another's file in a sticky directory", err, unix.EPERM)
		_, err = program(w.t, as(alice), "unlink", w.path("tmp/hers"))
		must(w.t, err)
	})
}

// TestRootACL: an access control list lets in whom it names.
func TestRootACL(t *testing.T) {
	shared(t, func(w *world) {
		w.write("f", "text")
		must(w.t, os.Chmod(w.path("f"), 0o600))
		_, err := program(w.t, as(alice), "read", w.path("f"))
		wantErrno(w.t, "read before", err, unix.EACCES)
		must(w.t, unix.Setxattr(w.path("f"), "system.posix_acl_access", aclFor(alice), 0))
		if got, err := program(w.t, as(alice), "read", w.path("f")); got != "text" || err != nil {
			w.t.Errorf("she reads %q, %v", got, err)
		}
		_, err = program(w.t, as(bob), "read", w.path("f"))
		wantErrno(w.t, "he reads", err, unix.EACCES)
		w.compareListings("")
	})
}

// TestRootACLShows: the mode that goes with an access control list is seen at once, by
// who asks for nothing else.
func TestRootACLShows(t *testing.T) {
	eachPath(t, func(w *world) {
		w.write("f", "text")
		must(w.t, os.Chmod(w.path("f"), 0o640))
		for _, change := range []func() error{
			func() error { return unix.Setxattr(w.path("f"), accessACL, aclFor(alice), 0) },
			func() error { return os.Chmod(w.path("f"), 0o600) },
			func() error { return unix.Setxattr(w.path("f"), accessACL, aclFor(bob), 0) },
			func() error { return unix.Removexattr(w.path("f"), accessACL) },
		} {
			must(w.t, change())
			var st, below unix.Statx_t
			must(w.t, unix.Statx(unix.AT_FDCWD, w.path("f"), 0, unix.STATX_MODE, &st))
			must(w.t, unix.Statx(unix.AT_FDCWD, w.below("f"), 0, unix.STATX_MODE, &below))
			if st.Mode != below.Mode {
				w.t.Errorf("mode %o, beneath it %o", st.Mode&0o7777, below.Mode&0o7777)
			}
		}
	})
}

// TestRootAlone: where root lets nobody else in, it does not act as somebody else
// either.
func TestRootAlone(t *testing.T) {
	eachPath(t, func(w *world) {
		if !w.m.alone {
			w.t.Skip("an ordinary user's mount")
		}
		w.write("f", "secret")
		must(w.t, os.Chmod(w.path("f"), 0o600))
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		setfsid(alice, alice)
		defer setfsid(0, 0)
		for what, act := range map[string]func() error{
			"read":   func() error { return open(w.path("f"), unix.O_RDONLY) },
			"write":  func() error { return open(w.path("f"), unix.O_WRONLY) },
			"create": func() error { return open(w.path("g"), unix.O_CREAT|unix.O_WRONLY) },
			"list":   func() error { return open(w.path(), unix.O_DIRECTORY) },
			"unlink": func() error { return unix.Unlink(w.path("f")) },
			"rename": func() error { return unix.Rename(w.path("f"), w.path("g")) },
			"chmod":  func() error { return unix.Chmod(w.path("f"), 0o666) },
			"mkdir":  func() error { return unix.Mkdir(w.path("d"), 0o777) },
		} {
			wantErrno(w.t, what, act(), unix.EACCES)
		}
	})
}

func open(path string, flags int) error {
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0o600)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

// TestRootModesAsNative runs a script as several users in the mount and in a
// plain directory: what it makes has the same modes and access control lists.
func TestRootModesAsNative(t *testing.T) {
	const script = `cd "$1" && umask 027 && mkdir open/d && : > open/f && mkfifo open/p && (umask 0; : > open/u) &&
mkdir acl/d && : > acl/f && mkfifo acl/p && ln -s f acl/l && chmod 2775 acl/d && mkdir acl/d/below && : > acl/d/f &&
for f in shared/*; do fallocate -o 4096 -l 4096 $f || exit 1; done`
	shared(t, func(w *world) {
		native := w.t.TempDir()
		must(w.t, os.Chmod(filepath.Dir(native), 0o755))
		must(w.t, os.Mkdir(w.path("in"), 0o755))
		var seen [2]map[string]string
		for i, dir := range []string{native, w.path("in")} {
			for _, name := range []string{"open", "acl", "shared"} {
				must(w.t, os.Mkdir(filepath.Join(dir, name), 0))
				must(w.t, unix.Chmod(filepath.Join(dir, name), 0o2777))
				must(w.t, os.Chown(filepath.Join(dir, name), alice, staff))
			}
			must(w.t, unix.Setxattr(filepath.Join(dir, "acl"), defaultACL, aclFor(bob), 0))
			for _, mode := range []uint32{0o6666, 0o2676, 0o2666, 0o6777} {
				for _, group := range []int{staff, 0} {
					file := filepath.Join(dir, "shared", fmt.Sprintf("%o-%d", mode, group))
					must(w.t, os.WriteFile(file, []byte("text"), 0o666))
					must(w.t, os.Chown(file, 0, group))
					must(w.t, unix.Chmod(file, mode))
				}
			}
			cmd := exec.Command("sh", "-c", script, "sh", dir)
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as(alice, staff)}
			if out, err := cmd.CombinedOutput(); err != nil {
				w.t.Fatalf("in %s: %v\n%s", dir, err, out)
			}
			seen[i] = modes(w.t, dir)
		}
		if !maps.Equal(seen[0], seen[1]) {
			w.t.Errorf("a plain directory has\n%v\nthe mount\n%v", seen[0], seen[1])
		}
	})
}

// modes are the modes, owners and lists of all that is below a directory.
func modes(t testing.TB, dir string) map[string]string {
	list := map[string]string{}
	must(t, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		must(t, err)
		if path == dir {
			return nil
		}
		st := stat(t, path)
		text := fmt.Sprintf("%o %d:%d", st.Mode, st.Uid, st.Gid)
		for _, name := range []string{"system.posix_acl_access", defaultACL} {
			buf := make([]byte, 200)
			n, _ := unix.Lgetxattr(path, name, buf) // none: nothing
			text += fmt.Sprintf(" %x", buf[:max(n, 0)])
		}
		list[strings.TrimPrefix(path, dir)] = text
		return nil
	}))
	return list
}

// TestRootACLClearsSetgid: who is not in the group of a file does not leave it
// setgid with a list of its own.
func TestRootACLClearsSetgid(t *testing.T) {
	shared(t, func(w *world) {
		w.write("f", "text")
		must(w.t, os.Chown(w.path("f"), alice, bob))
		must(w.t, unix.Chmod(w.path("f"), 0o2770))
		_, err := program(w.t, as(alice), "setxattr", w.path("f"), "system.posix_acl_access", hex.EncodeToString(aclFor(bob)))
		must(w.t, err)
		if st := stat(w.t, w.path("f")); st.Mode&unix.S_ISGID != 0 {
			w.t.Errorf("mode %o", st.Mode&0o7777)
		}
	})
}

// aclFor is u::rw- u:UID:r-- g::--- m::r-- o::---.
func aclFor(uid uint32) []byte {
	const none = 1<<32 - 1
	b := binary.LittleEndian.AppendUint32(nil, 2)
	for _, e := range []struct {
		tag, perm uint16
		id        uint32
	}{{1, 6, none}, {2, 4, uid}, {4, 0, none}, {16, 4, none}, {32, 0, none}} {
		b = binary.LittleEndian.AppendUint16(b, e.tag)
		b = binary.LittleEndian.AppendUint16(b, e.perm)
		b = binary.LittleEndian.AppendUint32(b, e.id)
	}
	return b
}

// TestRootWritesClearSetuid: a write by another user takes setuid, setgid and
// capabilities away; one by root does not take setuid.
func TestRootWritesClearSetuid(t *testing.T) {
	shared(t, func(w *world) {
		capability := []byte{1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
		for what, change := range map[string]func() error{
			"write": func() error { _, err := program(w.t, as(alice), "write", w.path("prog"), "x"); return err },
			"truncate": func() error {
				_, err := program(w.t, as(alice), "truncate", w.path("prog"))
				return err
			},
			"open": func() error { _, err := program(w.t, as(alice), "empty", w.path("prog")); return err },
			"mmap": func() error { _, err := program(w.t, as(alice), "mmap", w.path("prog"), "x"); return err },
		} {
			for range 2 {
				w.write("prog", "#!/bin/sh")
				must(w.t, os.Chmod(w.path("prog"), 0o777|os.ModeSetuid|os.ModeSetgid))
				must(w.t, unix.Setxattr(w.path("prog"), capabilityAttr, capability, 0))
				must(w.t, os.Chmod(w.path("prog"), 0o777|os.ModeSetuid|os.ModeSetgid))
				must(w.t, change())
				if what == "mmap" {
					continue // ext4 lets a mapping keep them too
				}
				for _, path := range []string{w.path("prog"), w.below("prog")} {
					if st := stat(w.t, path); st.Mode&0o7777 != 0o777 {
						w.t.Errorf("after %s %s has mode %o", what, path, st.Mode&0o7777)
					}
					if _, err := unix.Getxattr(path, capabilityAttr, make([]byte, 100)); err != unix.ENODATA {
						w.t.Errorf("after %s %s has capabilities: %v", what, path, err)
					}
				}
				must(w.t, os.Remove(w.path("prog")))
			}
		}
		w.write("prog", "#!/bin/sh")
		must(w.t, os.Chmod(w.path("prog"), 0o755|os.ModeSetuid))
		w.write("prog", "root's change")
		if st := stat(w.t, w.below("prog")); st.Mode&unix.S_ISUID == 0 {
			w.t.Errorf("root's write cleared setuid: %o", st.Mode)
		}
		must(w.t, os.Chown(w.path("prog"), alice, alice))
		if st := stat(w.t, w.path("prog")); st.Mode&unix.S_ISUID != 0 {
			w.t.Errorf("chown left setuid: %o", st.Mode)
		}
	})
}

// TestRootChownKeepsSetgid: root's chown leaves setgid to a file that its group
// may not execute, as it does elsewhere.
func TestRootChownKeepsSetgid(t *testing.T) {
	shared(t, func(w *world) {
		for mode, want := range map[uint32]uint32{0o6644: 0o2644, 0o6744: 0o2744, 0o6654: 0o654, 0o6754: 0o754} {
			w.write("f", "text")
			must(w.t, os.Chown(w.path("f"), alice, alice))
			must(w.t, unix.Chmod(w.path("f"), mode))
			must(w.t, os.Chown(w.path("f"), 0, -1))
			for _, path := range []string{w.path("f"), w.below("f")} {
				if st := stat(w.t, path); st.Mode&0o7777 != want {
					w.t.Errorf("%o became %o, not %o", mode, st.Mode&0o7777, want)
				}
			}
			must(w.t, os.Remove(w.path("f")))
		}
	})
}

func TestRootTrustedXattrs(t *testing.T) {
	shared(t, func(w *world) {
		w.write("f", "")
		must(w.t, unix.Setxattr(w.path("f"), "trusted.k", []byte("v"), 0))
		must(w.t, unix.Setxattr(w.path("f"), "user.k", []byte("v"), 0))
		mine, err := program(w.t, nil, "listxattr", w.path("f"))
		if err != nil || !strings.Contains(mine, "trusted.k") {
			w.t.Errorf("root sees %q, %v", mine, err)
		}
		hers, err := program(w.t, as(alice), "listxattr", w.path("f"))
		if err != nil || hers != "user.k\n" {
			w.t.Errorf("others see %q, %v", hers, err)
		}
	})
}

func TestRootDevices(t *testing.T) {
	shared(t, func(w *world) {
		must(w.t, unix.Mknod(w.path("null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
		if a, b := stat(w.t, w.path("null")), stat(w.t, w.below("null")); a.Rdev != b.Rdev || a.Rdev != unix.Mkdev(1, 3) {
			w.t.Errorf("device %x, below %x", a.Rdev, b.Rdev)
		}
	})
}
