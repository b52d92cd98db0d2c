package conform

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

func xattrChecks() []check {
	return []check{
		{name: "xattrs", do: xattrs},
		{name: "xattr errors", do: xattrErrors},
		{name: "xattr sizes", do: xattrSizes},
		{name: "xattrs until it is full", do: xattrsFull},
		{name: "xattrs of all kinds", do: xattrsOfKinds},
		{name: "xattr namespaces", do: xattrNamespaces},
		{name: "xattrs of read-only files", do: xattrsReadOnly},
	}
}

// getxattr reads one, without following.
func (s *scene) getxattr(name, attr string) string {
	buf := make([]byte, 64<<10)
	n, err := unix.Lgetxattr(s.p(name), attr, buf)
	if err != nil {
		return errno(err)
	}
	return text(buf[:n])
}

// xattr(7).
func xattrs(s *scene) {
	s.files("f")
	s.symlink("f", "l")
	for i, value := range []string{"text", "", "\x00bin\xffary\x00", strings.Repeat("v", 2000)} {
		name := fmt.Sprint("user.", i)
		s.fails("set", unix.Setxattr(s.p("f"), name, []byte(value), 0), done)
		s.is("value", s.getxattr("f", name), text([]byte(value)))
	}
	s.fails("change", unix.Setxattr(s.p("f"), "user.0", []byte("longer text"), unix.XATTR_REPLACE), done)
	s.is("value", s.getxattr("f", "user.0"), `"longer text"`)
	s.fails("create", unix.Setxattr(s.p("f"), "user.new", []byte("n"), unix.XATTR_CREATE), done)
	s.fails("remove", unix.Removexattr(s.p("f"), "user.1"), done)
	s.is("removed", s.getxattr("f", "user.1"), "ENODATA")
	names := s.attrs("f")
	s.note("in this order", names)
	slices.Sort(names)
	s.is("names", names, "[user.0 user.2 user.3 user.new]")
	fd := s.open("f", unix.O_RDONLY)
	s.fails("by a descriptor to read", unix.Fsetxattr(fd, "user.fd", []byte("v"), 0), done)
	s.fails("through a link", unix.Setxattr(s.p("l"), "user.link", []byte("v"), 0), done)
	s.ok(s.rename("f", "g"))
	s.is("after a rename", s.getxattr("g", "user.link"), `"v"`)
	s.is("content", s.read("g"), `"f"`)
	s.files("f")
	s.is("a new file has none", s.attrs("f"), "[]")
}

// setxattr(2), getxattr(2), listxattr(2), ERRORS.
func xattrErrors(s *scene) {
	s.files("f")
	f := s.p("f")
	set := func(name, value string, flags int) error { return unix.Setxattr(f, name, []byte(value), flags) }
	s.ok(set("user.had", "long value", 0))
	s.fails("replace absent", set("user.no", "v", unix.XATTR_REPLACE), unix.ENODATA)
	s.fails("create existing", set("user.had", "v", unix.XATTR_CREATE), unix.EEXIST)
	s.fails("both", set("user.no", "v", unix.XATTR_CREATE|unix.XATTR_REPLACE), unix.ENODATA)
	s.fails("an unknown flag", set("user.no", "v", 1<<5), unix.EINVAL)
	s.fails("no namespace", set("name", "v", 0), unix.EOPNOTSUPP)
	s.fails("an unknown namespace", set("foo.bar", "v", 0), unix.EOPNOTSUPP)
	s.fails("a namespace alone", set("user.", "v", 0), unix.EINVAL)
	s.fails("no name", set("", "v", 0), unix.ERANGE)
	s.fails("remove absent", unix.Removexattr(f, "user.no"), unix.ENODATA)
	s.fails("remove from an unknown namespace", unix.Removexattr(f, "foo.bar"), unix.EOPNOTSUPP)
	get := func(name string, size int) error { _, err := unix.Getxattr(f, name, make([]byte, size)); return err }
	s.fails("get absent", get("user.no", 10), unix.ENODATA)
	s.fails("get too little", get("user.had", 3), unix.ERANGE)
	s.fails("get from an unknown namespace", get("foo.bar", 3), unix.EOPNOTSUPP)
	size, err := unix.Getxattr(f, "user.had", nil)
	s.fails("get the size", err, done)
	s.is("size", size, 10)
	_, err = unix.Listxattr(f, make([]byte, 3))
	s.fails("list too little", err, unix.ERANGE)
	size, err = unix.Listxattr(f, nil)
	s.fails("list the size", err, done)
	s.is("size", size, len("user.had")+1)
	s.fails("absent file", unix.Setxattr(s.p("absent"), "user.k", nil, 0), unix.ENOENT)
	s.is("left", s.attrs("f"), "[user.had]")
}

// xattr(7): a name has 255 bytes at most, a value 64 KiB; on ext4 all of a file's
// must fit in its inode and one block.
func xattrSizes(s *scene) {
	s.files("f")
	set := func(name string, size int) error { return unix.Setxattr(s.p("f"), name, make([]byte, size), 0) }
	s.fails("a long name", set("user."+strings.Repeat("n", 250), 1), done)
	s.fails("too long a name", set("user."+strings.Repeat("n", 251), 1), unix.ERANGE)
	s.fails("get by it", func() error { _, err := unix.Getxattr(s.p("f"), strings.Repeat("n", 256), nil); return err }(), unix.ERANGE)
	s.fails("too long a value", set("user.k", 65537), unix.E2BIG)
	s.fails("more than a block", set("user.k", 65536), unix.ENOSPC)
	s.fails("a block", set("user.k", 4096), unix.ENOSPC)
	for _, size := range []int{3500, 1, 40, 0, 3000} {
		s.fails(fmt.Sprint(size), set("user.k", size), done)
		s.is("value", s.getxattr("f", "user.k"), text(make([]byte, size)))
	}
	s.fails("too much beside it", set("user.other", 2000), unix.ENOSPC)
	s.is("what was there", s.getxattr("f", "user.k"), text(make([]byte, 3000)))
}

func xattrsFull(s *scene) {
	s.files("f")
	s.mkdir("d")
	for _, name := range []string{"f", "d"} {
		count := 0
		var err error
		for ; err == nil && count < 1000; count++ {
			err = unix.Setxattr(s.p(name), fmt.Sprintf("user.number %d", count), []byte("value"), 0)
		}
		s.fails("in the end", err, unix.ENOSPC)
		s.note("how many", count)
		s.is("all are there", len(s.attrs(name)), count-1)
	}
}

// xattr(7): user.* is for files and directories.
func xattrsOfKinds(s *scene) {
	for _, name := range s.kinds() {
		want := unix.EPERM
		if name == "file" || name == "dir" {
			want = done
		}
		s.fails("set on "+name, unix.Lsetxattr(s.p(name), "user.k", []byte(name), 0), want)
		s.note("get from "+name, s.getxattr(name, "user.k"))
		s.note("list of "+name, s.attrs(name))
	}
	fd := s.open("dir", unix.O_RDONLY)
	s.fails("by a directory's descriptor", unix.Fsetxattr(fd, "user.fd", []byte("v"), 0), done)
	s.fails("by a place", unix.Fsetxattr(s.open("file", unix.O_PATH), "user.k", nil, 0), unix.EBADF)
}

// xattr(7): trusted.* is root's, and to others not there.
func xattrNamespaces(s *scene) {
	s.files("f")
	s.symlink("f", "l")
	set := func(name string) error { return unix.Lsetxattr(s.p("f"), name, []byte("v"), 0) }
	s.fails("set trusted", set("trusted.k"), s.unlessRoot(unix.EPERM))
	s.fails("set security", set("security.k"), s.unlessRoot(unix.EPERM))
	s.fails("set user", set("user.k"), done)
	s.fails("set system", set("system.k"), unix.EOPNOTSUPP)
	s.fails("set a capability that is none", set("security.capability"), unix.EINVAL)
	s.note("trusted", s.getxattr("f", "trusted.k"))
	s.note("security", s.getxattr("f", "security.k"))
	s.fails("trusted on a link", unix.Lsetxattr(s.p("l"), "trusted.k", []byte("v"), 0), s.unlessRoot(unix.EPERM))
	s.note("list", s.attrs("f"))
	s.note("list of the link", s.attrs("l"))
	s.fails("remove trusted", unix.Removexattr(s.p("f"), "trusted.k"), s.unlessRoot(unix.EPERM))
}

// user.* goes by the permissions of the file's content.
func xattrsReadOnly(s *scene) {
	s.files("f")
	fd := s.open("f", unix.O_RDWR)
	s.ok(unix.Setxattr(s.p("f"), "user.k", []byte("v"), 0))
	s.chmod("f", 0o444)
	s.fails("set", unix.Setxattr(s.p("f"), "user.k", []byte("w"), 0), s.unlessRoot(unix.EACCES))
	s.fails("set by a descriptor to write", unix.Fsetxattr(fd, "user.k", []byte("w"), 0), s.unlessRoot(unix.EACCES))
	s.chmod("f", 0o200)
	s.note("get", s.getxattr("f", "user.k"))
	s.note("list", s.attrs("f"))
	s.chmod("f", 0o600)
}
