package store

import (
	"errors"
	"fmt"
	"strings"
)

// ErrBadRef says that a name cannot be a ref.
var ErrBadRef = errors.New("bad ref name")

// CheckRef says whether name is a ref that the store takes: below refs/, every
// part of letters, digits and "-_.+@=", nothing that git or a path reads in
// another way. It is stricter than git.
func CheckRef(name string) error {
	parts := strings.Split(name, "/")
	if len(name) > 240 || len(parts) < 3 || len(parts) > 8 || parts[0] != "refs" {
		return fmt.Errorf("%w %.250q", ErrBadRef, name)
	}
	for _, p := range parts {
		if p == "" || p == "@" || p[0] == '.' || strings.HasSuffix(p, ".") || strings.HasSuffix(p, ".lock") || strings.Contains(p, "..") || !refChars(p) {
			return fmt.Errorf("%w %q", ErrBadRef, name)
		}
	}
	return nil
}

func refChars(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && strings.IndexByte("-_.+@=", c) < 0 {
			return false
		}
	}
	return true
}
