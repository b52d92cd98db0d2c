package fs

import (
	"crypto/sha256"
	"encoding/base32"
	"path"
	"slices"
	"strings"
)

// tagList is the content of a tag directory: the names below it and, for each
// file, under which name it is here. It is immutable.
type tagList struct {
	generation uint64
	tags       []string // sorted
	files      []string // the names to list
	byName     map[string]TagFile
}

// newTagList gives each file a name. Of several with one name the first keeps
// it, and the others get a suffix; with its suffix each can always be reached.
func newTagList(tags []string, files []TagFile) *tagList {
	l := &tagList{tags: slices.Sorted(slices.Values(tags)), byName: make(map[string]TagFile, len(files))}
	for _, f := range files {
		name := f.Name
		if _, taken := l.byName[name]; taken || l.isTag(name) {
			name = l.suffixed(f)
		}
		l.byName[name] = f
		l.files = append(l.files, name)
	}
	for _, f := range files {
		if name := l.suffixed(f); name != "" {
			l.byName[name] = f
		}
	}
	return l
}

func (l *tagList) isTag(name string) bool {
	_, ok := slices.BinarySearch(l.tags, name)
	return ok
}

const (
	shortest = 4  // characters of a suffix
	longest  = 26 // of its hash
)

// suffixed is the file's name with as much of its hash as tells it apart.
func (l *tagList) suffixed(f TagFile) string {
	hash := f.hash()
	for n := shortest; n <= longest; n++ {
		name := withSuffix(f.Name, hash[:n])
		if other, taken := l.byName[name]; !taken || other == f {
			return name
		}
	}
	return ""
}

// hash tells the file from others with its name, wherever either goes.
func (f TagFile) hash() string {
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
