package conform

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

func aclChecks() []check {
	return []check{
		{name: "ACLs and modes", do: aclModes},
		{name: "ACL errors", do: aclErrors},
		{name: "default ACLs", do: aclDefaults},
		{name: "ACLs let in", do: aclLetsIn, whose: users},
		{name: "ACLs of others", do: aclOfOthers, whose: users},
	}
}

const (
	accessACL  = "system.posix_acl_access"
	defaultACL = "system.posix_acl_default"
)

// What an entry of an access control list is for: acl(5).
const (
	userObj  = 1
	user     = 2
	groupObj = 4
	group    = 8
	mask     = 16
	other    = 32
)

// aclEntry is a struct posix_acl_xattr_entry.
type aclEntry struct {
	tag, perm uint16
	id        uint32
}

// nobody is the id of an entry that is for no one in particular.
const nobody = 1<<32 - 1

// aclOf is a list as the attribute has it.
func aclOf(entries ...aclEntry) []byte {
	b := binary.LittleEndian.AppendUint32(nil, 2)
	for _, e := range entries {
		b = binary.LittleEndian.AppendUint16(b, e.tag)
		b = binary.LittleEndian.AppendUint16(b, e.perm)
		b = binary.LittleEndian.AppendUint32(b, e.id)
	}
	return b
}

// minimal is the list that says what a mode does.
func minimal(u, g, o uint16) []byte {
	return aclOf(aclEntry{userObj, u, nobody}, aclEntry{groupObj, g, nobody}, aclEntry{other, o, nobody})
}

// forOne lets one user in beside the three of a mode, within a mask.
func forOne(u uint16, uid uint32, perm, g, m, o uint16) []byte {
	return aclOf(aclEntry{userObj, u, nobody}, aclEntry{user, perm, uid}, aclEntry{groupObj, g, nobody}, aclEntry{mask, m, nobody}, aclEntry{other, o, nobody})
}

// acl is an access control list as getfacl(1) would say it.
func (s *scene) acl(name, attr string) string {
	buf := make([]byte, 1000)
	n, err := unix.Getxattr(s.p(name), attr, buf)
	if err != nil {
		return errno(err)
	}
	out := ""
	for b := buf[4:n]; len(b) >= 8; b = b[8:] {
		tag, perm, id := binary.LittleEndian.Uint16(b), binary.LittleEndian.Uint16(b[2:]), binary.LittleEndian.Uint32(b[4:])
		who := map[uint16]string{userObj: "u", user: "u", groupObj: "g", group: "g", mask: "m", other: "o"}[tag]
		if id != nobody {
			who += fmt.Sprint(id)
		}
		out += fmt.Sprintf(" %s:%d", who, perm)
	}
	return out
}

// acl(5), correspondence between ACL entries and file permission bits: the mode's
// group bits are the mask.
func aclModes(s *scene) {
	s.files("f")
	s.mkdir("d")
	s.is("none", s.acl("f", accessACL), "ENODATA")
	set := func(name string, list []byte) { s.ok(unix.Setxattr(s.p(name), accessACL, list, 0)) }
	set("f", forOne(6, aliceID, 7, 4, 5, 1))
	s.is("list", s.acl("f", accessACL), fmt.Sprintf(" u:6 u%d:7 g:4 m:5 o:1", aliceID))
	s.is("mode", s.mode("f"), "0651")
	s.chmod("f", 0o720)
	s.is("after chmod", s.acl("f", accessACL), fmt.Sprintf(" u:7 u%d:7 g:4 m:2 o:0", aliceID))
	s.is("mode", s.mode("f"), "0720")
	s.is("listed", s.attrs("f"), "["+accessACL+"]")
	s.ok(s.rename("f", "g"))
	s.is("after a rename", s.acl("g", accessACL), fmt.Sprintf(" u:7 u%d:7 g:4 m:2 o:0", aliceID))
	set("g", minimal(6, 4, 2))
	s.is("what a mode can say is no list", s.acl("g", accessACL), "ENODATA")
	s.is("mode", s.mode("g"), "0642")
	set("g", forOne(7, aliceID, 7, 7, 7, 7))
	s.fails("remove", unix.Removexattr(s.p("g"), accessACL), done)
	s.is("mode", s.mode("g"), "0777")
	s.is("none", s.acl("g", accessACL), "ENODATA")
	set("d", forOne(7, aliceID, 7, 5, 7, 5))
	s.is("a directory's", s.mode("d"), "0775")
	fd := s.open("g", unix.O_RDONLY)
	s.ok(unix.Fsetxattr(fd, accessACL, forOne(6, aliceID, 6, 0, 6, 0), 0))
	s.is("by a descriptor", s.mode("g"), "0660")
	s.moves("times", "g .", "g:c", func() { set("g", forOne(6, aliceID, 4, 0, 4, 0)) })
}

func aclErrors(s *scene) {
	s.files("f")
	s.symlink("f", "l")
	set := func(name, attr string, value []byte) error { return unix.Lsetxattr(s.p(name), attr, value, 0) }
	s.fails("no list", set("f", accessACL, []byte("garbage!")), unix.EOPNOTSUPP)
	s.fails("too short", set("f", accessACL, []byte("x")), unix.EINVAL)
	s.fails("no mask", set("f", accessACL, aclOf(aclEntry{userObj, 6, nobody}, aclEntry{user, 6, 1}, aclEntry{groupObj, 4, nobody}, aclEntry{other, 4, nobody})), unix.EINVAL)
	s.fails("no others", set("f", accessACL, aclOf(aclEntry{userObj, 6, nobody}, aclEntry{groupObj, 4, nobody})), unix.EINVAL)
	s.fails("a default of a file", set("f", defaultACL, minimal(6, 4, 4)), unix.EACCES)
	s.fails("of a link", set("l", accessACL, minimal(6, 4, 4)), unix.EOPNOTSUPP)
	s.fails("remove what is not there", unix.Removexattr(s.p("f"), accessACL), done)
	s.is("mode", s.mode("f"), "0644")
}

// acl(5), object creation and default ACLs: the umask does not count.
func aclDefaults(s *scene) {
	s.mkdir("d", "plain")
	list := forOne(7, aliceID, 7, 5, 7, 0)
	s.ok(unix.Setxattr(s.p("d"), defaultACL, list, 0))
	s.is("the directory's own", s.mode("d"), "0755")
	s.umask(0o077, func() {
		s.ok(unix.Mkdir(s.p("d/sub"), 0o775))
		s.ok(unix.Mknod(s.p("d/node"), unix.S_IFREG|0o666, 0))
		s.ok(unix.Symlink("f", s.p("d/link")))
		fd, err := unix.Open(s.p("d/file"), unix.O_CREAT|unix.O_RDWR|unix.O_CLOEXEC, 0o662)
		s.ok(err)
		s.fds = append(s.fds, fd)
		tmp, err := unix.Open(s.p("d"), unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o666)
		s.ok(err)
		s.fds = append(s.fds, tmp)
		s.note("O_TMPFILE", fmt.Sprintf("%o", s.fstat(tmp).Mode))
		s.ok(unix.Mkdir(s.p("plain/sub"), 0o777))
	})
	s.is("mkdir", s.mode("d/sub"), "0770")
	s.is("its list", s.acl("d/sub", accessACL), fmt.Sprintf(" u:7 u%d:7 g:5 m:7 o:0", aliceID))
	s.is("its default", s.acl("d/sub", defaultACL), fmt.Sprintf(" u:7 u%d:7 g:5 m:7 o:0", aliceID))
	s.is("create", s.mode("d/file"), "0660")
	s.is("its list", s.acl("d/file", accessACL), fmt.Sprintf(" u:6 u%d:7 g:5 m:6 o:0", aliceID))
	s.is("mknod", s.mode("d/node"), "0660")
	s.is("without a default", s.mode("plain/sub"), "0700")
	s.fails("remove", unix.Removexattr(s.p("d"), defaultACL), done)
	s.umask(0o077, func() { s.ok(unix.Mkdir(s.p("d/later"), 0o777)) })
	s.is("mkdir", s.mode("d/later"), "0700")
}

// acl(5), access check algorithm.
func aclLetsIn(s *scene) {
	s.files("f")
	s.chmod("f", 0o600)
	may := func(who string, p person, read, write unix.Errno) {
		s.as(p, func() {
			s.fails(who+" reads", s.opens("f", unix.O_RDONLY), read)
			s.fails(who+" writes", s.opens("f", unix.O_WRONLY), write)
			s.note(who+" may", errno(unix.Faccessat(unix.AT_FDCWD, s.p("f"), unix.R_OK|unix.W_OK, unix.AT_EACCESS)))
		})
	}
	may("alice", alice, unix.EACCES, unix.EACCES)
	s.ok(unix.Setxattr(s.p("f"), accessACL, forOne(6, aliceID, 6, 0, 6, 0), 0))
	may("alice", alice, done, done)
	may("bob", bob, unix.EACCES, unix.EACCES)
	s.chmod("f", 0o640)
	may("alice, masked", alice, done, unix.EACCES)
	s.ok(unix.Setxattr(s.p("f"), accessACL, aclOf(aclEntry{userObj, 6, nobody}, aclEntry{user, 0, bobID},
		aclEntry{groupObj, 0, nobody}, aclEntry{group, 4, staff}, aclEntry{mask, 6, nobody}, aclEntry{other, 6, nobody}), 0))
	may("alice by her group", alice, done, unix.EACCES)
	may("bob, who is named", bob, unix.EACCES, unix.EACCES)
	may("who is not", person{uid: 61003}, done, done)
}

// Only the owner sets a list; one set by who is not in the group takes setgid away.
func aclOfOthers(s *scene) {
	s.files("f", "g")
	s.give("g", aliceID, bobID)
	s.chmod("g", 0o2771)
	s.as(alice, func() {
		s.fails("another's file", unix.Setxattr(s.p("f"), accessACL, minimal(7, 7, 7), 0), unix.EPERM)
		s.fails("her own", unix.Setxattr(s.p("g"), accessACL, forOne(7, bobID, 5, 5, 5, 0), 0), done)
	})
	s.is("mode", s.mode("g"), "0750")
	s.is("another's", s.mode("f"), "0644")
}
