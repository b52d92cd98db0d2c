package sshd

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/crypto/ssh"
)

// Server is a host with an OpenSSH server. Its methods may be called by the
// test's goroutine only.
type Server struct {
	Host string // 127.0.0.1
	Port int
	User string // whom commands run as: the user of the test

	// ClientHome is a home directory from which the server can be logged in
	// at: .ssh/id_ed25519, .ssh/known_hosts, and .ssh/config that calls the
	// server Alias.
	ClientHome string

	AuthorizedKeys string // file
	HostKey        ssh.PublicKey

	t       testing.TB
	dir     string
	env     []string // of sessions, beside what configure sets
	binary  string
	port    port
	running *listener
}

// Alias is the name of the server in the config of its ClientHome.
const Alias = "smfs-test"

// Start starts a server that ends with the test. It fails the test if the
// machine has no sshd.
func Start(t testing.TB) *Server {
	t.Helper()
	me, err := user.Current()
	check(t, err)
	s := &Server{t: t, dir: t.TempDir(), Host: "127.0.0.1", User: me.Username, binary: find(t)}
	s.AuthorizedKeys = filepath.Join(s.dir, "authorized_keys")
	check(t, os.WriteFile(s.AuthorizedKeys, nil, 0o600))
	s.NewHostKey()
	s.configure()
	s.port, err = reservePort()
	check(t, err)
	t.Cleanup(s.port.free)
	s.Port = s.port.number
	s.Up()
	t.Cleanup(s.Down)
	s.ClientHome = NewHome(t)
	s.Admit(s.ClientHome)
	check(t, os.WriteFile(filepath.Join(s.ClientHome, ".ssh", "config"), []byte(s.clientConfig()), 0o600))
	return s
}

func find(t testing.TB) string {
	t.Helper()
	for _, p := range []string{"/usr/sbin/sshd", "/usr/local/sbin/sshd", "/usr/bin/sshd"} {
		if _, err := os.Stat(p); err == nil {
			return p
		}
	}
	t.Fatal("no sshd on this machine: install openssh-server")
	return ""
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// configure writes sshd_config.
func (s *Server) configure() {
	s.t.Helper()
	if os.Geteuid() == 0 {
		check(s.t, os.MkdirAll("/run/sshd", 0o755)) // compiled into sshd
	}
	// bash reads the user's ~/.bashrc in a session unless it is told that another
	// shell has done so: tests are not to depend on what is in there.
	env := append([]string{"SHLVL=1"}, s.env...)
	lines := []string{
		"SetEnv " + strings.Join(env, " "), // sshd takes the first such line alone
		"HostKey " + s.hostKeyFile(),
		"AuthorizedKeysFile " + s.AuthorizedKeys,
		"StrictModes no", // the directories of tests belong to anybody
		"UsePAM no",
		"PermitRootLogin yes",
		"PasswordAuthentication no",
		"KbdInteractiveAuthentication no",
		"PidFile none",
		"UseDNS no",
		"LogLevel VERBOSE",
		"AllowTcpForwarding yes",
		"PrintMotd no",
	}
	check(s.t, os.WriteFile(s.path("sshd_config"), []byte(strings.Join(lines, "\n")+"\n"), 0o600))
}

// SetEnv adds a variable, NAME=VALUE, to the environment of sessions from now on.
func (s *Server) SetEnv(variable string) {
	s.t.Helper()
	s.env = append(s.env, variable)
	s.configure()
}

func (s *Server) path(name string) string { return filepath.Join(s.dir, name) }
func (s *Server) hostKeyFile() string     { return s.path("host_key") }

// Addr is host:port.
func (s *Server) Addr() string { return net.JoinHostPort(s.Host, fmt.Sprint(s.Port)) }

// URL is the ssh:// URL of an absolute path, or with "" of the host.
func (s *Server) URL(path string) string {
	return fmt.Sprintf("ssh://%s@%s%s", s.User, s.Addr(), path)
}

// Env is the environment of a client: the test's with another HOME and no agent.
func (s *Server) Env() []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "HOME=") && !strings.HasPrefix(kv, "SSH_") {
			env = append(env, kv)
		}
	}
	return append(env, "HOME="+s.ClientHome)
}

// Log is what the server has logged so far.
func (s *Server) Log() string {
	data, err := os.ReadFile(s.path("log"))
	if err != nil && !os.IsNotExist(err) {
		s.t.Fatal(err)
	}
	return string(data)
}

// Up takes the host up, at the port that it has from the start.
func (s *Server) Up() {
	s.t.Helper()
	if s.running != nil {
		return
	}
	l, err := s.port.listen()
	check(s.t, err)
	s.running = &listener{l: l, server: s, live: map[*exec.Cmd]struct{}{}}
	s.running.tasks.Go(s.running.accept)
}

// Down takes the host down: it accepts no connection, and those it had are cut.
func (s *Server) Down() {
	if s.running == nil {
		return
	}
	s.running.close()
	s.running = nil
}

// Cut cuts all connections; new ones are accepted.
func (s *Server) Cut() {
	s.Down()
	s.Up()
}

// listener accepts connections and has a sshd for each.
type listener struct {
	l      *net.TCPListener
	server *Server
	tasks  sync.WaitGroup

	mu     sync.Mutex // guards what follows
	live   map[*exec.Cmd]struct{}
	closed bool
}

func (l *listener) accept() {
	for {
		conn, err := l.l.AcceptTCP()
		if err != nil {
			return // closed
		}
		cmd, err := l.start(conn)
		conn.Close()
		if err != nil {
			l.server.t.Errorf("start sshd: %v", err)
			return
		}
		if cmd != nil {
			l.tasks.Go(func() { l.wait(cmd) })
		}
	}
}

// start gives a connection to a sshd of its own. It returns nil if the
// listener was closed meanwhile.
func (l *listener) start(conn *net.TCPConn) (*exec.Cmd, error) {
	f, err := conn.File()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	s := l.server
	cmd := exec.Command(s.binary, "-i", "-f", s.path("sshd_config"), "-E", s.path("log"))
	cmd.Stdin, cmd.Stdout = f, f
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, nil
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	l.live[cmd] = struct{}{}
	return cmd, nil
}

func (l *listener) wait(cmd *exec.Cmd) {
	cmd.Wait() // an error is what clients that go away leave
	l.mu.Lock()
	delete(l.live, cmd)
	l.mu.Unlock()
}

// close ends the listener and every sshd; each takes its process group along.
func (l *listener) close() {
	l.l.Close()
	l.mu.Lock()
	l.closed = true
	for cmd := range l.live {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
	l.mu.Unlock()
	l.tasks.Wait()
}
