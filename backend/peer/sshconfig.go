package peer

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// sshConfig is what ssh_config(5) files say about one host. The package reads
// them itself: the parsers there are refuse a whole file for one Match line, or
// do not look for Includes under $HOME.
type sshConfig struct {
	hostName       string
	port           string
	user           string
	identityFiles  []string
	identitiesOnly string
	identityAgent  string
	knownHosts     []string
	globalHosts    []string
	proxyJump      string
	warnings       []string
}

// unsupported keywords that change whom or how we reach, so that a person
// should know that they are passed over.
var unsupportedKeywords = map[string]bool{
	"proxycommand": true, "certificatefile": true, "hostkeyalias": true, "pkcs11provider": true,
	"securitykeyprovider": true, "knownhostscommand": true, "canonicalizehostname": true,
	"bindaddress": true, "bindinterface": true, "addressfamily": true, "revokedhostkeys": true,
}

const maxIncludes = 16 // nested

// configReader evaluates files for one host; the first value of a keyword
// counts, IdentityFile adds up.
type configReader struct {
	home  string
	host  string // as the user wrote it
	login string // the local user
	user  string // what the URL says
	out   sshConfig
}

// readConfig reads the user's file and the system's, of which neither needs to
// exist.
func readConfig(home, system, host, user, login string) (*sshConfig, error) {
	r := &configReader{home: home, host: host, login: login, user: user}
	for _, file := range []string{filepath.Join(home, ".ssh", "config"), system} {
		if err := r.file(file, true, 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("read ssh config: %w", err)
		}
	}
	return &r.out, nil
}

func (r *configReader) file(name string, active bool, depth int) error {
	if depth > maxIncludes {
		return fmt.Errorf("%s: too many nested Includes", name)
	}
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Mode().IsRegular() && info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%s: others may write it (mode %#o)", name, info.Mode().Perm())
	}
	outer, lines := active, bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		key, args := splitConfigLine(lines.Text())
		where := fmt.Sprintf("%s:%d", name, n)
		switch {
		case key == "":
		case len(args) == 0:
			r.warn("%s: %s without a value", where, key)
		case key == "host":
			active = outer && matchList(args, r.host)
		case key == "match":
			active = outer && r.match(args, where)
		case key == "include":
			if err := r.include(args, name, active, depth); err != nil {
				return err
			}
		case active:
			r.set(key, args, where)
		}
	}
	return lines.Err()
}

func (r *configReader) warn(format string, args ...any) {
	r.out.warnings = append(r.out.warnings, fmt.Sprintf(format, args...))
}

// include reads the files that patterns name, relative to ~/.ssh, or to the
// system's directory for the system's file.
func (r *configReader) include(patterns []string, from string, active bool, depth int) error {
	for _, p := range patterns {
		p = r.tilde(p)
		if !filepath.IsAbs(p) {
			dir := filepath.Join(r.home, ".ssh")
			if strings.HasPrefix(from, "/etc/ssh/") {
				dir = "/etc/ssh"
			}
			p = filepath.Join(dir, p)
		}
		files, err := filepath.Glob(p)
		if err != nil {
			return fmt.Errorf("%s: Include %s: %w", from, p, err)
		}
		for _, f := range files {
			if err := r.file(f, active, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// match evaluates a Match line. One with criteria that are not supported does
// not apply, and is warned of.
func (r *configReader) match(args []string, where string) bool {
	if len(args) == 1 && strings.EqualFold(args[0], "all") {
		return true
	}
	matched := true
	for i := 0; i < len(args); i += 2 {
		if i+1 == len(args) {
			r.warn("%s: Match %s is not supported, its lines are passed over", where, args[i])
			return false
		}
		var subject string
		switch strings.ToLower(args[i]) {
		case "host":
			subject = r.hostName()
		case "originalhost":
			subject = r.host
		case "user":
			subject = first(r.user, r.out.user, r.login)
		case "localuser":
			subject = r.login
		default:
			r.warn("%s: Match %s is not supported, its lines are passed over", where, args[i])
			return false
		}
		matched = matched && matchList(args[i+1:i+2], subject)
	}
	return matched
}

// set takes a keyword's value unless it has one.
func (r *configReader) set(key string, args []string, where string) {
	once := func(p *string) {
		if *p == "" {
			*p = args[0]
		}
	}
	list := func(p *[]string) {
		if *p == nil {
			*p = args
		}
	}
	switch key {
	case "hostname":
		once(&r.out.hostName)
	case "port":
		once(&r.out.port)
	case "user":
		once(&r.out.user)
	case "identityfile":
		r.out.identityFiles = append(r.out.identityFiles, args[0])
	case "identitiesonly":
		once(&r.out.identitiesOnly)
	case "identityagent":
		once(&r.out.identityAgent)
	case "userknownhostsfile":
		list(&r.out.knownHosts)
	case "globalknownhostsfile":
		list(&r.out.globalHosts)
	case "proxyjump":
		once(&r.out.proxyJump)
	default:
		if unsupportedKeywords[key] && !strings.EqualFold(args[0], "none") {
			r.warn("%s: %s is not supported and passed over", where, key)
		}
	}
}

// hostName is the host to connect to, as far as known.
func (r *configReader) hostName() string {
	if r.out.hostName == "" {
		return r.host
	}
	return expand(r.out.hostName, map[byte]string{'h': r.host})
}

func (r *configReader) tilde(p string) string { return expandTilde(p, r.home) }

func expandTilde(p, home string) string {
	if rest, ok := strings.CutPrefix(p, "~/"); ok {
		return filepath.Join(home, rest)
	}
	return p
}

// expand replaces the percent tokens that are known.
func expand(s string, tokens map[byte]string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '%' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		if v, ok := tokens[s[i]]; ok {
			b.WriteString(v)
		} else if s[i] == '%' {
			b.WriteByte('%')
		} else {
			b.WriteString(s[i-1 : i+1])
		}
	}
	return b.String()
}

func first(s ...string) string {
	for _, v := range s {
		if v != "" {
			return v
		}
	}
	return ""
}
