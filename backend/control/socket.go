package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// ErrForeign says that the process at the other end of a socket belongs to
// another user.
var ErrForeign = errors.New("the other side belongs to another user")

// maxSocketPath is what a unix address holds, less its terminating NUL.
const maxSocketPath = 107

// SocketDirs lists where the socket of a mirror may be made, best first:
// $XDG_RUNTIME_DIR/smfs/ID, for root /run/smfs/ID, then /tmp/smfs-UID/ID.
func SocketDirs(mirrorID string, uid int, env func(string) string) []string {
	var dirs []string
	if x := env("XDG_RUNTIME_DIR"); filepath.IsAbs(x) {
		dirs = append(dirs, filepath.Join(x, "smfs", mirrorID))
	}
	if uid == 0 {
		dirs = append(dirs, filepath.Join("/run/smfs", mirrorID))
	}
	return append(dirs, filepath.Join("/tmp", fmt.Sprintf("smfs-%d", uid), mirrorID))
}

// Listen makes a socket in the first of dirs that can be made safe: it and its
// parent directory are created 0700 and must be the user's own. The caller
// holds the mirror's lock. Connections of other users are dropped. The socket
// file and its directories, if nothing else is in them, go when the listener is
// closed.
func Listen(dirs []string) (net.Listener, error) {
	var errs []error
	for _, dir := range dirs {
		l, err := listenIn(dir)
		if errors.Is(err, os.ErrNotExist) { // another mirror's has just taken the parent away
			l, err = listenIn(dir)
		}
		if err == nil {
			return l, nil
		}
		errs = append(errs, err)
	}
	return nil, fmt.Errorf("make the control socket: %w", errors.Join(errs...))
}

func listenIn(dir string) (net.Listener, error) {
	path := filepath.Join(dir, fmt.Sprintf("%d.sock", os.Getpid()))
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("%s: longer than %d bytes", path, maxSocketPath)
	}
	for _, d := range []string{filepath.Dir(dir), dir} {
		if err := ownDir(d); err != nil {
			return nil, err
		}
	}
	removeDead(dir)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, err
	}
	return &listener{l}, nil
}

// ownDir makes dir, or checks that it is a directory that nobody else can
// write to or enter.
func ownDir(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return &os.PathError{Op: "lstat", Path: dir, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR || int(st.Uid) != os.Geteuid() || st.Mode&0o077 != 0 {
		return fmt.Errorf("%s: not a directory of uid %d with mode 0700", dir, os.Geteuid())
	}
	return nil
}

// removeDead removes the sockets that no process answers.
func removeDead(dir string) {
	old, _ := filepath.Glob(filepath.Join(dir, "*.sock")) // the pattern is well formed
	for _, path := range old {
		conn, err := net.Dial("unix", path)
		if errors.Is(err, syscall.ECONNREFUSED) {
			os.Remove(path)
		} else if err == nil {
			conn.Close()
		}
	}
}

// listener drops connections of other users.
type listener struct{ *net.UnixListener }

func (l *listener) Close() error {
	dir := filepath.Dir(l.Addr().String())
	err := l.UnixListener.Close()
	if os.Remove(dir) == nil { // it stays where a copy of the mirror listens, too
		_ = os.Remove(filepath.Dir(dir)) // and this where other mirrors do
	}
	return err
}

func (l *listener) Accept() (net.Conn, error) {
	for {
		conn, err := l.AcceptUnix()
		if err != nil {
			return nil, err
		}
		if checkPeer(conn, false) == nil {
			return conn, nil
		}
		conn.Close()
	}
}

// dialSocket connects and checks who listens.
func dialSocket(ctx context.Context, path string) (*net.UnixConn, error) {
	if !strings.HasPrefix(path, "/") { // "@" would name an abstract socket
		return nil, fmt.Errorf("socket %q: not an absolute path", path)
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	unixConn := conn.(*net.UnixConn)
	if err := checkPeer(unixConn, os.Geteuid() == 0); err != nil {
		conn.Close()
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	return unixConn, nil
}

// checkPeer asks the kernel who is at the other end: the same user, root, or,
// if anyUser, whoever it is (root asks the engines of others; it never lets
// others into its own).
func checkPeer(conn *net.UnixConn, anyUser bool) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var cred *unix.Ucred
	var credErr error
	err = raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err := errors.Join(err, credErr); err != nil {
		return fmt.Errorf("ask who is at the other end: %w", err)
	}
	if uid := int(cred.Uid); uid != os.Geteuid() && uid != 0 && !anyUser {
		return fmt.Errorf("uid %d: %w", uid, ErrForeign)
	}
	return nil
}
