package conform

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// check is one rule, or a few that belong together.
type check struct {
	name  string
	do    func(s *scene)
	whose audience
	why   string          // a mount does otherwise: see differences
	where func(kind) bool // the mounts that do; nil: all
}

// differs tells whether a kind of mount does otherwise.
func (c check) differs(k kind) bool { return c.why != "" && (c.where == nil || c.where(k)) }

// audience is who a check is for.
type audience int

const (
	everybody audience = iota
	users              // root, where others may enter: the check acts as several users
)

// scene is where a check runs: a directory of its own, empty, and the transcript.
type scene struct {
	t          testing.TB
	dir        string
	root       bool // root runs it
	transcript strings.Builder
	fds        []int    // closed at the end
	maps       [][]byte // unmapped at the end
}

// stopped is what a check panics with that cannot go on. The failure is reported
// already.
type stopped struct{}

// play runs a check in dir, which it makes, and returns the transcript.
func play(t testing.TB, c check, dir string) string {
	s := &scene{t: t, dir: dir, root: os.Geteuid() == 0}
	defer s.end()
	s.guard(func() {
		s.ok(os.Mkdir(dir, 0o755))
		s.ok(os.Chmod(dir, 0o755))
		c.do(s)
		if s.transcript.Len() == 0 {
			t.Errorf("the transcript is empty")
		}
		s.leaves()
	})
	return s.transcript.String()
}

// end lets go of what the check has open; it may have let go of some by itself.
func (s *scene) end() {
	for _, m := range s.maps {
		_ = unix.Munmap(m)
	}
	for _, fd := range s.fds {
		_ = unix.Close(fd)
	}
}

// guard runs act and ends with it where it stops.
func (s *scene) guard(act func()) {
	defer func() {
		if r := recover(); r != nil && r != (stopped{}) {
			panic(r)
		}
	}()
	act()
}

// ok stops the check unless err is nil: for what is not the rule under test.
func (s *scene) ok(err error) {
	if err != nil {
		s.t.Helper()
		s.t.Errorf("%v", err)
		panic(stopped{})
	}
}

// note records an observation that may differ between filesystems, but not
// between the mount and what is beneath it.
func (s *scene) note(what string, got any) {
	fmt.Fprintf(&s.transcript, "%s: %v\n", what, got)
}

// is records an observation, and says what it must be.
func (s *scene) is(what string, got, want any) {
	s.t.Helper()
	s.note(what, got)
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		s.t.Errorf("%s: %s, want %s", what, g, w)
	}
}

// fails records how a call ended and says how it must: with an errno, or with
// none (done).
func (s *scene) fails(what string, err error, want syscall.Errno) {
	s.t.Helper()
	s.is(what, errno(err), errno(want))
}

const done = syscall.Errno(0)

// unlessRoot is what an ordinary user gets where root may.
func (s *scene) unlessRoot(e syscall.Errno) syscall.Errno {
	if s.root {
		return done
	}
	return e
}

// errno is the name of an errno.
func errno(err error) string {
	switch e := err.(type) {
	case nil:
		return "done"
	case syscall.Errno:
		if e == done {
			return "done"
		}
		return unix.ErrnoName(e)
	case interface{ Unwrap() error }:
		return errno(e.Unwrap())
	default:
		return err.Error()
	}
}

// leaves records the tree that the check leaves.
func (s *scene) leaves() {
	s.ok(filepath.WalkDir(s.dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(s.dir, path)
		if err == nil {
			s.note(fmt.Sprintf("leaves %q", rel), s.describe(rel))
		}
		return err
	}))
}

// describe is all that a name shows and a transcript can have.
func (s *scene) describe(name string) string {
	st := s.stat(name)
	out := fmt.Sprintf("%06o %d:%d links %d size %d", st.Mode, st.Uid, st.Gid, st.Nlink, st.Size)
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		out += " " + s.read(name)
	case unix.S_IFLNK:
		target, err := os.Readlink(s.p(name))
		s.ok(err)
		out += " -> " + text([]byte(target))
	case unix.S_IFCHR, unix.S_IFBLK:
		out += fmt.Sprintf(" device %x", st.Rdev)
	}
	for _, attr := range s.attrs(name) {
		value := make([]byte, 64<<10)
		n, err := unix.Lgetxattr(s.p(name), attr, value)
		s.ok(err)
		out += fmt.Sprintf(" %s=%s", attr, text(value[:n]))
	}
	return out
}

// attrs lists the extended attributes.
func (s *scene) attrs(name string) []string {
	s.t.Helper()
	buf := make([]byte, 64<<10)
	n, err := unix.Llistxattr(s.p(name), buf)
	s.ok(err)
	return attrNames(buf[:n])
}

func attrNames(list []byte) []string {
	var names []string
	for name := range bytes.SplitSeq(list, []byte{0}) {
		if len(name) > 0 {
			names = append(names, string(name))
		}
	}
	return names
}
