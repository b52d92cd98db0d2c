package sshd

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// NewHome makes a home directory with a key pair in .ssh, and nothing else.
func NewHome(t testing.TB) string {
	t.Helper()
	home := t.TempDir()
	check(t, os.Mkdir(filepath.Join(home, ".ssh"), 0o700))
	NewKey(t, filepath.Join(home, ".ssh", "id_ed25519"), "")
	return home
}

// NewKey writes a new ed25519 key to file and its public half to file.pub. The
// key is encrypted if passphrase is not empty.
func NewKey(t testing.TB, file, passphrase string) ssh.PublicKey {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	check(t, err)
	var block *pem.Block
	if passphrase == "" {
		block, err = ssh.MarshalPrivateKey(private, "test")
	} else {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(private, "test", []byte(passphrase))
	}
	check(t, err)
	check(t, os.WriteFile(file, pem.EncodeToMemory(block), 0o600))
	signer, err := ssh.NewSignerFromKey(private)
	check(t, err)
	check(t, os.WriteFile(file+".pub", ssh.MarshalAuthorizedKey(signer.PublicKey()), 0o644))
	return signer.PublicKey()
}

// NewHostKey gives the server another host key. Who knew the old one sees a
// changed key.
func (s *Server) NewHostKey() {
	s.t.Helper()
	s.HostKey = NewKey(s.t, s.hostKeyFile(), "")
}

// Admit lets a home directory log in here: its id_ed25519.pub is authorized,
// and its known_hosts gets the host key.
func (s *Server) Admit(home string) {
	s.t.Helper()
	key, err := os.ReadFile(filepath.Join(home, ".ssh", "id_ed25519.pub"))
	check(s.t, err)
	s.Authorize(key)
	line := knownhosts.Line([]string{knownhosts.Normalize(s.Addr())}, s.HostKey)
	s.append(filepath.Join(home, ".ssh", "known_hosts"), line+"\n")
}

// Authorize adds a line to the server's authorized_keys.
func (s *Server) Authorize(line []byte) {
	s.t.Helper()
	s.append(s.AuthorizedKeys, strings.TrimRight(string(line), "\n")+"\n")
}

func (s *Server) append(file, text string) {
	s.t.Helper()
	f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	check(s.t, err)
	_, err = f.WriteString(text)
	check(s.t, err)
	check(s.t, f.Close())
}

func (s *Server) clientConfig() string {
	return fmt.Sprintf("Host %s\n  HostName %s\n  Port %d\n  User %s\n", Alias, s.Host, s.Port, s.User)
}
