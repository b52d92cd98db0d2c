package config

import (
	"errors"
	"net/url"
	"strconv"
	"strings"
	"unicode"
)

// CheckHost reports whether s can name a peer: a host or name without a scheme,
// user@host:path as git writes it, or an ssh URL.
func CheckHost(s string) error {
	switch {
	case s == "":
		return errors.New("a host's name is empty")
	case strings.IndexFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) >= 0:
		return errors.New("the host " + strconv.Quote(s) + " holds a space or a control character")
	case s[0] == '-' || strings.Contains(s, "@-") || strings.Contains(s, "://-"):
		return errors.New("the host " + strconv.Quote(s) + " begins with - and would be taken for an option")
	}
	if !strings.Contains(s, "://") {
		return nil
	}
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return errors.New("the host " + strconv.Quote(s) + " is no URL")
	case u.Scheme != "ssh":
		return errors.New("the host " + strconv.Quote(s) + " has a scheme that is not supported")
	case u.Hostname() == "":
		return errors.New("the URL " + strconv.Quote(s) + " names no host")
	case u.Port() != "":
		if n, err := strconv.ParseUint(u.Port(), 10, 16); err != nil || n == 0 {
			return errors.New("the URL " + strconv.Quote(s) + " has a port that is none")
		}
	}
	return nil
}
