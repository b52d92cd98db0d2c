package fs

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	fsName   = "smfs"
	fsType   = "fuse." + fsName
	maxWrite = 1 << 20
	device   = "/dev/fuse"
	helper   = "fusermount3"
)

// What may be missing for a mount. Their texts say what to do about it.
var (
	ErrNoDevice = errors.New("there is no /dev/fuse: load the kernel module (modprobe fuse); in a container, pass the device in (--device /dev/fuse)")
	ErrNoHelper = errors.New("fusermount3 is missing, which ordinary users need to mount: install the package fuse3 (apt install fuse3)")
	ErrRefused  = errors.New("the system does not let this user mount")
	ErrNotBase  = errors.New("the directory was replaced while it was being mounted")
)

// attach mounts over the directory that base is open on, and returns the device.
func (id *identity) attach(base int, o Options) (dev int, err error) {
	var checks []string
	if !id.isAlone(o) {
		checks = []string{"default_permissions"} // the kernel checks them
	}
	if id.root {
		return attachRoot(base, o, checks)
	}
	return attachUser(base, o, checks)
}

// attachRoot mounts by itself, on the fd: no path can lead it astray.
func attachRoot(base int, o Options, more []string) (int, error) {
	dev, err := openDevice()
	if err != nil {
		return -1, err
	}
	opts := fuseOptionText(o, append(more, fmt.Sprintf("fd=%d,rootmode=%o,user_id=0,group_id=0,max_read=%d", dev, unix.S_IFDIR, maxWrite)))
	err = unix.Mount(o.Source, procPath(base), fsType, mountFlagBits(o.Flags), opts)
	if err == nil {
		return dev, nil
	}
	unix.Close(dev)
	if err == unix.EPERM {
		return -1, fmt.Errorf("mount %s: %w: it has no CAP_SYS_ADMIN; in a container, add it (--cap-add SYS_ADMIN)", o.Dir, ErrRefused)
	}
	if err == unix.ENODEV {
		return -1, fmt.Errorf("mount %s: %w", o.Dir, ErrNoDevice)
	}
	return -1, fmt.Errorf("mount %s: %w", o.Dir, err)
}

func openDevice() (int, error) {
	dev, err := unix.Open(device, unix.O_RDWR|unix.O_CLOEXEC, 0)
	switch err {
	case nil:
		return dev, nil
	case unix.ENOENT, unix.ENODEV, unix.ENXIO:
		return -1, ErrNoDevice
	case unix.EACCES, unix.EPERM:
		return -1, fmt.Errorf("open %s: %w: chmod 0666 %s as root; in a container, pass the device in (--device %s)", device, ErrRefused, device, device)
	}
	return -1, fmt.Errorf("open %s: %w", device, err)
}

// attachUser lets fusermount3 mount, which hands the device back over a socket.
func attachUser(base int, o Options, more []string) (int, error) {
	bin, err := exec.LookPath(helper)
	if err != nil {
		return -1, ErrNoHelper
	}
	if _, err := os.Stat(device); err != nil {
		return -1, ErrNoDevice
	}
	if err := sameDirectory(base, o.Dir); err != nil {
		return -1, err
	}
	// fusermount3 wants a comma of a name escaped, and a backslash.
	name := strings.NewReplacer(`\`, `\\`, ",", `\,`).Replace(o.Source)
	opts := fuseOptionText(o, slices.Concat(more, []string{"fsname=" + name, "subtype=" + fsName, fmt.Sprintf("max_read=%d", maxWrite)}, o.Flags))
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("make a socket for %s: %w", helper, err)
	}
	defer unix.Close(pair[0])
	theirs := os.NewFile(uintptr(pair[1]), "fusermount3")
	defer theirs.Close()
	cmd := exec.Command(bin, "-o", opts, "--", o.Dir)
	cmd.Dir = "/"
	cmd.Env = []string{"_FUSE_COMMFD=3", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.ExtraFiles = []*os.File{theirs}
	if said, err := runHelper(cmd); err != nil {
		return -1, helperError(o, said, err)
	}
	return receiveFD(pair[0])
}

// sameDirectory checks that a path still leads to the base.
func sameDirectory(base int, dir string) error {
	var a, b unix.Statx_t
	if err := statFD(base, &a); err != nil {
		return fmt.Errorf("stat the base: %w", err)
	}
	if err := unix.Statx(unix.AT_FDCWD, dir, unix.AT_STATX_DONT_SYNC, unix.STATX_BASIC_STATS, &b); err != nil {
		return fmt.Errorf("stat %s: %w", dir, err)
	}
	if a.Ino != b.Ino || devOf(&a) != devOf(&b) {
		return fmt.Errorf("mount %s: %w", dir, ErrNotBase)
	}
	return nil
}

// runHelper runs fusermount3 and returns what it complained about.
func runHelper(cmd *exec.Cmd) (said string, err error) {
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	return strings.TrimSpace(out.String()), err
}

func helperError(o Options, said string, err error) error {
	switch {
	case strings.Contains(said, "user_allow_other"):
		return fmt.Errorf("mount %s: %w: sharing with other users needs the line user_allow_other in /etc/fuse.conf", o.Dir, ErrRefused)
	case strings.Contains(said, "Permission denied"), strings.Contains(said, "Operation not permitted"):
		return fmt.Errorf("mount %s: %w: %s (is %s readable and writable for all, and %s setuid root?)", o.Dir, ErrRefused, said, device, helper)
	case said == "":
		return fmt.Errorf("mount %s: %s: %w", o.Dir, helper, err)
	}
	return fmt.Errorf("mount %s: %s", o.Dir, said)
}

// receiveFD takes the fd that fusermount3 sent.
func receiveFD(socket int) (int, error) {
	oob := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(socket, make([]byte, 8), oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("receive the device from %s: %w", helper, err)
	}
	msgs, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil || len(msgs) != 1 {
		return -1, fmt.Errorf("receive the device from %s: no fd came", helper)
	}
	fds, err := unix.ParseUnixRights(&msgs[0])
	if err != nil || len(fds) != 1 {
		return -1, fmt.Errorf("receive the device from %s: no fd came", helper)
	}
	return fds[0], nil
}

// detach unmounts. EBUSY: it is in use.
func (id *identity) detach(dir string, lazy bool) error {
	if id.root {
		flags := unix.UMOUNT_NOFOLLOW
		if lazy {
			flags |= unix.MNT_DETACH
		}
		return unix.Unmount(dir, flags)
	}
	bin, err := exec.LookPath(helper)
	if err != nil {
		return ErrNoHelper
	}
	args := []string{"-u", "--", dir}
	if lazy {
		args = []string{"-u", "-z", "--", dir}
	}
	cmd := exec.Command(bin, args...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}
	said, err := runHelper(cmd)
	switch {
	case err == nil:
		return nil
	case strings.Contains(said, "busy"):
		return unix.EBUSY
	}
	return fmt.Errorf("%s: %w", said, err)
}

// mountIDOf is the id of what is mounted at dir. It asks the kernel alone, not
// the daemon behind the mount; 0: it cannot tell.
func mountIDOf(dir string) uint64 {
	var st unix.Statx_t
	if unix.Statx(unix.AT_FDCWD, dir, unix.AT_STATX_DONT_SYNC|unix.AT_NO_AUTOMOUNT, unix.STATX_MNT_ID, &st) != nil {
		return 0
	}
	return st.Mnt_id
}
