package conform

import (
	"fmt"
	"os"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// differences are what a mount does otherwise than the filesystem beneath it, each
// with the reason. They are checks like all others, and fail as soon as a mount does
// as the plain directory: then the check belongs to its class, and the difference
// no longer here.
//
// Not here, since it cannot be seen in an hour like this: FIFOs, sockets and devices
// work but stay on this machine; @tags, @history, .smfs and .silvermirror are names
// in the mirror's root alone; on a full disk nothing can be changed, nor be made smaller,
// unless the journal has room to say so.
func differences() []check {
	list := []check{
		{name: "reserved names", do: reservedNames, why: "apply needs names for what it puts into place"},
		{name: "reserved xattrs", do: reservedXattrs, why: "a resource's root carries its id"},
		{name: "no label of SELinux", do: noLabel, where: kind.unlabeled, why: "ls -l asks for that of each file until it is told that there are none"},
		{name: "RENAME_WHITEOUT", do: renameWhiteout, whose: users, why: "for overlay filesystems, which FUSE cannot carry anyway"},
		{name: "devices have no effect", do: devicesOpen, whose: users, why: "a mount is nodev and nosuid unless it is asked for"},
		{name: "collapse and insert a range", do: fallocateShifts, why: "the kernel's FUSE refuses them"},
		{name: "epoll", do: epoll, why: "the kernel takes any FUSE file for one that can be waited for"},
		{name: "inode flags", do: inodeFlags, why: "ioctl is not passed on"},
		{name: "map of extents", do: fiemap, why: "ioctl is not passed on"},
		{name: "access time of what is cached", do: atimeOfCached, where: kind.carriesData, why: "the kernel tells the daemon of no read from its cache"},
		{name: "type of the filesystem", do: filesystemType, why: "it says FUSE"},
		{name: "O_APPEND taken off", do: appendOff, where: kind.carriesItself, why: "the kernel passes on the flags of open(2) to the file beneath, and no change of them"},
		{name: "times of stores to a mapping", do: timesOfStores, where: kind.carriesItself,
			why: "the kernel writes to the file beneath and says nothing: the times show at close"},
		{name: "setuid beside capabilities", do: setuidBeside, whose: users,
			why: "the kernel says that capabilities have to go, not who writes: root's write takes setuid as well"},
	}
	return list
}

// kind is one way to mount.
type kind struct {
	name        string
	whose       audience
	passthrough bool
	args        []string
}

// carriesData: the daemon does.
func (k kind) carriesData() bool { return !k.passthrough }

// carriesItself: the kernel reads and writes the files beneath by itself.
func (k kind) carriesItself() bool { return k.passthrough }

// unlabeled: the kernel has no SELinux.
func (kind) unlabeled() bool {
	_, err := os.Stat("/sys/fs/selinux/enforce")
	return err != nil
}

// quiet is a test that a check may fail.
type quiet struct{ testing.TB }

func (quiet) Errorf(string, ...any) {}

func reservedNames(s *scene) {
	s.fails("create", s.opens(".smfs.tmp.x", unix.O_CREAT|unix.O_WRONLY), done)
	s.fails("mkdir", unix.Mkdir(s.p(".smfs.tmp.y"), 0o755), done)
}

func reservedXattrs(s *scene) {
	s.files("f")
	s.fails("set", unix.Setxattr(s.p("f"), "user.smfs.x", []byte("v"), 0), done)
	s.is("get", s.getxattr("f", "user.smfs.x"), `"v"`)
}

func noLabel(s *scene) {
	s.files("f")
	s.is("get", s.getxattr("f", "security.selinux"), "ENODATA")
}

func renameWhiteout(s *scene) {
	s.files("a")
	s.fails("rename", s.rename("a", "b", unix.RENAME_WHITEOUT), done)
	s.is("a", fmt.Sprintf("%o", s.stat("a").Mode), "20000")
}

func devicesOpen(s *scene) {
	s.ok(unix.Mknod(s.p("null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
	s.fails("open", s.opens("null", unix.O_RDWR), done)
}

func fallocateShifts(s *scene) {
	s.write("f", string(make([]byte, 16384)))
	fd := s.open("f", unix.O_RDWR)
	s.fails("collapse", unix.Fallocate(fd, unix.FALLOC_FL_COLLAPSE_RANGE, 0, 4096), done)
	s.fails("insert", unix.Fallocate(fd, unix.FALLOC_FL_INSERT_RANGE, 4096, 4096), done)
}

func epoll(s *scene) {
	s.files("f")
	set, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	s.ok(err)
	s.fds = append(s.fds, set)
	fd := s.open("f", unix.O_RDONLY)
	s.fails("add a file", unix.EpollCtl(set, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN}), unix.EPERM)
}

func inodeFlags(s *scene) {
	s.files("f")
	_, err := unix.IoctlGetUint32(s.open("f", unix.O_RDONLY), unix.FS_IOC_GETFLAGS)
	s.fails("get", err, done)
}

func fiemap(s *scene) {
	s.files("f")
	var request struct { // struct fiemap
		start, length                    uint64
		flags, mapped, extents, reserved uint32
	}
	request.length = 1 << 20
	const iowr = 0xc020660b // FS_IOC_FIEMAP
	_, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(s.open("f", unix.O_RDONLY)), iowr, uintptr(unsafe.Pointer(&request)))
	s.fails("map", e, done)
}

func atimeOfCached(s *scene) {
	s.files("f")
	s.read("f")
	s.ok(unix.UtimesNanoAt(unix.AT_FDCWD, s.p("f"), old(s.stat("f")), 0))
	s.read("f")
	s.is("the second read moves it", s.stat("f").Atim.Sec > 1, true)
}

func filesystemType(s *scene) {
	var st unix.Statfs_t
	s.ok(unix.Statfs(s.p("."), &st))
	s.note("type", fmt.Sprintf("%#x", st.Type))
}

func appendOff(s *scene) {
	s.write("f", "start")
	fd := s.open("f", unix.O_WRONLY|unix.O_APPEND)
	_, err := unix.FcntlInt(uintptr(fd), unix.F_SETFL, 0)
	s.ok(err)
	s.writeAt(fd, "X", 0)
	s.is("content", s.read("f"), `"Xtart"`)
}

// mmap(3p): mtime and ctime move between the store and msync.
func timesOfStores(s *scene) {
	fd := s.open("f", unix.O_CREAT|unix.O_RDWR) // for good: a close shows what has not been shown
	s.ok(unix.Ftruncate(fd, 9000))
	m := s.mapped(fd, 9000, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	s.moves("store and msync", "f", "f:mc", func() {
		m[5000] = 'x'
		s.ok(unix.Msync(m, unix.MS_SYNC))
	})
}

func setuidBeside(s *scene) {
	s.write("f", "text")
	s.ok(unix.Setxattr(s.p("f"), capabilityAttr, capability, 0))
	s.chmod("f", 0o6777)
	s.writeAt(s.open("f", unix.O_WRONLY), "x", 0)
	s.is("capabilities", s.getxattr("f", capabilityAttr), "ENODATA")
	s.is("mode", s.mode("f"), "6777")
}
