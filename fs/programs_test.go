package fs

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// programEnv makes the test binary run a program instead of tests: what must
// not run in the process that serves the mount, such as a memory mapping, whose
// page faults would hold a processor that the daemon needs.
const programEnv = "SMFS_TEST_PROGRAM"

// init keeps the announcer on the first thread.
func init() {
	if os.Getenv(programEnv) == "announce" {
		runtime.LockOSThread()
	}
}

var errUsage = errors.New("unknown program")

// runProgram runs one program and prints its error, if any, as an errno.
func runProgram(name string, args []string) int {
	run, ok := programs()[name]
	if !ok {
		run = func([]string) error { return errUsage }
	}
	if err := run(args); err != nil {
		if e, ok := asErrno(err); ok {
			fmt.Printf("errno %d\n", int(e))
		}
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func asErrno(err error) (syscall.Errno, bool) {
	var e syscall.Errno
	ok := errors.As(err, &e)
	return e, ok
}

// program starts one of programs as the user cred (nil: this one) and returns
// its output and its error.
func program(t testing.TB, cred *syscall.Credential, name string, args ...string) (string, error) {
	t.Helper()
	bin := "/proc/self/exe"
	cmd := exec.Command(bin, args...)
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), programEnv+"="+name)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: cred}
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if err == nil {
		return out.String(), nil
	}
	var e int
	if n, _ := fmt.Sscanf(out.String(), "errno %d", &e); n == 1 {
		return out.String(), syscall.Errno(e)
	}
	return out.String(), fmt.Errorf("%s: %w: %s", name, err, errs.String())
}

// programs are what runProgram knows.
func programs() map[string]func([]string) error {
	return map[string]func([]string) error{
		"write":    programWrite,
		"create":   programCreate,
		"unlink":   func(a []string) error { return os.Remove(a[0]) },
		"mkdir":    func(a []string) error { return os.Mkdir(a[0], 0o777) },
		"truncate": func(a []string) error { return os.Truncate(a[0], 3) },
		"empty": func(a []string) error {
			return opening(filepath.Base(a[0]), unix.O_WRONLY|unix.O_TRUNC)(filepath.Dir(a[0]))
		},
		"list":      programList,
		"mmap":      programMmap,
		"mmapopen":  programMmapOpen,
		"hold":      programHold,
		"daemon":    programDaemon,
		"read":      programRead,
		"listxattr": programListxattr,
		"setxattr":  programSetxattr,
		"announce":  programAnnounce,
	}
}
