package fs

import (
	"bytes"
	"context"
	"os"
	"strings"
	"sync"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
	"github.com/silvermirror/smfs/journal"
	"golang.org/x/sys/unix"
)

const (
	capabilityAttr = "security.capability"
	labelAttr      = "security.selinux"
	ownPrefix      = "user.smfs." // how a resource's root is known: not the user's to see or copy
	trustedPrefix  = "trusted."
)

// hasLabels tells whether this kernel labels files.
var hasLabels = sync.OnceValue(func() bool {
	_, err := os.Stat("/sys/fs/selinux/enforce")
	return err == nil
})

// Getxattr reads one attribute; it does not follow a symlink. That a file has no
// label where nothing has one is told as "not supported", which ls takes to hold for
// all files: `ls -l` asks for each otherwise.
func (n *node) Getxattr(ctx context.Context, name string, dest []byte) (uint32, syscall.Errno) {
	if strings.HasPrefix(name, ownPrefix) || name == capabilityAttr && !n.privileged.Load() {
		return 0, syscall.ENODATA
	}
	ref, err := n.reach()
	if err != nil {
		return 0, n.m.errno(err)
	}
	defer ref.release()
	size, err := ref.getxattr(name, dest)
	if err == unix.ENODATA && name == labelAttr && !hasLabels() {
		err = unix.EOPNOTSUPP
	}
	if err != nil {
		return 0, n.m.errno(err)
	}
	return uint32(size), 0
}

// Listxattr lists the names that the caller may see, as ext4 does: trusted ones
// are root's.
func (n *node) Listxattr(ctx context.Context, dest []byte) (uint32, syscall.Errno) {
	ref, err := n.reach()
	if err != nil {
		return 0, n.m.errno(err)
	}
	defer ref.release()
	all, err := listAll(ref.target)
	if err != nil {
		return 0, n.m.errno(err)
	}
	caller, ok := fuse.FromContext(ctx)
	root := ok && caller.Uid == 0
	var names []byte
	for name := range bytes.SplitAfterSeq(all, []byte{0}) {
		if !hiddenAttr(string(name), root) {
			names = append(names, name...)
		}
	}
	if len(dest) > 0 && len(dest) < len(names) {
		return uint32(len(names)), syscall.ERANGE
	}
	copy(dest, names)
	return uint32(len(names)), 0
}

func hiddenAttr(name string, root bool) bool {
	return strings.HasPrefix(name, ownPrefix) || !root && strings.HasPrefix(name, trustedPrefix)
}

func listAll(t target) ([]byte, error) {
	for {
		size, err := t.listxattr(nil)
		if err != nil || size == 0 {
			return nil, err
		}
		buf := make([]byte, size)
		size, err = t.listxattr(buf)
		if err == unix.ERANGE {
			continue
		}
		if err != nil {
			return nil, err
		}
		return buf[:size], nil
	}
}

// Setxattr sets one attribute; it does not follow a symlink. The kernel has
// checked the caller's rights.
func (n *node) Setxattr(ctx context.Context, name string, data []byte, flags uint32) syscall.Errno {
	if strings.HasPrefix(name, ownPrefix) {
		return syscall.EPERM
	}
	return n.m.errno(n.change(ctx, journal.Record{Kind: journal.KindXattr}, func(t target) error {
		err := t.setxattr(name, data, int(flags&^killSetgid))
		if name == capabilityAttr {
			n.privileged.Store(true)
		}
		if err == nil && flags&killSetgid != 0 {
			err = clearSetgid(t)
		}
		n.aclChanged(name)
		return err
	}))
}

// aclChanged has the kernel look at the mode again that goes with an access ACL: it
// does so by itself only where it checks permissions.
func (n *node) aclChanged(name string) {
	if name == accessACL {
		n.m.queue.sendAttr(n)
	}
}

// Removexattr removes one attribute; it does not follow a symlink.
func (n *node) Removexattr(ctx context.Context, name string) syscall.Errno {
	if strings.HasPrefix(name, ownPrefix) {
		return syscall.ENODATA
	}
	return n.m.errno(n.change(ctx, journal.Record{Kind: journal.KindXattr}, func(t target) error {
		err := t.removexattr(name)
		n.aclChanged(name)
		return err
	}))
}
