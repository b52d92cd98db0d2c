package peer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/silvermirror/smfs/fstest/sshd"
)

// runTests is the test binary's main. As the remote command it is a node that
// stores pushes in the directory it is told, and does worse for other names.
func runTests(m *testing.M) int {
	if len(os.Args) < 3 || os.Args[1] != "serve" || os.Args[2] != "--stdio" {
		return m.Run()
	}
	dir := "."
	if len(os.Args) > 3 {
		dir = os.Args[3]
	}
	if err := remoteNode(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func remoteNode(dir string) error {
	if !filepath.IsAbs(dir) {
		return fmt.Errorf("no mirror at %s\n\x1b[31mtry another", dir)
	}
	s, err := Open(context.Background(), stdio{}, Options{Hello: testHello("remote"), Handler: &handler{
		push: func(_ context.Context, _ *Session, p Push, r io.Reader) error {
			if p.Resource == "exit" {
				fmt.Fprintln(os.Stderr, "out of memory")
				os.Exit(3)
			}
			f, err := os.Create(filepath.Join(dir, p.Resource))
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = io.Copy(f, r)
			return err
		},
	}})
	if err != nil {
		return err
	}
	<-s.Done()
	return nil // reads of standard input cannot be cancelled: not closed
}

type stdio struct{}

func (stdio) Read(p []byte) (int, error)  { return os.Stdin.Read(p) }
func (stdio) Write(p []byte) (int, error) { return os.Stdout.Write(p) }
func (stdio) Close() error                { return errors.Join(os.Stdin.Close(), os.Stdout.Close()) }

func self(t testing.TB) string {
	t.Helper()
	exe, err := os.Executable()
	must(t, err)
	return exe
}

func dialer(home string) *Dialer { return &Dialer{Home: home, Login: "nobody-here"} }

func dial(t testing.TB, d *Dialer, url string) (*Remote, error) {
	t.Helper()
	u, err := ParseURL(url)
	must(t, err)
	return d.Dial(context.Background(), u, self(t))
}

// connectTo opens a session over ssh that ends with the test.
func connectTo(t testing.TB, d *Dialer, url string) *Session {
	t.Helper()
	r, err := dial(t, d, url)
	must(t, err)
	s, err := Open(context.Background(), r, Options{Initiator: true, Hello: testHello("local")})
	must(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

func TestOverSSH(t *testing.T) {
	srv := sshd.Start(t)
	before := runtime.NumGoroutine()
	dir := filepath.Join(t.TempDir(), "it's a $HOME")
	must(t, os.Mkdir(dir, 0o755))
	for name, url := range map[string]string{
		"url":   (&URL{User: srv.User, Host: srv.Host, Port: srv.Port, Path: dir}).String(),
		"alias": sshd.Alias + ":" + dir,
	} {
		s := connectTo(t, dialer(srv.ClientHome), url)
		if got := s.PeerHello().Name; got != "remote" {
			t.Errorf("%s: met %q", name, got)
		}
		data := noise(1, 5<<20)
		must(t, s.Push(context.Background(), Push{Resource: name, Head: commitID("h")}, writes(data)))
		got, err := os.ReadFile(filepath.Join(dir, name))
		must(t, err)
		sameBytes(t, got, data)
		must(t, s.Close())
	}
	settle(t, before)
}

func TestHostKeys(t *testing.T) {
	srv := sshd.Start(t)
	known := filepath.Join(srv.ClientHome, ".ssh", "known_hosts")
	saved, err := os.ReadFile(known)
	must(t, err)
	fail := func(want error, texts ...string) {
		t.Helper()
		r, err := dial(t, dialer(srv.ClientHome), srv.URL("/x"))
		if err == nil {
			r.Close()
		}
		wantErr(t, err, want)
		var key *HostKeyError
		if !errors.As(err, &key) {
			t.Fatalf("not typed: %v", err)
		}
		for _, text := range texts {
			if !strings.Contains(err.Error(), text) {
				t.Errorf("error %q lacks %q", err, text)
			}
		}
	}
	must(t, os.Remove(known)) // as good as empty
	print := ssh.FingerprintSHA256(srv.HostKey)
	fail(ErrHostUnknown, print, fmt.Sprintf("ssh-keyscan -p %d 127.0.0.1 >> %s", srv.Port, known), fmt.Sprintf("`ssh -p %d %s@127.0.0.1`", srv.Port, srv.User))
	if _, err := os.Stat(known); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("known_hosts after an unknown key: %v", err)
	}
	must(t, os.WriteFile(known, saved, 0o600))
	s := connectTo(t, dialer(srv.ClientHome), srv.URL(t.TempDir()))
	s.Close()

	old := ssh.FingerprintSHA256(srv.HostKey)
	srv.NewHostKey()
	fail(ErrHostChanged, old, ssh.FingerprintSHA256(srv.HostKey), known+":1", fmt.Sprintf("ssh-keygen -R '[127.0.0.1]:%d'", srv.Port))

	must(t, os.WriteFile(known, append([]byte("@revoked * "), ssh.MarshalAuthorizedKey(srv.HostKey)...), 0o600))
	fail(ErrHostChanged, "@revoked")
}

// A host that is known by a key of a type it does not have is not trusted.
func TestHostKeyOfAnotherType(t *testing.T) {
	srv := sshd.Start(t)
	const ecdsa = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBEmKSENjQEezOmxkZMy7opKgwFB9nkt5YRrYMjNuG5N87uRgg6CLrbo5wAdT/y6v0mKV0U2w0WZ2YB/++Tpockg="
	line := fmt.Sprintf("[%s]:%d %s\n", srv.Host, srv.Port, ecdsa)
	must(t, os.WriteFile(filepath.Join(srv.ClientHome, ".ssh", "known_hosts"), []byte(line), 0o600))
	_, err := dial(t, dialer(srv.ClientHome), srv.URL("/x"))
	wantErr(t, err, ErrHostChanged)
	if !strings.Contains(err.Error(), "none of a known type") {
		t.Errorf("error %q", err)
	}
}

func TestKeys(t *testing.T) {
	srv := sshd.Start(t)
	ssh := filepath.Join(srv.ClientHome, ".ssh")
	dir := t.TempDir()
	fail := func(d *Dialer, texts ...string) {
		t.Helper()
		r, err := dial(t, d, srv.URL(dir))
		if err == nil {
			r.Close()
		}
		wantErr(t, err, ErrAuth)
		for _, text := range texts {
			if !strings.Contains(err.Error(), text) {
				t.Errorf("error %q lacks %q", err, text)
			}
		}
	}
	d := dialer(srv.ClientHome)
	stranger := filepath.Join(ssh, "id_ed25519")
	sshd.NewKey(t, stranger, "") // another than was admitted
	fail(d, "accepts none of our keys (id_ed25519 SHA256:", "authorized_keys")
	must(t, os.Chmod(stranger, 0o644))
	fail(d, "others may read it")
	must(t, os.Remove(stranger))
	fail(d, "no key to log in as "+srv.User+"@127.0.0.1")

	locked := filepath.Join(ssh, "locked")
	pub := sshd.NewKey(t, locked, "secret")
	srv.Authorize([]byte(marshal(pub)))
	config := filepath.Join(ssh, "config")
	must(t, os.WriteFile(config, []byte("IdentityFile ~/.ssh/locked\nIdentitiesOnly yes\n"), 0o600))
	fail(d, "has a passphrase: give it to an agent by `ssh-add "+locked+"`")

	d.Agent = startAgent(t, locked, "secret")
	connectTo(t, d, srv.URL(dir)).Close()
	must(t, os.Remove(locked)) // its public half and the agent do
	connectTo(t, d, srv.URL(dir)).Close()
	must(t, os.Remove(config))
	connectTo(t, d, srv.URL(dir)).Close() // any key of the agent

	must(t, os.WriteFile(config, []byte("IdentityAgent none\n"), 0o600))
	fail(d)
	d.Agent = filepath.Join(dir, "gone")
	must(t, os.Remove(config))
	fail(d, "the ssh agent does not answer")
}

func marshal(k ssh.PublicKey) string { return string(ssh.MarshalAuthorizedKey(k)) }

// startAgent serves an agent that has the key.
func startAgent(t *testing.T, file, passphrase string) (socket string) {
	t.Helper()
	data, err := os.ReadFile(file)
	must(t, err)
	key, err := ssh.ParseRawPrivateKeyWithPassphrase(data, []byte(passphrase))
	must(t, err)
	ring := agent.NewKeyring()
	must(t, ring.Add(agent.AddedKey{PrivateKey: key}))
	dir, err := os.MkdirTemp("", "agent") // t.TempDir may be too long for a socket
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	must(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go agent.ServeAgent(ring, c)
		}
	}()
	return l.Addr().String()
}

func TestProxyJump(t *testing.T) {
	gate, inner := sshd.Start(t), sshd.Start(t)
	inner.Admit(gate.ClientHome)
	config := filepath.Join(gate.ClientHome, ".ssh", "config")
	write := func(format string, args ...any) {
		t.Helper()
		must(t, os.WriteFile(config, fmt.Appendf(nil, format, args...), 0o600))
	}
	text := fmt.Sprintf("Host inner\n HostName 127.0.0.1\n Port %d\n User %s\n ProxyJump gate\nHost gate\n HostName 127.0.0.1\n Port %d\n User %s\n",
		inner.Port, inner.User, gate.Port, gate.User)
	write("%s", text)
	before := runtime.NumGoroutine()
	s := connectTo(t, dialer(gate.ClientHome), "inner:"+t.TempDir())
	_, err := s.Ping(context.Background())
	must(t, err)
	if !strings.Contains(gate.Log(), "Accepted publickey") {
		t.Errorf("nobody came through the gate:\n%s", gate.Log())
	}
	must(t, s.Close())

	inner.Down()
	_, err = dial(t, dialer(gate.ClientHome), "inner:/x")
	wantErr(t, err, ErrUnreachable)
	inner.Up()
	write("%s", strings.Replace(text, "Host gate", "Host gate\n ProxyJump inner", 1))
	if _, err = dial(t, dialer(gate.ClientHome), "inner:/x"); err == nil || !strings.Contains(err.Error(), "circle") {
		t.Errorf("jumps in a circle: %v", err)
	}
	write("%s", strings.Replace(text, "HostName 127.0.0.1", "HostName -oProxyCommand=x", 1))
	if _, err = dial(t, dialer(gate.ClientHome), "inner:/x"); err == nil || !strings.Contains(err.Error(), "dash") {
		t.Errorf("host that looks like an option: %v", err)
	}
	settle(t, before)
}

// What the remote command says before it ends is in the error.
func TestRemoteErrors(t *testing.T) {
	srv := sshd.Start(t)
	d := dialer(srv.ClientHome)
	begin := func(url, command string) error {
		t.Helper()
		u, err := ParseURL(url)
		must(t, err)
		r, err := d.Dial(context.Background(), u, command)
		must(t, err)
		s, err := Open(context.Background(), r, Options{Initiator: true})
		if err == nil {
			s.Close()
		}
		return err
	}
	err := begin(srv.URL(""), "smfs-that-is-not-there")
	var remote *RemoteError
	if !errors.As(err, &remote) || !remote.NotFound() || !strings.Contains(err.Error(), "--command PATH") || !strings.Contains(err.Error(), "not found") {
		t.Errorf("no such command: %v", err)
	}
	err = begin(srv.URL(""), self(t)) // no directory
	if !errors.As(err, &remote) || remote.Status != 1 || !strings.Contains(err.Error(), `no mirror at . | \x1b[31mtry another`) {
		t.Errorf("command that fails: %v", err)
	}
	err = begin(srv.URL("/x"), "/bin/echo")
	if err == nil || !strings.Contains(err.Error(), `not smfs: it said "serve --stdio /x"`) {
		t.Errorf("another command: %v", err)
	}

	s := connectTo(t, d, srv.URL(t.TempDir()))
	err = s.Push(context.Background(), Push{Resource: "exit", Head: commitID("h")}, writes([]byte("x")))
	if !errors.As(err, &remote) || remote.Status != 3 || remote.Stderr != "out of memory" {
		t.Errorf("command that died: %v", err)
	}
	wantErr(t, ended(t, s), ErrPeerClosed)
}

func TestHostGoesDown(t *testing.T) {
	srv := sshd.Start(t)
	d := dialer(srv.ClientHome)
	s := connectTo(t, d, srv.URL(t.TempDir()))
	srv.Down()
	wantErr(t, ended(t, s), ErrPeerClosed)
	_, err := dial(t, d, srv.URL("/x"))
	wantErr(t, err, ErrUnreachable)
	srv.Up()
	connectTo(t, d, srv.URL(t.TempDir())).Close()
}

// A host that ends the connection in the handshake, as one does that has too
// many, is not reachable now.
func TestConnectionLostInHandshake(t *testing.T) {
	for _, reset := range []bool{false, true} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		defer l.Close()
		go func() {
			c, err := l.Accept()
			if err != nil {
				t.Error(err)
				return
			}
			c.Read(make([]byte, 1))
			if reset {
				err = c.(*net.TCPConn).SetLinger(0)
			}
			if err := errors.Join(err, c.Close()); err != nil {
				t.Error(err)
			}
		}()
		_, err = dialer(sshd.NewHome(t)).Dial(context.Background(), &URL{Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port}, "")
		wantErr(t, err, ErrUnreachable)
		if !strings.Contains(err.Error(), "the connection was lost") {
			t.Errorf("says %v", err)
		}
	}
}

// A host that accepts connections and says nothing is waited for as long as
// the caller likes.
func TestDialEndsWithContext(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	ctx, cancel := context.WithCancelCause(context.Background())
	why := errors.New("enough")
	go func() {
		c, err := l.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		c.Read(make([]byte, 1)) // the dialer is in the handshake
		cancel(why)
		io.Copy(io.Discard, c)
	}()
	_, err = dialer(sshd.NewHome(t)).Dial(ctx, &URL{Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port}, "")
	wantErr(t, err, why)
	wantErr(t, err, ErrUnreachable)
}

// So is an agent that does not answer.
func TestHungAgent(t *testing.T) {
	srv := sshd.Start(t)
	dir, err := os.MkdirTemp("", "agent")
	must(t, err)
	defer os.RemoveAll(dir)
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	must(t, err)
	defer l.Close()
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		c, err := l.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		c.Read(make([]byte, 1)) // it is asked
		cancel()
		io.Copy(io.Discard, c)
	}()
	d := dialer(srv.ClientHome)
	d.Agent = l.Addr().String()
	_, err = d.Dial(ctx, &URL{Host: srv.Host, Port: srv.Port, User: srv.User}, "")
	wantErr(t, err, context.Canceled)
}

// Only modern algorithms are offered.
func TestAlgorithms(t *testing.T) {
	m := modern()
	for _, list := range [][]string{m.Ciphers, m.MACs, m.KeyExchanges, m.HostKeys, m.PublicKeyAuths} {
		if len(list) == 0 {
			t.Errorf("a list is empty: %+v", m)
		}
		for _, a := range list {
			for _, old := range []string{"sha1", "cbc", "dss", "rc4", "arcfour", "3des", "md5"} {
				if strings.Contains(a, old) || a == ssh.KeyAlgoRSA {
					t.Errorf("%s is offered", a)
				}
			}
		}
	}
}

func TestNewDialer(t *testing.T) {
	env := map[string]string{"HOME": "/somewhere", "SSH_AUTH_SOCK": "/sock"}
	d := NewDialer(func(k string) string { return env[k] }, nil)
	if d.Home != "/somewhere" || d.Agent != "/sock" || d.Login == "" {
		t.Errorf("dialer %+v", d)
	}
	delete(env, "HOME")
	if d := NewDialer(func(k string) string { return env[k] }, nil); !filepath.IsAbs(d.Home) {
		t.Errorf("without HOME: %+v", d)
	}
}
