package config

import (
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	// Dir is the directory in a mirror's base that belongs to smfs.
	Dir = ".silvermirror"
	// Name is the config file's name in Dir.
	Name = "config.ini"

	mainSection = "::SilverMirror::"
)

// Config is a validated config file. It is not changed after it is made.
type Config struct {
	File      string     // where it was read from; absolute
	Base      string     // the mirror's base directory; absolute, clean
	Main      Options    // the main section over the defaults
	Resources []Resource // in the file's order; at least one
}

// Resource is one section, with all that it inherits.
type Resource struct {
	Name      string // "docs", "docs:private"
	Path      string // where it is in the mirror: "docs", "docs/private"; "" for all of it
	Directory string // where its files are; absolute, clean
	External  bool   // Directory is not at Base/Path
	Options
}

// Options is what a section can set, inherited from resource to resource.
type Options struct {
	Ignore []string // gitignore patterns relative to the resource, the inherited ones first
	Hosts  []string // peers: names or URLs

	Conflict         Handler          // never empty
	ConflictPush     Handler          // for the command push; empty: Conflict
	ConflictPull     Handler          // for the command pull; empty: Conflict
	ConflictPatterns []PatternHandler // the inherited ones first; see HandlerFor

	Timeout time.Duration // to reach a host
	Settle  time.Duration // how long new names and bursts wait for more
	VCS     bool          // mirror .git, .hg, .svn and .bzr too
}

// defaults is what the main section starts from.
func defaults() Options {
	return Options{Conflict: KeepBoth, Timeout: 10 * time.Second, Settle: 50 * time.Millisecond}
}

// inherit returns a copy whose lists can be appended to.
func (o Options) inherit() Options {
	o.Ignore = slices.Clip(o.Ignore)
	o.ConflictPatterns = slices.Clip(o.ConflictPatterns)
	return o
}

// Default is the config of a mirror that has none: one resource, "mirror", that
// holds all of dir. dir is absolute.
func Default(dir string) *Config {
	dir = filepath.Clean(dir)
	o := defaults()
	return &Config{
		File:      filepath.Join(dir, Dir, Name),
		Base:      dir,
		Main:      o,
		Resources: []Resource{{Name: "mirror", Directory: dir, Options: o}},
	}
}

// Resource returns the resource of that name, or nil.
func (c *Config) Resource(name string) *Resource {
	i := slices.IndexFunc(c.Resources, func(r Resource) bool { return r.Name == name })
	if i < 0 {
		return nil
	}
	return &c.Resources[i]
}

// At returns the deepest resource that holds a path relative to the base, and
// the path's rest, relative to that resource. Paths are clean and separated by
// slashes; "" and "." are the base. It returns nil where no resource is, and for
// what belongs to smfs itself (.silvermirror, @tags and such).
func (c *Config) At(relToBase string) (res *Resource, rest string) {
	if relToBase == "." {
		relToBase = ""
	}
	if first, _, _ := strings.Cut(relToBase, "/"); reservedName(first) {
		return nil, ""
	}
	for i := range c.Resources {
		r := &c.Resources[i]
		if below, ok := within(r.Path, relToBase); ok && (res == nil || len(r.Path) > len(res.Path)) {
			res, rest = r, below
		}
	}
	return res, rest
}

// within returns path relative to dir, if it is dir or inside it. Both are clean
// and separated by slashes; "" holds everything that is relative.
func within(dir, path string) (rest string, ok bool) {
	if dir == "" || dir == path {
		return strings.TrimPrefix(path, dir), true
	}
	return strings.CutPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}

// reservedName reports whether a name in the mirror's root is smfs's own.
func reservedName(name string) bool {
	switch name {
	case Dir, ".smfs", "@tags", "@history":
		return true
	}
	return false
}
