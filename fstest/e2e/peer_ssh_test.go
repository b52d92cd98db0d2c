package e2e

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/silvermirror/smfs/fstest"
	"github.com/silvermirror/smfs/fstest/sshd"
)

// noPeer checks that nothing was added.
func noPeer(t *testing.T, m *fstest.Mirror) {
	t.Helper()
	if list := peers(t, m); len(list) > 0 {
		t.Errorf("added all the same: %+v", list)
	}
	if data, err := os.ReadFile(m.Path(".silvermirror/peers.ini")); err == nil && len(data) > 0 {
		t.Errorf("peers.ini: %s", data)
	}
}

func addArgs(a, b *fstest.Mirror, url string) []string {
	return []string{"peer", "add", "b", url, "--command", a.Program.Path}
}

// TestUnknownHostKey has a host that known_hosts does not have: an error that
// says how to accept its key, and doing so helps.
func TestUnknownHostKey(t *testing.T) {
	t.Parallel()
	a, b, host := pairOf(t)
	known := filepath.Join(host.ClientHome, ".ssh", "known_hosts")
	line, err := os.ReadFile(known)
	check(t, err)
	check(t, os.Remove(known))
	add := addArgs(a, b, host.URL(b.Dir))
	refused(t, a, add, "host key is not known", host.Host, "SHA256:", "ssh-keyscan", "To accept it", known)
	noPeer(t, a)
	if _, err := os.Stat(known); !os.IsNotExist(err) {
		t.Errorf("the key was accepted by itself: %v", err)
	}
	check(t, os.WriteFile(known, line, 0o600))
	a.Run(add...)
	check(t, put(a, "file", "x"))
	a.Run("sync")
	has("file", "x")(t, b, "")
}

// TestChangedHostKey has a host with another key than the one known, when the
// peer is added and when it is dialed again.
func TestChangedHostKey(t *testing.T) {
	t.Parallel()
	a, b, host := pairOf(t)
	a.Mount()
	connect(t, a, b, host)
	check(t, put(a, "before", "x"))
	a.Run("wait", "--mirrored", "--timeout", "60s")

	host.Down()
	host.NewHostKey()
	host.Up()
	check(t, put(a, "after", "x"))
	says := []string{"host key has changed", "ssh-keygen -R", "Somebody may be listening in", "SHA256:"}
	refused(t, a, []string{"sync"}, says...)
	absent(t, b.Path("after"))
	out := a.Run("status")
	contains(t, out, "host key has changed")

	a.Run("peer", "remove", "b")
	refused(t, a, addArgs(a, b, host.URL(b.Dir)), says...)
	if list := peers(t, a); len(list) > 0 {
		t.Errorf("added all the same: %+v", list)
	}
	known := filepath.Join(host.ClientHome, ".ssh", "known_hosts")
	line := knownhosts.Line([]string{knownhosts.Normalize(host.Addr())}, host.HostKey)
	check(t, os.WriteFile(known, []byte(line+"\n"), 0o600))
	connect(t, a, b, host)
	a.Run("wait", "--mirrored", "--timeout", "60s")
	has("after", "x")(t, b, "")
}

// TestNotLoggedIn has a host that accepts none of our keys.
func TestNotLoggedIn(t *testing.T) {
	t.Parallel()
	a, b, host := pairOf(t)
	check(t, os.WriteFile(host.AuthorizedKeys, nil, 0o600))
	refused(t, a, addArgs(a, b, host.URL(b.Dir)), "not logged in", "accepts none of our keys", "authorized_keys")
	noPeer(t, a)
}

// TestUnreachablePeerIsAdded adds a peer whose host is down, or is none.
func TestUnreachablePeerIsAdded(t *testing.T) {
	t.Parallel()
	a, b, host := pairOf(t)
	host.Down()
	out := a.Run(addArgs(a, b, host.URL(b.Dir))...)
	contains(t, out, "cannot be reached now: connect to "+host.URL(b.Dir)+": host is not reachable: dial", "added b")
	list := peers(t, a)
	if len(list) != 1 || list[0].State != "unreachable" || list[0].Error == "" {
		t.Fatalf("peers: %+v", list)
	}
	check(t, put(a, "file", "x"))
	host.Up()
	a.Run("sync")
	has("file", "x")(t, b, "")

	refused(t, a, []string{"peer", "add", "b", host.URL(b.Dir)}, "already")
	a.Run("peer", "remove", "b")
	for _, p := range peers(t, a) { // B has come to us, and stays until it goes
		if p.Name == "b" {
			t.Errorf("still there: %+v", p)
		}
	}
}

// TestWrongPeers adds what is no peer: nothing is added, and the error says
// what is wrong.
func TestWrongPeers(t *testing.T) {
	t.Parallel()
	a, b, host := pairOf(t)
	plain := t.TempDir()
	for _, c := range []struct {
		name, url, command string
		says               []string
	}{
		{"no mirror there", host.URL(plain), a.Program.Path, []string{"mirror", plain}},
		{"no such directory", host.URL("/no/such/dir"), a.Program.Path, []string{"/no/such/dir"}},
		{"no such program", host.URL(b.Dir), "/no/such/smfs", []string{"--command PATH"}},
		{"another program", host.URL(b.Dir), "/bin/echo", []string{"the other side is not smfs", "serve --stdio"}},
		{"a silent one", host.URL(b.Dir), "/bin/true", []string{"no smfs answers there"}},
		{"the mirror itself", host.URL(a.Dir), a.Program.Path, []string{"this mirror itself"}},
		{"an option for ssh", "ssh://-oProxyCommand=id/x", "", []string{"-oProxyCommand"}},
		{"another scheme", "gopher://host/x", "", []string{"gopher"}},
		{"no URL", "", "", []string{"URL"}},
	} {
		out := refused(t, a, []string{"peer", "add", "b", c.url, "--command", c.command}, c.says...)
		noPeer(t, a)
		if t.Failed() {
			t.Fatalf("%s:\n%s", c.name, out)
		}
	}
	a.Umount()
}

// TestSSHConfig reaches the peer by what ~/.ssh/config says of an alias: host,
// port, user, key and known hosts.
func TestSSHConfig(t *testing.T) {
	t.Parallel()
	a, b, host := pairOf(t)
	ssh := filepath.Join(host.ClientHome, ".ssh")
	check(t, os.Rename(filepath.Join(ssh, "id_ed25519"), filepath.Join(ssh, "special")))
	check(t, os.Rename(filepath.Join(ssh, "known_hosts"), filepath.Join(ssh, "hosts")))
	_, port, err := net.SplitHostPort(host.Addr())
	check(t, err)
	check(t, os.WriteFile(filepath.Join(ssh, "config"), []byte(strings.Join([]string{
		"Host other", "  Port 1", "",
		"Host ali?s", "  HostName " + host.Host, "  Port " + port, "  User " + host.User,
		"  IdentityFile ~/.ssh/special", "  UserKnownHostsFile ~/.ssh/hosts", "",
		"Host *", "  User nobody-else",
	}, "\n")+"\n"), 0o600))
	check(t, put(a, "file", "x"))
	a.Run(addArgs(a, b, "ssh://alias"+b.Dir)...)
	a.Run("sync")
	has("file", "x")(t, b, "")
}

// TestAlias reaches the peer by the harness's alias, without a scheme.
func TestAlias(t *testing.T) {
	t.Parallel()
	a, b, _ := pairOf(t)
	check(t, put(a, "file", "x"))
	a.Run(addArgs(a, b, "ssh://"+sshd.Alias+b.Dir)...)
	a.Run("sync")
	has("file", "x")(t, b, "")
}

// TestAgent logs in with a key that only an ssh agent has.
func TestAgent(t *testing.T) {
	t.Parallel()
	a, b, host := pairOf(t)
	socket := startAgent(t, filepath.Join(host.ClientHome, ".ssh", "id_ed25519"))
	add := addArgs(a, b, host.URL(b.Dir))
	refused(t, a, add, "not logged in")
	noPeer(t, a)
	a.Umount() // the next engine has the agent in its environment
	a.Program.Env = append(a.Program.Env, "SSH_AUTH_SOCK="+socket)
	check(t, put(a, "file", "x"))
	a.Run(add...)
	a.Run("sync")
	has("file", "x")(t, b, "")
}

// startAgent moves a key into an agent that ends with the test, and returns the
// agent's socket.
func startAgent(t *testing.T, key string) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "agent")
	agent := exec.Command("ssh-agent", "-D", "-a", socket)
	check(t, agent.Start())
	t.Cleanup(func() {
		agent.Process.Kill()
		agent.Wait()
	})
	eventually(t, "the agent's socket", func() bool {
		_, err := os.Stat(socket)
		return err == nil
	})
	add := exec.Command("ssh-add", key)
	add.Env = []string{"SSH_AUTH_SOCK=" + socket}
	if out, err := add.CombinedOutput(); err != nil {
		t.Fatalf("ssh-add: %v\n%s", err, out)
	}
	check(t, os.Remove(key))
	check(t, os.Remove(key+".pub"))
	return socket
}

// TestEncryptedKey has a key with a passphrase and no agent: the error says
// what to do.
func TestEncryptedKey(t *testing.T) {
	t.Parallel()
	a, b, host := pairOf(t)
	key := filepath.Join(host.ClientHome, ".ssh", "id_ed25519")
	sshd.NewKey(t, key, "secret")
	refused(t, a, addArgs(a, b, host.URL(b.Dir)), "has a passphrase", "ssh-add "+key)
	noPeer(t, a)
}
