package fs

import (
	"encoding/binary"
	"os"
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
