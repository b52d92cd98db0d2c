package fstest

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Program is the smfs under test.
type Program struct {
	Path string
	Env  []string // nil: the test's
}

var built struct {
	once sync.Once
	dir  string
	err  error
	out  []byte
}

// Build builds cmd/smfs, once for all tests of a process. tags are build tags;
// a build with tags is made anew at each call.
func Build(t testing.TB, tags ...string) string {
	t.Helper()
	if len(tags) > 0 {
		file := filepath.Join(t.TempDir(), "smfs")
		if out, err := build(file, tags); err != nil {
			t.Fatalf("build smfs: %v\n%s", err, out)
		}
		return file
	}
	built.once.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "smfs-build-"); built.err == nil {
			built.out, built.err = build(filepath.Join(built.dir, "smfs"), nil)
		}
	})
	if built.err != nil {
		t.Fatalf("build smfs: %v\n%s", built.err, built.out)
	}
	return filepath.Join(built.dir, "smfs")
}

// RemoveBuild removes what Build made. TestMain calls it after the tests.
func RemoveBuild() { os.RemoveAll(built.dir) }

func build(file string, tags []string) ([]byte, error) {
	return exec.Command("go", "build", "-tags", strings.Join(tags, ","), "-o", file, "github.com/silvermirror/smfs/cmd/smfs").CombinedOutput()
}

// Mirror is a directory that the program mirrors.
type Mirror struct {
	Dir     string
	Program Program
	t       testing.TB
}

// NewMirror makes an empty directory a mirror. What runs on it ends with the
// test.
func NewMirror(t testing.TB, p Program, name string) *Mirror {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return MirrorAt(t, p, dir)
}

// MirrorAt is NewMirror for a directory that is there, after which it is called.
func MirrorAt(t testing.TB, p Program, dir string) *Mirror {
	t.Helper()
	m := &Mirror{Dir: dir, Program: p, t: t}
	m.Run("init", m.Dir, "--name", filepath.Base(dir))
	t.Cleanup(m.end)
	return m
}

// end takes the mirror down, gently or not, and shows its log if the test has
// failed.
func (m *Mirror) end() {
	if _, err := m.Try("umount", m.Dir, "--lazy"); err != nil {
		m.Kill()
		unix.Unmount(m.Dir, unix.MNT_DETACH)
	}
	if m.t.Failed() {
		log, _ := os.ReadFile(filepath.Join(m.Dir, ".silvermirror", "smfs.log"))
		m.t.Logf("log of %s:\n%s", m.Dir, log)
	}
}

// Path is the path of a file of the mirror.
func (m *Mirror) Path(rel string) string { return filepath.Join(m.Dir, rel) }

// Store is the git directory of the default resource.
func (m *Mirror) Store() string { return m.Path(".silvermirror/store/mirror.git") }

// Run runs the program on the mirror and returns what it printed; the test
// fails if the program does.
func (m *Mirror) Run(args ...string) string {
	m.t.Helper()
	out, err := m.Try(args...)
	if err != nil {
		m.t.Fatalf("smfs %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// Try runs the program on the mirror and returns what it printed.
func (m *Mirror) Try(args ...string) (string, error) {
	cmd := exec.Command(m.Program.Path, append([]string{"-C", m.Dir}, args...)...)
	cmd.Env = m.Program.Env
	cmd.Dir = "/"
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

// Mount mounts the mirror.
func (m *Mirror) Mount(args ...string) {
	m.t.Helper()
	m.Run(append([]string{"mount", m.Dir}, args...)...)
}

// Umount unmounts it, or ends the engine that runs without a mount.
func (m *Mirror) Umount() {
	m.t.Helper()
	m.Run("umount", m.Dir)
}

// Status is `smfs status --json`.
func (m *Mirror) Status() Status {
	m.t.Helper()
	var s Status
	out := m.Run("status", "--json")
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		m.t.Fatalf("status: %v\n%s", err, out)
	}
	return s
}

// Status holds what tests look at of `smfs status --json`.
type Status struct {
	PID         int  `json:"pid"`
	Mounted     bool `json:"mounted"`
	Passthrough bool `json:"passthrough"`
	LastStart   struct {
		Clean    bool `json:"clean"`
		Scanned  int  `json:"scanned"`
		Replayed int  `json:"replayed"`
	} `json:"last_start"`
	Resources []struct {
		Name       string `json:"name"`
		ID         string `json:"id"`
		Head       string `json:"head"`
		Files      int    `json:"files"`
		Pending    int    `json:"pending"`
		Conflicts  int    `json:"conflicts"`
		StoreBytes int64  `json:"store_bytes"`
		Waiting    []struct{ Path, Reason string }
		Problem    string `json:"problem"`
	} `json:"resources"`
	Outside []string `json:"outside"`
	Covered []string `json:"covered"`
	Peers   []struct {
		Name  string `json:"name"`
		State string `json:"state"`
		Error string `json:"error"`
	} `json:"peers"`
}

// Head is the head of the default resource.
func (m *Mirror) Head() string {
	m.t.Helper()
	return m.Status().Resources[0].Head
}

// Kill kills the daemon as a crash would, and waits until it is gone.
func (m *Mirror) Kill() {
	for _, pid := range m.pids() {
		syscall.Kill(pid, syscall.SIGKILL)
		awaitExit(pid)
	}
}

// Git runs git on the store of the default resource.
func (m *Mirror) Git(args ...string) string {
	m.t.Helper()
	out, err := exec.Command("git", append([]string{"--git-dir=" + m.Store()}, args...)...).CombinedOutput()
	if err != nil {
		m.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}
