package tree

import (
	"fmt"
	"strings"

	"github.com/silvermirror/smfs/journal"
)

// TempPrefix begins the names of this package's temporaries. ReadDir does not
// show them; whoever lists a directory by itself hides them too.
const TempPrefix = ".smfs.tmp."

const swapSuffix = ".swap"

// IsTemp reports whether name is one of this package's temporaries.
func IsTemp(name string) bool { return strings.HasPrefix(name, TempPrefix) }

// CheckPath reports ErrPath unless path is "" or names joined by single
// slashes, none of them "", "." or "..", without NUL.
func CheckPath(path string) error {
	if path == "" {
		return nil
	}
	for name := range strings.SplitSeq(path, "/") {
		if err := CheckName(name); err != nil {
			return fmt.Errorf("path %q: %w", path, err)
		}
	}
	return nil
}

// CheckName reports ErrPath unless name can be one directory entry.
func CheckName(name string) error {
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
		return fmt.Errorf("name %q: %w", name, ErrPath)
	}
	return nil
}

// Slot is one name in one directory.
type Slot struct {
	Path string
	// Dir is the directory that the path must lead to; zero: whichever it leads
	// to. Who knows a directory by its path alone may meet another one, since
	// directories move.
	Dir journal.FileKey
}

// At is the slot of a path in whichever directory is there.
func At(path string) Slot { return Slot{Path: path} }

// split cuts a path into its parent and its last name. The root has none.
func split(path string) (parent, name string, err error) {
	if path == "" {
		return "", "", fmt.Errorf("the root itself: %w", ErrPath)
	}
	if err := CheckPath(path); err != nil {
		return "", "", err
	}
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return "", path, nil
	}
	return path[:i], path[i+1:], nil
}

func join(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}
