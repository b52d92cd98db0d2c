package conform

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

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

// p is the path of a name in the scene.
func (s *scene) p(name string) string {
	if name == "." {
		return s.dir
	}
	return s.dir + "/" + name // as it is: "d/." is not "d"
}

// open opens a name; it is closed when the check ends.
func (s *scene) open(name string, flags int, mode ...uint32) int {
	s.t.Helper()
	fd, err := unix.Open(s.p(name), flags|unix.O_CLOEXEC, append(mode, 0o644)[0])
	s.ok(err)
	s.fds = append(s.fds, fd)
	return fd
}

// close closes before the end what open has opened.
func (s *scene) close(fd int) {
	for i := range s.fds {
		if s.fds[i] == fd {
			s.fds = append(s.fds[:i], s.fds[i+1:]...)
			break
		}
	}
	s.ok(unix.Close(fd))
}

// opens tries to open a name.
func (s *scene) opens(name string, flags int) error {
	fd, err := unix.Open(s.p(name), flags|unix.O_CLOEXEC, 0o644)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

func (s *scene) write(name, text string) {
	s.t.Helper()
	s.ok(os.WriteFile(s.p(name), []byte(text), 0o644))
}

// files makes files that contain their own names.
func (s *scene) files(names ...string) {
	s.t.Helper()
	for _, name := range names {
		s.write(name, name)
	}
}

func (s *scene) mkdir(names ...string) {
	s.t.Helper()
	for _, name := range names {
		s.ok(os.Mkdir(s.p(name), 0o755))
	}
}

func (s *scene) symlink(to, name string) {
	s.t.Helper()
	s.ok(unix.Symlink(to, s.p(name)))
}

func (s *scene) link(from, to string) error { return unix.Link(s.p(from), s.p(to)) }

func (s *scene) rename(from, to string, flags ...uint) error {
	return unix.Renameat2(unix.AT_FDCWD, s.p(from), unix.AT_FDCWD, s.p(to), append(flags, 0)[0])
}

// read is what a file contains, or the errno.
func (s *scene) read(name string) string {
	data, err := os.ReadFile(s.p(name))
	if err != nil {
		return errno(err)
	}
	return text(data)
}

// text is data, or what tells it from other data where it is long.
func text(data []byte) string {
	if len(data) <= 100 {
		return fmt.Sprintf("%q", data)
	}
	return fmt.Sprintf("%d bytes %.8x", len(data), sha256.Sum256(data))
}

func (s *scene) readAt(fd, size int, off int64) string {
	s.t.Helper()
	buf := make([]byte, size)
	n, err := unix.Pread(fd, buf, off)
	s.ok(err)
	return text(buf[:n])
}

func (s *scene) writeAt(fd int, data string, off int64) {
	s.t.Helper()
	n, err := unix.Pwrite(fd, []byte(data), off)
	s.ok(err)
	if n != len(data) {
		s.t.Errorf("wrote %d bytes of %d", n, len(data))
	}
}

// stat does not follow symbolic links.
func (s *scene) stat(name string) *unix.Stat_t {
	s.t.Helper()
	var st unix.Stat_t
	s.ok(unix.Lstat(s.p(name), &st))
	return &st
}

func (s *scene) fstat(fd int) *unix.Stat_t {
	s.t.Helper()
	var st unix.Stat_t
	s.ok(unix.Fstat(fd, &st))
	return &st
}

// mode is all that chmod sets, as ls does not show it: "6755".
func (s *scene) mode(name string) string {
	s.t.Helper()
	return fmt.Sprintf("%04o", s.stat(name).Mode&0o7777)
}

// links are the link counts of names.
func (s *scene) links(names ...string) string {
	s.t.Helper()
	var out []string
	for _, name := range names {
		out = append(out, fmt.Sprintf("%s=%d", name, s.stat(name).Nlink))
	}
	return strings.Join(out, " ")
}

// same tells whether two names are one file.
func (s *scene) same(a, b string) bool {
	s.t.Helper()
	return s.stat(a).Ino == s.stat(b).Ino
}

// list is what a directory lists, in order of the names.
func (s *scene) list(name string) string {
	s.t.Helper()
	entries, err := os.ReadDir(s.p(name))
	s.ok(err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

// eventually waits for what comes by itself, a moment after a call.
func (s *scene) eventually(what string, is func() bool) {
	for !is() {
		time.Sleep(time.Millisecond)
	}
	s.note(what, true)
}

// procPath is the way back to an open file.
func procPath(fd int) string { return fmt.Sprintf("/proc/self/fd/%d", fd) }

// tick waits until a file that is changed now gets a later time than one that was
// changed before. The kernel's clock for that is a coarse one.
func (s *scene) tick() {
	now := func() (ts unix.Timespec) {
		s.ok(unix.ClockGettime(unix.CLOCK_REALTIME_COARSE, &ts))
		return ts
	}
	for start := now(); now() == start; {
		time.Sleep(time.Millisecond)
	}
}

// moves records which times of files an act moves on, and says which it must:
// "f:c .:mc" are the change time of f, and modification and change time of the
// scene's directory. Files are looked at in the order given, by what their names
// are before the act, which may rename or remove them. Access times are out of it:
// see differences.
func (s *scene) moves(what, names, want string, act func()) {
	s.t.Helper()
	s.is(what, s.moved(names, act), want)
}

func (s *scene) moved(names string, act func()) string {
	s.t.Helper()
	fds := map[string]int{}
	before := map[string]*unix.Stat_t{}
	for _, name := range strings.Fields(names) {
		fds[name] = s.open(name, unix.O_PATH|unix.O_NOFOLLOW)
		before[name] = s.fstat(fds[name])
	}
	s.tick()
	act()
	var moved []string
	for _, name := range strings.Fields(names) {
		m := later(before[name], s.fstat(fds[name]))
		s.close(fds[name])
		if m != "" {
			moved = append(moved, name+":"+m)
		}
	}
	return strings.Join(moved, " ")
}

func later(a, b *unix.Stat_t) (which string) {
	for _, x := range []struct {
		name string
		a, b unix.Timespec
	}{{"m", a.Mtim, b.Mtim}, {"c", a.Ctim, b.Ctim}} {
		switch {
		case x.b.Nano() > x.a.Nano():
			which += x.name
		case x.b != x.a:
			which += "-" + x.name
		}
	}
	return which
}

// apart runs act in a thread with a working directory and a umask of its own.
func (s *scene) apart(act func()) {
	ended := make(chan any)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		defer func() { ended <- recover() }()
		s.ok(unix.Unshare(unix.CLONE_FS))
		act()
	}()
	if r := <-ended; r != nil {
		panic(r)
	}
}

func init() {
	runtime.LockOSThread() // the process's first thread stays as it is: it is never one apart
}

// umask runs act under a umask.
func (s *scene) umask(mask int, act func()) {
	s.apart(func() {
		unix.Umask(mask)
		act()
	})
}

// person is somebody else than root.
type person struct {
	uid    int
	groups []uint32 // beside the one that has the uid's number
}

const (
	aliceID = 61001
	bobID   = 61002
	staff   = 61100
)

var (
	alice = person{aliceID, []uint32{staff}}
	bob   = person{bobID, nil}
)

// as runs act as another user. os/user's and syscall's ways would change the whole
// process.
func (s *scene) as(who person, act func()) {
	s.apart(func() {
		s.ok(become(who))
		act()
	})
}

// give gives a file to a user and a group (-1: as it is).
func (s *scene) give(name string, uid, gid int) {
	s.t.Helper()
	s.ok(unix.Lchown(s.p(name), uid, gid))
}

// chmod sets what umask, and os.FileMode, would keep off.
func (s *scene) chmod(name string, mode uint32) {
	s.t.Helper()
	s.ok(unix.Chmod(s.p(name), mode))
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
