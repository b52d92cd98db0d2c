package object

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/silvermirror/smfs/tags"
)

// ErrInvalid is wrapped by every error about bytes or values that no smfs node
// may write or send.
var ErrInvalid = errors.New("invalid object")

// Limits on one entry. They bound what a peer can make a node keep in memory,
// and are what Linux file systems can hold.
const (
	MaxName       = 255      // bytes of a name
	MaxXattrs     = 256      // extended attributes of one entry
	MaxXattrName  = 255      // bytes, "user." included
	MaxXattrValue = 64 << 10 // bytes
	MaxTags       = 1024     // tags of one entry
	MaxTagName    = 255      // bytes
	MaxDots       = 1024     // dots of one tag
)

// reservedRoot are the names that a mirror's root uses itself.
var reservedRoot = [...]string{"@tags", "@history", ".smfs", ".silvermirror"}

// CheckName says whether name can be an entry of a directory. Its error wraps
// ErrInvalid.
func CheckName(name string) error {
	switch {
	case name == "" || name == "." || name == "..":
		return invalid("name %q is reserved", name)
	case len(name) > MaxName:
		return invalid("name %.30q... has %d bytes, more than %d", name, len(name), MaxName)
	case strings.IndexByte(name, '/') >= 0 || strings.IndexByte(name, 0) >= 0:
		return invalid("name %q has a slash or a NUL", name)
	}
	return nil
}

// Validate checks one entry on its own: all that a peer could have made up and
// that would harm whoever applies it. Its error wraps ErrInvalid.
func (e *Entry) Validate() error {
	if err := CheckName(e.Name); err != nil {
		return err
	}
	if e.ID.IsZero() || e.ID == Reserved {
		return invalid("entry %q has no file id", e.Name)
	}
	if err := e.checkKind(); err != nil {
		return err
	}
	if err := checkXattrs(e.Xattrs); err != nil {
		return fmt.Errorf("entry %q: %w", e.Name, err)
	}
	if err := checkTags(e.Tags); err != nil {
		return fmt.Errorf("entry %q: %w", e.Name, err)
	}
	return nil
}

func (e *Entry) checkKind() error {
	bad := false
	switch e.Kind {
	case File:
		bad = e.Blob.IsZero() || !e.Tree.IsZero() || e.Mode&^0o1777 != 0
	case Dir:
		bad = e.Tree.IsZero() || !e.Blob.IsZero() || !e.Chunks.IsZero() || e.Mode&^0o3777 != 0 || e.Mtime != 0
	case Symlink:
		bad = e.Blob.IsZero() || !e.Tree.IsZero() || !e.Chunks.IsZero() || e.Mode != 0 || len(e.Xattrs) != 0
	default:
		return invalid("entry %q is of unknown kind %d", e.Name, e.Kind)
	}
	if bad {
		return invalid("entry %q: content, mode %o or attributes do not fit its kind", e.Name, e.Mode)
	}
	return nil
}

func checkXattrs(xs []Xattr) error {
	if len(xs) > MaxXattrs {
		return invalid("%d extended attributes, more than %d", len(xs), MaxXattrs)
	}
	for i, x := range xs {
		if len(x.Name) <= len("user.") || len(x.Name) > MaxXattrName || !strings.HasPrefix(x.Name, "user.") || strings.IndexByte(x.Name, 0) >= 0 {
			return invalid("extended attribute %.300q is not one of user.*", x.Name)
		}
		if len(x.Value) > MaxXattrValue {
			return invalid("extended attribute %q has %d bytes, more than %d", x.Name, len(x.Value), MaxXattrValue)
		}
		if i > 0 && xs[i-1].Name >= x.Name {
			return invalid("extended attribute %q out of order", x.Name)
		}
	}
	return nil
}

func checkTags(set tags.Set) error {
	if len(set) > MaxTags {
		return invalid("%d tags, more than %d", len(set), MaxTags)
	}
	for i, t := range set {
		if err := tags.CheckName(t.Name); err != nil || len(t.Name) > MaxTagName {
			return invalid("tag %.300q: bad name", t.Name)
		}
		if i > 0 && set[i-1].Name >= t.Name {
			return invalid("tag %q out of order", t.Name)
		}
		if err := checkDots(t.Dots); err != nil {
			return fmt.Errorf("tag %q: %w", t.Name, err)
		}
	}
	return nil
}

func checkDots(dots []tags.Dot) error {
	if len(dots) == 0 || len(dots) > MaxDots {
		return invalid("%d dots, want 1 to %d", len(dots), MaxDots)
	}
	for i, d := range dots {
		if err := CheckWriter(d.Writer); err != nil {
			return err
		}
		if d.Seq == 0 {
			return invalid("dot of %q has no number", d.Writer)
		}
		if i > 0 && dots[i-1].Compare(d) >= 0 {
			return invalid("dot %s:%d out of order", d.Writer, d.Seq)
		}
	}
	return nil
}

// CheckWriter says whether w has the form "<fingerprint>.<incarnation>", each
// of 1 to 64 letters, digits, '-' and '_': safe in text, paths and ref names.
func CheckWriter(w Writer) error {
	key, inc, ok := strings.Cut(w, ".")
	if !ok || !isWord(key) || !isWord(inc) || inc == "lock" {
		return invalid("writer %.150q", w)
	}
	return nil
}

func isWord(s string) bool {
	if len(s) < 1 || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// Validate checks every entry, their order, and that names are unique.
// EncodeDirectory and DecodeDirectory do it too. Its error wraps ErrInvalid.
func (d *Directory) Validate() error {
	for i := range d.Entries {
		if err := d.Entries[i].Validate(); err != nil {
			return err
		}
		if i > 0 && d.Entries[i-1].Name >= d.Entries[i].Name {
			return invalid("entry %q out of order or twice", d.Entries[i].Name)
		}
	}
	if len(d.Options) > MaxOptions {
		return invalid("resource.ini has %d bytes, more than %d", len(d.Options), MaxOptions)
	}
	return nil
}

// ValidateRoot checks what a resource's root may not hold: the names that the
// mirror's root uses itself. Its error wraps ErrInvalid.
func (d *Directory) ValidateRoot() error {
	for _, name := range reservedRoot {
		if _, ok := d.Lookup(name); ok {
			return invalid("name %q is reserved at the root", name)
		}
	}
	return nil
}

// ValidateChild checks a directory below the root: it has no options. Its
// error wraps ErrInvalid.
func (d *Directory) ValidateChild() error {
	if d.Options != nil {
		return invalid("a directory below the root has a resource.ini")
	}
	return nil
}

// Lookup finds an entry by its raw name.
func (d *Directory) Lookup(name string) (*Entry, bool) {
	i, ok := slices.BinarySearchFunc(d.Entries, name, func(e Entry, n string) int { return strings.Compare(e.Name, n) })
	if !ok {
		return nil, false
	}
	return &d.Entries[i], true
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrInvalid}, args...)...)
}
