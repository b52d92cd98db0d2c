package peer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// ErrAuth says that the host accepted none of our keys.
var ErrAuth = errors.New("not logged in")

// AuthError says which keys were tried, and which could not be. It wraps ErrAuth.
type AuthError struct {
	Login string // user@host
	Tried []string
	Notes []string
}

func (e *AuthError) Unwrap() error { return ErrAuth }

func (e *AuthError) Error() string {
	var b strings.Builder
	if len(e.Tried) == 0 {
		fmt.Fprintf(&b, "%v: no key to log in as %s with", ErrAuth, e.Login)
	} else {
		fmt.Fprintf(&b, "%v: %s accepts none of our keys (%s)", ErrAuth, e.Login, strings.Join(e.Tried, ", "))
	}
	for _, n := range e.Notes {
		b.WriteString("; " + n)
	}
	if len(e.Tried) == 0 {
		b.WriteString("; `ssh-keygen` makes one, `ssh-copy-id` brings it there")
	} else {
		b.WriteString("; add one of them to ~/.ssh/authorized_keys there")
	}
	return b.String()
}

// keyring is what we can log in with. The agent's connection lasts until close.
type keyring struct {
	signers []ssh.Signer
	tried   []string     // names of the signers
	notes   []string     // why there are not more
	agent   func()       // ends the agent's connection; nil if there is none
	held    []ssh.Signer // by the agent
}

func (k *keyring) close() {
	if k.agent != nil {
		k.agent()
	}
}

// openKeyring collects keys: those that the config names, the agent's, then
// those at the usual places. Hosts give up after a few, so the order counts.
// An agent that hangs does so until ctx ends.
func openKeyring(ctx context.Context, named, usual []string, socket string, only bool) *keyring {
	k := &keyring{}
	k.openAgent(ctx, socket)
	for _, f := range named {
		k.file(f, true)
	}
	if !only {
		for _, s := range k.held {
			k.add(s, "agent")
		}
	}
	if len(named) == 0 {
		for _, f := range usual {
			k.file(f, false)
		}
	}
	return k
}

func (k *keyring) openAgent(ctx context.Context, socket string) {
	if socket == "" {
		return
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
	if err != nil {
		k.notes = append(k.notes, "the ssh agent does not answer: "+err.Error())
		return
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	k.agent = func() {
		stop()
		conn.Close()
	}
	held, err := agent.NewClient(conn).Signers()
	if err != nil {
		k.notes = append(k.notes, "the ssh agent lists no keys: "+err.Error())
	}
	k.held = held
}

// add takes a signer once. Types of key that are not modern are left out.
func (k *keyring) add(s ssh.Signer, name string) {
	blob := s.PublicKey().Marshal()
	if slices.ContainsFunc(k.signers, func(o ssh.Signer) bool { return bytes.Equal(o.PublicKey().Marshal(), blob) }) {
		return
	}
	if s.PublicKey().Type() == ssh.KeyAlgoRSA {
		as, ok := s.(ssh.AlgorithmSigner)
		if !ok {
			return
		}
		strong, err := ssh.NewSignerWithAlgorithms(as, []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256})
		if err != nil {
			return
		}
		s = strong
	} else if !slices.Contains(modern().PublicKeyAuths, s.PublicKey().Type()) {
		k.notes = append(k.notes, fmt.Sprintf("%s: keys of type %s are not used", name, s.PublicKey().Type()))
		return
	}
	k.signers = append(k.signers, s)
	k.tried = append(k.tried, fmt.Sprintf("%s %s", name, ssh.FingerprintSHA256(s.PublicKey())))
}

// file adds the key in a file; one with a passphrase, or of which only the
// public half is here, only if the agent has it.
func (k *keyring) file(path string, named bool) {
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) && !named {
		return
	}
	if err != nil {
		if !k.fromAgent(publicHalf(path, nil), path) {
			k.notes = append(k.notes, err.Error())
		}
		return
	}
	if pub := parsePublic(data); pub != nil {
		if !k.fromAgent(pub, path) {
			k.notes = append(k.notes, path+" is a public key, and the agent does not have its other half")
		}
		return
	}
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o077 != 0 {
		k.notes = append(k.notes, fmt.Sprintf("%s is passed over: others may read it (mode %#o)", path, info.Mode().Perm()))
		return
	}
	signer, err := ssh.ParsePrivateKey(data)
	var locked *ssh.PassphraseMissingError
	switch {
	case errors.As(err, &locked):
		if !k.fromAgent(publicHalf(path, locked.PublicKey), path) {
			k.notes = append(k.notes, fmt.Sprintf("%s has a passphrase: give it to an agent by `ssh-add %s`", path, path))
		}
	case err != nil:
		k.notes = append(k.notes, fmt.Sprintf("%s: %v", path, err))
	default:
		k.add(signer, filepath.Base(path))
	}
}

// fromAgent adds the agent's signer for a public key.
func (k *keyring) fromAgent(pub ssh.PublicKey, path string) bool {
	if pub == nil {
		return false
	}
	for _, s := range k.held {
		if bytes.Equal(s.PublicKey().Marshal(), pub.Marshal()) {
			k.add(s, filepath.Base(path)+" (agent)")
			return true
		}
	}
	return false
}

// publicHalf is the public key of a private key's file: known, or beside it.
func publicHalf(path string, known ssh.PublicKey) ssh.PublicKey {
	if known != nil {
		return known
	}
	data, err := os.ReadFile(path + ".pub")
	if err != nil {
		return nil
	}
	return parsePublic(data)
}

func parsePublic(data []byte) ssh.PublicKey {
	pub, _, _, _, err := ssh.ParseAuthorizedKey(data)
	if err != nil {
		return nil
	}
	return pub
}

// modern are the algorithms that are used: what the library supports without
// SHA-1 and CBC.
func modern() ssh.Algorithms {
	a := ssh.SupportedAlgorithms()
	old := func(name string) bool {
		return strings.HasSuffix(name, "-sha1") || strings.HasSuffix(name, "-sha1-96") || strings.HasSuffix(name, "-cbc") ||
			name == ssh.KeyAlgoRSA || strings.HasPrefix(name, "ssh-rsa-cert") || strings.HasPrefix(name, "ssh-dss")
	}
	for _, list := range []*[]string{&a.Ciphers, &a.MACs, &a.KeyExchanges, &a.HostKeys, &a.PublicKeyAuths} {
		*list = slices.DeleteFunc(*list, old)
	}
	return a
}
