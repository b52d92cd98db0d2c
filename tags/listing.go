package tags

import (
	"crypto/sha256"
	"encoding/base32"
	"path"
	"slices"
	"strings"
)

// Tagged is one tagged file or directory.
type Tagged struct {
	Resource string // name of the resource
	Path     string // relative to the resource's root
	ID       string // stable over renames; tells files with one name apart. "": Path does
}

// Name is what a file is called.
func (f Tagged) Name() string { return path.Base(f.Path) }

// Listing is the content of a tag directory: the names below it and, for each
// file, under which name it is here. It is immutable.
type Listing struct {
	Tags   []string // sorted
	Files  []string // the names to list
	byName map[string]Tagged
}

// NewListing gives each file a name. Of several with one name the first keeps
// it, and the others get a suffix; with its suffix each can always be reached.
func NewListing(tags []string, files []Tagged) *Listing {
	l := &Listing{Tags: slices.Sorted(slices.Values(tags)), byName: make(map[string]Tagged, len(files))}
	for _, f := range files {
		name := f.Name()
		if _, taken := l.byName[name]; taken || l.IsTag(name) {
			name = l.suffixed(f)
		}
		l.byName[name] = f
		l.Files = append(l.Files, name)
	}
	for _, f := range files {
		if name := l.suffixed(f); name != "" {
			l.byName[name] = f
		}
	}
	return l
}

// File is the file that a name stands for, be it listed or not.
func (l *Listing) File(name string) (Tagged, bool) {
	f, ok := l.byName[name]
	return f, ok
}

// IsTag tells whether a name is a tag's: no file is listed by it.
func (l *Listing) IsTag(name string) bool {
	_, ok := slices.BinarySearch(l.Tags, name)
	return ok
}

const (
	shortest = 4  // characters of a suffix
	longest  = 26 // of its hash
)

// suffixed is the file's name with as much of its hash as tells it apart.
func (l *Listing) suffixed(f Tagged) string {
	hash := f.hash()
	for n := shortest; n <= longest; n++ {
		name := withSuffix(f.Name(), hash[:n])
		if other, taken := l.byName[name]; !taken || other == f {
			return name
		}
	}
	return ""
}

// hash tells the file from others with its name, wherever either goes.
func (f Tagged) hash() string {
	id := f.ID
	if id == "" {
		id = f.Resource + "/" + f.Path
	}
	sum := sha256.Sum256([]byte(id))
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:]))[:longest]
}

// withSuffix puts a suffix before the extension: report~k7f2.txt. A name that
// would become too long loses its end.
func withSuffix(name, suffix string) string {
	const nameMax = 255
	ext := path.Ext(name)
	if ext == name || len(ext) > nameMax/2 {
		ext = ""
	}
	stem := strings.TrimSuffix(name, ext)
	if over := len(stem) + 1 + len(suffix) + len(ext) - nameMax; over > 0 {
		stem = stem[:len(stem)-over]
	}
	return stem + "~" + suffix + ext
}
