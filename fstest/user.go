package fstest

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// An ordinary user's tests run in a child of the test process, which is that
// user from the start: what a mount belongs to is decided by who makes it.
const (
	userVariable = "SMFS_TEST_AS_USER"
	Ordinary     = 65534 // nobody
)

// AsUser runs the rest of a test as an ordinary user, in a child that runs this
// test alone; it returns false in the parent, where there is nothing left to
// do. Who runs the tests as an ordinary user is one already. The child's home
// and temporary files are made in dir, which the user can reach ("": where
// temporary files are).
func AsUser(t *testing.T, dir string) bool {
	t.Helper()
	if os.Geteuid() != 0 {
		return true
	}
	home, err := os.MkdirTemp(dir, "smfs-user-") // not below a directory of root's
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	if err := os.Chown(home, Ordinary, Ordinary); err != nil {
		t.Fatal(err)
	}
	for _, p := range []struct{ from, to string }{{Build(t), "smfs"}, {"/proc/self/exe", "test"}} {
		if err := copyProgram(p.from, filepath.Join(home, p.to)); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(filepath.Join(home, "test"), "-test.run", "^"+t.Name()+"$", "-test.v")
	cmd.Dir = home
	cmd.Env = append(os.Environ(), userVariable+"="+home, "HOME="+home, "TMPDIR="+home, "USER=nobody", "XDG_RUNTIME_DIR=")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: Ordinary, Gid: Ordinary}}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("as user %d: %v\n%s", Ordinary, err, out)
	}
	return false
}

func copyProgram(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}

// IsUsersHalf tells whether this process is the child in which AsUser runs a test.
func IsUsersHalf() bool { return os.Getenv(userVariable) != "" }

// UserProgram is the smfs under test where an ordinary user may run it.
func UserProgram(t testing.TB) Program {
	t.Helper()
	if home := os.Getenv(userVariable); home != "" {
		return Program{Path: filepath.Join(home, "smfs")}
	}
	return Program{Path: Build(t)}
}

// ForRoot ends a test that mounts disks, or acts for other users, where an ordinary
// user runs it. CI is root.
func ForRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can do what this does")
	}
}
