package peer

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
	xknownhosts "golang.org/x/crypto/ssh/knownhosts"
)

var (
	// ErrHostUnknown says that no known_hosts file has a key of the host.
	ErrHostUnknown = errors.New("host key is not known")
	// ErrHostChanged says that they have another one.
	ErrHostChanged = errors.New("host key has changed")
)

// HostKeyError says why a host's key was not accepted, and how a person accepts
// it; this package never does. It wraps ErrHostUnknown or ErrHostChanged.
type HostKeyError struct {
	Addr        string // host:port
	Type        string // of the key the host showed, such as ssh-ed25519; "" if it could show none
	Fingerprint string // SHA256:...
	Known       []xknownhosts.KnownKey
	File        string // where to put it
	Login       string // user, for the hint
	Revoked     bool
	cause       error
}

func (e *HostKeyError) Unwrap() error { return e.cause }

func (e *HostKeyError) Error() string {
	host, port, _ := net.SplitHostPort(e.Addr)
	option, name := "", host
	if port != "22" {
		option, name = "-p "+port+" ", "["+host+"]:"+port
	}
	shown := "it shows " + e.Type + " " + e.Fingerprint
	if e.Type == "" {
		shown = "it has none of a known type"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s of %s (%s)", e.cause, name, shown)
	switch {
	case e.Revoked:
		fmt.Fprintf(&b, ": it is marked @revoked, and not to be trusted")
	case errors.Is(e.cause, ErrHostChanged):
		for _, k := range e.Known {
			fmt.Fprintf(&b, "; known is %s %s (%s:%d)", k.Key.Type(), ssh.FingerprintSHA256(k.Key), k.Filename, k.Line)
		}
		fmt.Fprintf(&b, ". Somebody may be listening in. If the host was really given a new key: `ssh-keygen -R '%s' -f %s`, then `ssh %s%s` once, compare the fingerprint, and answer yes",
			name, e.File, option, at(e.Login, host))
	default:
		fmt.Fprintf(&b, ". To accept it: `ssh %s%s` once, compare the fingerprint, and answer yes; or `ssh-keyscan %s%s >> %s`",
			option, at(e.Login, host), option, host, e.File)
	}
	return b.String()
}

func at(user, host string) string {
	if user == "" {
		return host
	}
	return user + "@" + host
}

// hostKeys checks host keys against known_hosts files.
type hostKeys struct {
	db    *knownhosts.HostKeyDB
	file  string // the user's own
	login string
}

// readKnownHosts reads those of the files that exist. The first is the user's.
func readKnownHosts(files []string, login string) (*hostKeys, error) {
	var there []string
	for _, f := range files {
		info, err := os.Stat(f)
		switch {
		case errors.Is(err, os.ErrNotExist):
		case err != nil:
			return nil, fmt.Errorf("read known_hosts: %w", err)
		case info.Mode().IsRegular(): // /dev/null is a way to say none
			there = append(there, f)
		}
	}
	db, err := knownhosts.NewDB(there...)
	if err != nil {
		return nil, fmt.Errorf("read known_hosts: %w", err)
	}
	return &hostKeys{db: db, file: files[0], login: login}, nil
}

// algorithms to ask a host for: of the types that are known of it, so that it
// does not show a key of another type; all modern ones if none is known.
func (h *hostKeys) algorithms(addr string) []string {
	var out []string
	for _, a := range h.db.HostKeyAlgorithms(addr) {
		if slices.Contains(modern().HostKeys, a) {
			out = append(out, a)
		}
	}
	if out == nil {
		return modern().HostKeys
	}
	return out
}

func (h *hostKeys) check(addr string, remote net.Addr, key ssh.PublicKey) error {
	err := h.db.HostKeyCallback()(addr, remote, key)
	if err == nil {
		return nil
	}
	e := &HostKeyError{
		Addr: addr, Type: key.Type(), Fingerprint: ssh.FingerprintSHA256(key),
		File: h.file, Login: h.login, cause: ErrHostChanged,
	}
	var bad *xknownhosts.KeyError
	var revoked *xknownhosts.RevokedError
	switch {
	case errors.As(err, &revoked):
		e.Revoked = true
	case errors.As(err, &bad) && len(bad.Want) == 0:
		e.cause = ErrHostUnknown
	case errors.As(err, &bad):
		e.Known = bad.Want
	default:
		return fmt.Errorf("check the host key of %s: %w", addr, err)
	}
	return e
}

// noCommonType is the error where the host has no key of the types known of it.
func (h *hostKeys) noCommonType(addr string) error {
	e := &HostKeyError{Addr: addr, File: h.file, Login: h.login, cause: ErrHostChanged}
	for _, k := range h.db.HostKeys(addr) {
		e.Known = append(e.Known, xknownhosts.KnownKey{Key: k.PublicKey, Filename: h.file})
	}
	return e
}
