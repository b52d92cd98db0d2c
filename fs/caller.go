package fs

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// identity is who the daemon is, and how it becomes a caller.
type identity struct {
	uid, gid uint32
	root     bool // it may take on other ids
	caps     [2]unix.CapUserData
}

var capHeader = unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}

func newIdentity() (identity, error) {
	id := identity{uid: uint32(unix.Geteuid()), gid: uint32(unix.Getegid())}
	hdr := capHeader
	if err := unix.Capget(&hdr, &id.caps[0]); err != nil {
		return id, fmt.Errorf("read capabilities: %w", err)
	}
	const needed = 1<<unix.CAP_SETUID | 1<<unix.CAP_SETGID | 1<<unix.CAP_DAC_OVERRIDE
	id.root = id.uid == 0 && id.caps[0].Effective&needed == needed
	return id, nil
}

// isAlone tells whether nobody but root can come in. Then there are no permissions
// to check, and the kernel is not told to: it would ask for the attributes of a
// directory anew after each change of a name in it.
func (id *identity) isAlone(o Options) bool { return id.root && !o.AllowOther }

// enters refuses who is not root in a mount that is root's alone: a process of root
// may act as another user by its filesystem ids, which the kernel does not look at
// when it lets it in.
func (m *Mount) enters(ctx context.Context) error {
	if m.alone && !isRoot(ctx) {
		return unix.EACCES
	}
	return nil
}

// as runs create with the filesystem ids of the caller, so that what it makes
// belongs to the caller from the first moment. The kernel has checked the
// caller's right to create already, with all its groups; so the capabilities
// that go with the root ids are kept meanwhile: without them the backing
// filesystem would ask again and not know the groups.
func (id *identity) as(ctx context.Context, create func() error) error {
	c, ok := fuse.FromContext(ctx)
	if !ok || !id.root || c.Uid == id.uid && c.Gid == id.gid {
		return create()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer id.restore()
	if err := id.become(c.Uid, c.Gid); err != nil {
		return fmt.Errorf("act as user %d, group %d: %w", c.Uid, c.Gid, err)
	}
	return create()
}

// become sets the filesystem ids of this OS thread alone. The calls report no
// error, so a second one reads what the first did.
func (id *identity) become(uid, gid uint32) error {
	setfsid(gid, uid)
	if nowGID, nowUID := setfsid(noID, noID); nowUID != uid || nowGID != gid {
		return unix.EPERM
	}
	hdr, caps := capHeader, id.caps
	return unix.Capset(&hdr, &caps[0])
}

// restore undoes become. It cannot fail: the ids are the process's own, and
// with them the kernel raises the capabilities again.
func (id *identity) restore() { setfsid(id.gid, id.uid) }

// noID is no valid id: setting it changes nothing.
const noID = 1<<32 - 1

func setfsid(gid, uid uint32) (oldGID, oldUID uint32) {
	g, _, _ := unix.RawSyscall(unix.SYS_SETFSGID, uintptr(gid), 0, 0)
	u, _, _ := unix.RawSyscall(unix.SYS_SETFSUID, uintptr(uid), 0, 0)
	return uint32(g), uint32(u)
}

// isRoot tells whether the caller is root, or the kernel itself.
func isRoot(ctx context.Context) bool {
	c, ok := fuse.FromContext(ctx)
	return !ok || c.Uid == 0
}

// inGroup tells whether the caller is in a group, by its ids or the list of its
// other groups.
func inGroup(ctx context.Context, gid uint32) bool {
	c, ok := fuse.FromContext(ctx)
	if !ok {
		return false
	}
	if c.Gid == gid {
		return true
	}
	status, err := os.ReadFile(procFile(c.Pid, "status"))
	if err != nil {
		return false
	}
	groups := strings.Fields(statusField(status, "Groups:"))
	return slices.Contains(groups, strconv.FormatUint(uint64(gid), 10))
}

// give hands what an ordinary user's daemon made to the caller's group, where
// the caller acts under another of the user's groups.
func (id *identity) give(ctx context.Context, dirfd int, name string) {
	c, ok := fuse.FromContext(ctx)
	if !ok || id.root || c.Uid != id.uid || c.Gid == id.gid {
		return
	}
	var st unix.Statx_t
	if statAt(dirfd, name, &st) == nil && st.Gid == id.gid {
		// Refused where the user is not in the group: it stays as it is.
		_ = unix.Fchownat(dirfd, name, -1, int(c.Gid), unix.AT_SYMLINK_NOFOLLOW)
	}
}
