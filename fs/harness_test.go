package fs

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/silvermirror/smfs/fs/tree"
	"github.com/silvermirror/smfs/journal"
	"golang.org/x/sys/unix"
)

const userEnv = "SMFS_TEST_USER"

// TestMain lets the test binary also be the programs that the tests run.
func TestMain(m *testing.M) {
	if role := os.Getenv(programEnv); role != "" {
		os.Exit(runProgram(role, os.Args[1:]))
	}
	// The daemon is in this process: a system call that waits for it while it
	// holds a processor must not hold the last one.
	runtime.GOMAXPROCS(max(8, runtime.GOMAXPROCS(0)))
	os.Exit(m.Run())
}

// world is a mirror that is mounted for a test.
type world struct {
	t       *testing.T
	dir     string // where it is mounted
	base    int    // fd of the directory beneath
	m       *Mount
	tree    *tree.Tree
	journal *spyJournal
}

// setup says how a world differs from the usual one.
type setup struct {
	passthrough string
	options     func(w *world, o *Options)
	prepare     func(dir string) // fills the directory before it is mounted over
}

// eachPath runs a test on both data paths; on the ordinary one alone where the
// kernel does not let this user have the other.
func eachPath(t *testing.T, test func(w *world)) { eachPathWith(t, setup{}, test) }

func eachPathWith(t *testing.T, s setup, test func(w *world)) {
	for _, passthrough := range []string{"auto", "off"} {
		if passthrough == "auto" && os.Geteuid() != 0 {
			continue
		}
		t.Run("passthrough="+passthrough, func(t *testing.T) {
			s := s
			s.passthrough = passthrough
			w := newWorld(t, s)
			if passthrough == "auto" && kernelHasPassthrough(t) && !w.m.Passthrough() {
				t.Fatal("root's mount has no passthrough")
			}
			test(w)
		})
	}
}

// kernelHasPassthrough: since Linux 6.9.
func kernelHasPassthrough(t *testing.T) bool {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	var major, minor int
	if _, err := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &major, &minor); err != nil {
		t.Fatal(err)
	}
	return major > 6 || major == 6 && minor >= 9
}

// newWorld mounts a mirror with one resource over a new directory. What it
// leaves is detached and closed at the end, also of a test that failed.
func newWorld(t *testing.T, s setup) *world {
	t.Helper()
	tmp := t.TempDir()
	must(t, os.Chmod(filepath.Dir(tmp), 0o755)) // other users' programs come through here
	w := &world{t: t, dir: filepath.Join(tmp, "mirror")}
	must(t, os.MkdirAll(filepath.Join(w.dir, stateDirName, storeName), 0o755))
	must(t, os.WriteFile(filepath.Join(w.dir, stateDirName, configName), []byte("[::SilverMirror::]\n"), 0o644))
	must(t, os.WriteFile(filepath.Join(w.dir, stateDirName, "node.key"), []byte("secret"), 0o600))
	if s.prepare != nil {
		s.prepare(w.dir)
	}
	w.base = openBase(t, w.dir)
	w.tree = openTree(t, w.base, "mirror")
	w.journal = newSpy(t, w)
	o := Options{
		Base:        w.base,
		Dir:         w.dir,
		Resources:   []ResourceRoot{{Name: "mirror", Tree: w.tree}},
		Journal:     w.journal,
		Control:     "/run/smfs/socket",
		Passthrough: s.passthrough,
		Log:         slog.New(slog.NewTextHandler(testLog{t}, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	if s.options != nil {
		s.options(w, &o)
	}
	m, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	w.m = m
	t.Cleanup(func() { w.end() })
	w.settlePoll()
	return w
}

// end unmounts, and makes sure that nothing stays behind: what the test left in
// use is an error, and is cut off.
func (w *world) end() {
	err := w.m.Unmount(false)
	if err == nil {
		return
	}
	w.t.Errorf("unmount at the end: %v", err)
	if w.m.id.root {
		unix.Unmount(w.dir, unix.MNT_FORCE) // aborts the connection, then says EBUSY
	}
	if err := w.m.Unmount(true); err != nil {
		w.t.Errorf("detach at the end: %v", err)
	}
}

// settlePoll makes the kernel learn that there is no POLL. Go's runtime asks
// for it at every open, while it holds a processor that the daemon in this
// process may need; poll(2) itself lets go of it.
func (w *world) settlePoll() {
	fd, err := unix.Open(w.path(stateDirName, configName), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	must(w.t, err)
	_, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
	must(w.t, err)
	must(w.t, unix.Close(fd))
}

// settleClose waits until no mutation is under way, nor a close that was awaited,
// and the kernel has been told.
func (w *world) settleClose() {
	busy := func(m journal.Mark) bool { return m.Busy }
	for slices.ContainsFunc(w.journal.Snapshot("mirror"), busy) {
		runtime.Gosched()
	}
	w.m.Drain()
}

func openBase(t *testing.T, dir string) int {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	must(t, err)
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

func openTree(t *testing.T, fd int, name string) *tree.Tree {
	tr, err := tree.Open(fd, tree.Options{Resource: name})
	must(t, err)
	t.Cleanup(func() { tr.Close() })
	return tr
}

// path is a path in the mount.
func (w *world) path(names ...string) string {
	return filepath.Join(append([]string{w.dir}, names...)...)
}

// below is the same file in the backing directory.
func (w *world) below(names ...string) string {
	return filepath.Join(append([]string{procPath(w.base)}, names...)...)
}

func (w *world) write(name, text string) {
	w.t.Helper()
	must(w.t, os.WriteFile(w.path(name), []byte(text), 0o644))
}

func (w *world) read(name string) string {
	w.t.Helper()
	b, err := os.ReadFile(w.path(name))
	must(w.t, err)
	return string(b)
}

func (w *world) readBelow(name string) string {
	w.t.Helper()
	b, err := os.ReadFile(w.below(name))
	must(w.t, err)
	return string(b)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErrno(t testing.TB, what string, err error, want syscall.Errno) {
	t.Helper()
	if want == 0 && err == nil {
		return
	}
	var got syscall.Errno
	if e, ok := asErrno(err); ok {
		got = e
	}
	if err == nil || got != want {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

func stat(t testing.TB, path string) *syscall.Stat_t {
	t.Helper()
	var st syscall.Stat_t
	if err := syscall.Lstat(path, &st); err != nil {
		t.Fatalf("stat %s: %v", path, err)
	}
	return &st
}

// testLog shows the mount's log as the test's.
type testLog struct{ t *testing.T }

func (l testLog) Write(b []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}

// spyJournal is a real journal that remembers what was announced, and can
// refuse.
type spyJournal struct {
	*journal.Journal

	mu      sync.Mutex // guards the rest
	more    *sync.Cond // a record has come
	refuse  syscall.Errno
	before  func(journal.Record) // called before a record counts
	records []journal.Record
	syncs   int
}

func newSpy(t *testing.T, w *world) *spyJournal {
	j, err := journal.Open(filepath.Join(t.TempDir(), "journal"), journal.Options{})
	must(t, err)
	t.Cleanup(func() { must(t, j.Close()) })
	s := &spyJournal{Journal: j}
	s.more = sync.NewCond(&s.mu)
	return s
}

func (s *spyJournal) Begin(r journal.Record) (*journal.Op, error) {
	s.mu.Lock()
	refuse, before := s.refuse, s.before
	s.mu.Unlock()
	if refuse != 0 {
		return nil, fmt.Errorf("append record: %w", refuse)
	}
	if before != nil {
		before(r)
	}
	op, err := s.Journal.Begin(r)
	if err == nil {
		s.mu.Lock()
		s.records = append(s.records, r)
		s.more.Broadcast()
		s.mu.Unlock()
	}
	return op, err
}

func (s *spyJournal) Sync() error {
	s.mu.Lock()
	s.syncs++
	s.mu.Unlock()
	return s.Journal.Sync()
}

func (s *spyJournal) synced() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.syncs
}

func (s *spyJournal) setRefuse(e syscall.Errno) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = e
}

// await waits for a record, which the kernel may make the mount write after the
// system call has returned: a close.
func (s *spyJournal) await(kind journal.Kind, path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !slices.ContainsFunc(s.records, func(r journal.Record) bool { return r.Kind == kind && r.Path == path }) {
		s.more.Wait()
	}
}

// take returns the records since the last call.
func (s *spyJournal) take() []journal.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.records
	s.records = nil
	return r
}

// TestAsOrdinaryUser runs all other tests again as a user without privileges,
// who mounts through fusermount3.
func TestAsOrdinaryUser(t *testing.T) {
	if os.Geteuid() != 0 {
		return // all other tests run as an ordinary user anyway
	}
	must(t, os.Chmod(device, 0o666))
	dir, err := os.MkdirTemp("", "smfs-user")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	must(t, os.Chown(dir, nobody, nobody))
	bin := copyBinary(t, dir)
	args := []string{"-test.run=.", "-test.skip=^TestAsOrdinaryUser$|^TestRoot", "-test.timeout=120s"}
	if testing.Verbose() {
		args = append(args, "-test.v")
	}
	cmd := exec.Command(bin, args...)
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), userEnv+"=1", "TMPDIR="+dir, "HOME="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("as user %d: %v\n%s", nobody, err, out)
	}
	if !bytes.Contains(out, []byte("PASS")) {
		t.Fatalf("as user %d nothing ran:\n%s", nobody, out)
	}
}

const nobody = 65534

// copyBinary puts the test binary where another user may run it.
func copyBinary(t *testing.T, dir string) string {
	from, err := os.Open("/proc/self/exe")
	must(t, err)
	defer from.Close()
	name := filepath.Join(dir, "fs.test")
	to, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY, 0o755)
	must(t, err)
	_, err = io.Copy(to, from)
	must(t, err)
	must(t, to.Close())
	must(t, os.Chmod(name, 0o755))
	return name
}
