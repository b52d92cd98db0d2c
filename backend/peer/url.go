package peer

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"path"
	"strconv"
	"strings"
)

var (
	// ErrURL says that a text names no peer.
	ErrURL = errors.New("not the URL of a peer")
	// ErrUnsupported says that it names a kind of peer that this smfs does
	// not know how to reach.
	ErrUnsupported = errors.New("this kind of peer is not supported yet")
)

// URL names a mirror that is reached by ssh.
type URL struct {
	User string // "": what ~/.ssh/config or the system says
	Host string // as ~/.ssh/config may know it; an IPv6 address without brackets
	Port int    // 0: what ~/.ssh/config says, or 22
	Path string // of the mirror there: "/abs", or relative to the login directory; "": its default mirror
}

// ParseURL reads one of
//
//	host
//	user@host
//	user@host:path       relative to the login directory, or absolute
//	ssh://[user@]host[:port][/path]
//
// where ssh://host/~/path is relative to the login directory. The error wraps
// ErrURL, or ErrUnsupported where it is a URL of another kind.
func ParseURL(s string) (*URL, error) {
	u, err := parse(s)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", clean(s, maxText), err)
	}
	return u, nil
}

func parse(s string) (*URL, error) {
	if s == "" || !isClean(s, 4096) {
		return nil, fmt.Errorf("%w: empty, or with control characters", ErrURL)
	}
	u, err := split(s)
	if err != nil {
		return nil, err
	}
	if err := u.check(); err != nil {
		return nil, err
	}
	return u, nil
}

func split(s string) (*URL, error) {
	scheme, _, has := strings.Cut(s, "://")
	switch {
	case has && strings.EqualFold(scheme, "ssh"):
		return splitURL(s)
	case has:
		return nil, unsupported(scheme)
	case strings.HasPrefix(s, "/") || strings.HasPrefix(s, "."):
		return nil, fmt.Errorf("%w: a directory; a peer is HOST, USER@HOST:PATH or ssh://HOST/PATH", ErrUnsupported)
	}
	return splitSCP(s)
}

func unsupported(scheme string) error {
	const can = "a peer is HOST, USER@HOST:PATH or ssh://HOST/PATH"
	switch strings.ToLower(scheme) {
	case "smfs":
		return fmt.Errorf("%w: smfs's own listener; %s", ErrUnsupported, can)
	case "http", "https", "git", "file", "git+ssh", "ssh+git":
		return fmt.Errorf("%w: a git repository; %s", ErrUnsupported, can)
	}
	return fmt.Errorf("%w: scheme %q; %s", ErrURL, scheme, can)
}

func splitURL(s string) (*URL, error) {
	p, err := url.Parse(s)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrURL, errors.Unwrap(err))
	}
	if _, has := p.User.Password(); has {
		return nil, fmt.Errorf("%w: it holds a password; use a key, or an agent", ErrURL)
	}
	if p.RawQuery != "" || p.Fragment != "" || p.ForceQuery {
		return nil, fmt.Errorf("%w: write ? and # in a path as %%3F and %%23", ErrURL)
	}
	u := &URL{User: p.User.Username(), Host: p.Hostname(), Path: p.Path}
	if port := p.Port(); port != "" {
		if u.Port, err = parsePort(port); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrURL, err)
		}
	}
	if u.Path == "/~" || strings.HasPrefix(u.Path, "/~/") {
		u.Path = u.Path[1:]
	}
	u.Path = relative(u.Path)
	return u, nil
}

// splitSCP reads host, user@host, host:path, [address]:path.
func splitSCP(s string) (*URL, error) {
	if net.ParseIP(s) != nil {
		return &URL{Host: s}, nil
	}
	u := &URL{}
	host, rest := s, ""
	if i := scpColon(s); i >= 0 {
		host, rest = s[:i], s[i+1:]
		if rest == "" {
			return nil, fmt.Errorf("%w: no path after the colon", ErrURL)
		}
	}
	u.Path = relative(rest)
	if i := strings.LastIndexByte(host, '@'); i >= 0 {
		u.User, host = host[:i], host[i+1:]
		if u.User == "" {
			return nil, fmt.Errorf("%w: no user before the @", ErrURL)
		}
	}
	u.Host = host
	if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		u.Host = host[1 : len(host)-1]
	}
	return u, nil
}

// relative takes the login directory from the front of a path. Neither that
// directory nor the root is a mirror by itself: they stand for the default one.
func relative(path string) string {
	path = strings.TrimPrefix(path, "~/")
	if path == "~" || strings.Trim(path, "/") == "" {
		return ""
	}
	return path
}

// scpColon finds the colon before the path: the first one outside brackets.
func scpColon(s string) int {
	from := 0
	if i := strings.IndexByte(s, '['); i >= 0 && !strings.ContainsAny(s[:i], ":/") {
		from = max(strings.IndexByte(s, ']'), 0)
	}
	if i := strings.IndexByte(s[from:], ':'); i >= 0 {
		return from + i
	}
	return -1
}

func parsePort(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > 65535 {
		return 0, fmt.Errorf("port %q", clean(s, 64))
	}
	return n, nil
}

// check holds for every URL, however it was written.
func (u *URL) check() error {
	if err := checkHost(u.Host); err != nil {
		return fmt.Errorf("%w: %w", ErrURL, err)
	}
	if err := checkUser(u.User); err != nil {
		return fmt.Errorf("%w: %w", ErrURL, err)
	}
	if !isClean(u.Path, 4096) {
		return fmt.Errorf("%w: path with control characters", ErrURL)
	}
	if strings.HasSuffix(strings.TrimRight(u.Path, "/"), ".git") {
		return fmt.Errorf("%w: a git repository; a mirror's path does not end in .git", ErrUnsupported)
	}
	return nil
}

func checkHost(host string) error {
	if host == "" {
		return errors.New("no host")
	}
	if strings.HasPrefix(host, "-") {
		return fmt.Errorf("host %q begins with a dash", host)
	}
	if net.ParseIP(beforeZone(host)) != nil {
		return nil
	}
	for _, c := range host {
		if strings.ContainsRune(" \t/\\:@[]'\"`$;&|<>(){}*?!#,%", c) {
			return fmt.Errorf("host %q holds %q", host, c)
		}
	}
	return nil
}

func beforeZone(host string) string {
	host, _, _ = strings.Cut(host, "%")
	return host
}

func checkUser(user string) error {
	if strings.HasPrefix(user, "-") {
		return fmt.Errorf("user %q begins with a dash", user)
	}
	if strings.ContainsAny(user, " \t/:'\"`$;&|<>(){}*?!") {
		return fmt.Errorf("user %q", user)
	}
	return nil
}

// String is the ssh:// form, which ParseURL reads as the same URL.
func (u *URL) String() string {
	out := url.URL{Scheme: "ssh", Host: u.Host}
	if strings.Contains(u.Host, ":") {
		out.Host = "[" + u.Host + "]"
	}
	if u.Port != 0 {
		out.Host += ":" + strconv.Itoa(u.Port)
	}
	if u.User != "" {
		out.User = url.User(u.User)
	}
	switch {
	case u.Path == "":
	case path.IsAbs(u.Path):
		out.Path = u.Path
	default:
		out.Path = "/~/" + u.Path
	}
	return out.String()
}
