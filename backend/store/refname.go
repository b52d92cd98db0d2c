package store

import (
	"errors"
	"fmt"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
)

// ErrBadRef says that a name cannot be a ref.
var ErrBadRef = errors.New("bad ref name")

// checkRef says whether name is a ref that the store takes: one of git's,
// below refs/, short, and with nothing in it but letters, digits and "-_.+@=/",
// so that it is the same name on every disk.
func checkRef(name string) error {
	strange := strings.IndexFunc(name, func(c rune) bool {
		return (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && !strings.ContainsRune("-_.+@=/", c)
	})
	parts := strings.Count(name, "/") + 1
	if strange >= 0 || len(name) > 240 || parts < 3 || parts > 8 || !strings.HasPrefix(name, "refs/") || strings.Contains(name, "./") || plumbing.ReferenceName(name).Validate() != nil {
		return fmt.Errorf("%w %.250q", ErrBadRef, name)
	}
	return nil
}
