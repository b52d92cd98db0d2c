package peer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"
)

// ErrUnreachable says that no connection to a host came about.
var ErrUnreachable = errors.New("host is not reachable")

const maxJumps = 8

// Dialer reaches peers by ssh as OpenSSH's client would, without asking
// anything. Safe for concurrent use.
type Dialer struct {
	Home   string       // where .ssh is
	Login  string       // the local user, and the remote one if nothing else is said
	Agent  string       // socket of an ssh agent; "": none
	System string       // the system's ssh_config; "": none
	Log    *slog.Logger // nil: discarded
}

// NewDialer takes its places from the environment: $HOME before the password
// database, and SSH_AUTH_SOCK.
func NewDialer(env func(string) string, log *slog.Logger) *Dialer {
	d := &Dialer{Home: env("HOME"), Login: first(env("USER"), env("LOGNAME")), Agent: env("SSH_AUTH_SOCK"), System: "/etc/ssh/ssh_config", Log: log}
	if u, err := user.Current(); err == nil {
		d.Home, d.Login = first(d.Home, u.HomeDir), first(u.Username, d.Login)
	}
	return d
}

// target is one host on the way, with all that is known of it.
type target struct {
	addr  string // host:port
	user  string
	named []string // identity files of the config
	only  bool
	agent string
	hosts *hostKeys
	jump  string // how to get there
}

// Dial logs in at the peer's host and starts `<command> serve --stdio [path]`
// there; an empty command is "smfs". ctx limits that. The errors are typed:
// ErrUnreachable, *HostKeyError, *AuthError, or what ended the context.
func (d *Dialer) Dial(ctx context.Context, u *URL, command string) (*Remote, error) {
	client, err := d.login(ctx, u, nil, 0)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", u, whyDial(ctx, err))
	}
	r, err := startRemote(ctx, client, remoteCommand(command, u.Path))
	if err != nil {
		client.Close()
		return nil, fmt.Errorf("start smfs at %s: %w", u, whyDial(ctx, err))
	}
	return r, nil
}

// whyDial prefers the end of the context to what came of it.
func whyDial(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return fmt.Errorf("%w: %w", ErrUnreachable, cause)
	}
	return err
}

// login connects to a host, through the ones its config tells. through is the
// host to go through instead, if not nil; it is closed if this fails.
func (d *Dialer) login(ctx context.Context, u *URL, through *hop, depth int) (h *hop, err error) {
	defer func() {
		if err != nil && through != nil {
			through.Close()
		}
	}()
	if depth > maxJumps {
		return nil, fmt.Errorf("more than %d jumps: does ProxyJump go in a circle?", maxJumps)
	}
	t, err := d.resolve(u)
	if err != nil {
		return nil, err
	}
	if through == nil && t.jump != "" {
		if through, err = d.jumps(ctx, t.jump, depth); err != nil {
			return nil, err
		}
	}
	return d.handshake(ctx, t, through)
}

// jumps connects to the hosts of a ProxyJump, one through the other.
func (d *Dialer) jumps(ctx context.Context, list string, depth int) (*hop, error) {
	var last *hop
	for _, name := range strings.Split(list, ",") {
		u, err := parseJump(name)
		if err == nil {
			var next *hop
			if next, err = d.login(ctx, u, last, depth+1); err == nil {
				last = next
				continue
			}
		} else if last != nil {
			last.Close()
		}
		return nil, fmt.Errorf("jump through %s: %w", clean(name, maxName), err)
	}
	return last, nil
}

// parseJump reads [user@]host[:port] or an ssh URL.
func parseJump(s string) (*URL, error) {
	if !strings.Contains(s, "://") {
		s = "ssh://" + s
	}
	u, err := ParseURL(s)
	if err == nil && u.Path != "" {
		return nil, fmt.Errorf("%w: a path in ProxyJump", ErrURL)
	}
	return u, err
}

// resolve finds out what the config says of a host.
func (d *Dialer) resolve(u *URL) (*target, error) {
	c, err := readConfig(d.Home, d.System, u.Host, u.User, d.Login)
	if err != nil {
		return nil, err
	}
	for _, w := range c.warnings {
		d.log().Warn("ssh config", "host", u.Host, "problem", w)
	}
	host := u.Host
	if c.hostName != "" {
		host = expand(c.hostName, map[byte]string{'h': u.Host})
	}
	t := &target{user: first(u.User, c.user, d.Login), only: strings.EqualFold(c.identitiesOnly, "yes"), agent: d.Agent}
	if err := errors.Join(checkHost(host), checkUser(t.user)); err != nil {
		return nil, fmt.Errorf("ssh config for %s: %w", u.Host, err)
	}
	port := 22
	if u.Port != 0 {
		port = u.Port
	} else if c.port != "" {
		if port, err = parsePort(c.port); err != nil {
			return nil, fmt.Errorf("ssh config for %s: %w", u.Host, err)
		}
	}
	t.addr = net.JoinHostPort(host, fmt.Sprint(port))
	if c.proxyJump != "" && !strings.EqualFold(c.proxyJump, "none") {
		t.jump = c.proxyJump
	}
	switch a := d.expandPath(c.identityAgent, t, host); {
	case strings.EqualFold(a, "none"):
		t.agent = ""
	case a != "" && a != "SSH_AUTH_SOCK":
		t.agent = a
	}
	for _, f := range c.identityFiles {
		if !strings.EqualFold(f, "none") {
			t.named = append(t.named, d.expandPath(f, t, host))
		}
	}
	t.hosts, err = readKnownHosts(d.knownHosts(c, t, host), t.user)
	return t, err
}

func (d *Dialer) knownHosts(c *sshConfig, t *target, host string) []string {
	files := c.knownHosts
	if files == nil {
		files = []string{"~/.ssh/known_hosts", "~/.ssh/known_hosts2"}
	}
	global := c.globalHosts
	if global == nil && d.System != "" {
		dir := filepath.Dir(d.System)
		global = []string{filepath.Join(dir, "ssh_known_hosts"), filepath.Join(dir, "ssh_known_hosts2")}
	}
	var out []string
	for _, f := range append(append([]string{}, files...), global...) {
		out = append(out, d.expandPath(f, t, host))
	}
	return out
}

func (d *Dialer) expandPath(p string, t *target, host string) string {
	p = expand(p, map[byte]string{'d': d.Home, 'u': d.Login, 'r': t.user, 'h': host})
	return expandTilde(p, d.Home)
}

func (d *Dialer) usualKeys() []string {
	var out []string
	for _, name := range []string{"id_ed25519", "id_ecdsa", "id_rsa"} {
		out = append(out, filepath.Join(d.Home, ".ssh", name))
	}
	return out
}

func (d *Dialer) log() *slog.Logger {
	if d.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return d.Log
}

// hop is a host we are logged in at, and the ones before it.
type hop struct {
	*ssh.Client
	through *hop
}

func (h *hop) Close() error {
	err := h.Client.Close()
	h.Client.Wait()
	if h.through != nil {
		h.through.Close()
	}
	return err
}

func (d *Dialer) handshake(ctx context.Context, t *target, through *hop) (*hop, error) {
	conn, err := connect(ctx, t.addr, through)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	keys := openKeyring(ctx, t.named, d.usualKeys(), t.agent, t.only)
	defer keys.close()
	c, channels, requests, err := ssh.NewClientConn(conn, t.addr, clientConfig(t, keys))
	if err != nil {
		conn.Close()
		return nil, explainHandshake(err, t, keys)
	}
	return &hop{Client: ssh.NewClient(c, channels, requests), through: through}, nil
}

func clientConfig(t *target, keys *keyring) *ssh.ClientConfig {
	m := modern()
	return &ssh.ClientConfig{
		Config:            ssh.Config{KeyExchanges: m.KeyExchanges, Ciphers: m.Ciphers, MACs: m.MACs},
		User:              t.user,
		Auth:              []ssh.AuthMethod{ssh.PublicKeys(keys.signers...)},
		HostKeyCallback:   t.hosts.check,
		HostKeyAlgorithms: t.hosts.algorithms(t.addr),
		ClientVersion:     "SSH-2.0-smfs",
	}
}

// explainHandshake makes a typed error of a failed handshake.
func explainHandshake(err error, t *target, keys *keyring) error {
	var key *HostKeyError
	var none *ssh.AlgorithmNegotiationError
	switch {
	case errors.As(err, &key):
		return key
	case errors.As(err, &none) && none.What == "host key" && len(t.hosts.db.HostKeys(t.addr)) > 0:
		return t.hosts.noCommonType(t.addr)
	case strings.Contains(err.Error(), "unable to authenticate"), strings.Contains(err.Error(), "Too many authentication failures"):
		host, _, _ := net.SplitHostPort(t.addr)
		return &AuthError{Login: at(t.user, host), Tried: keys.tried, Notes: keys.notes}
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ETIMEDOUT):
		return fmt.Errorf("%w: the connection was lost: %s", ErrUnreachable, clean(err.Error(), maxText))
	}
	return errors.New(clean(err.Error(), maxText))
}

// connect opens a TCP connection, or a channel of the host before. A dead link
// is noticed in half a minute, whether or not something is under way.
func connect(ctx context.Context, addr string, through *hop) (net.Conn, error) {
	if through != nil {
		conn, err := through.DialContext(ctx, "tcp", addr)
		if err != nil {
			err = errors.New(clean(err.Error(), maxText))
		}
		return conn, err
	}
	const limit = 30 * time.Second
	dialer := net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 4},
		Control: func(_, _ string, c syscall.RawConn) error {
			return c.Control(func(fd uintptr) {
				// Kernels without it keep to their own, longer limits.
				unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(limit/time.Millisecond))
			})
		},
	}
	return dialer.DialContext(ctx, "tcp", addr)
}
