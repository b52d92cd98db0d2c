package config

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// CheckHost reports whether s can name a peer: a host or name without a scheme,
// user@host:path as git writes it, or a URL of a known scheme.
func CheckHost(s string) error {
	switch {
	case s == "":
		return errors.New("a host's name is empty")
	case strings.IndexFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) >= 0:
		return errors.New("the host " + strconv.Quote(s) + " holds a space or a control character")
	case s[0] == '-' || strings.Contains(s, "@-") || strings.Contains(s, "://-"):
		return errors.New("the host " + strconv.Quote(s) + " begins with - and would be taken for an option")
	}
	scheme, rest, isURL := strings.Cut(s, "://")
	if !isURL {
		return nil
	}
	if !slices.Contains([]string{"ssh", "smfs", "https", "http", "git", "file"}, scheme) {
		return errors.New("the host " + strconv.Quote(s) + " has an unknown scheme")
	}
	if host, _, _ := strings.Cut(rest, "/"); host == "" && scheme != "file" {
		return errors.New("the URL " + strconv.Quote(s) + " names no host")
	}
	return nil
}
