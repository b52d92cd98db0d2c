package config

import (
	"fmt"
	"path/filepath"
	"strings"
	"unicode"
)

// maxPart bounds the parts of a resource's name in bytes; each is a file name.
const maxPart = 200

// resourceNameProblem says why a section cannot be a resource, or "".
func resourceNameProblem(name string) string {
	switch {
	case strings.HasPrefix(name, "::"):
		return "unknown section"
	case len(name) > maxPart:
		return fmt.Sprintf("its name is longer than %d bytes", maxPart)
	}
	for part := range strings.SplitSeq(name, ":") {
		switch {
		case part == "" || part == "." || part == "..":
			return "not a name of a resource"
		case reservedName(part):
			return "the name " + part + " is reserved"
		case part[0] == '-' || strings.TrimSpace(part) != part:
			return "a name begins with -, or begins or ends with a space"
		case strings.Contains(part, "/") || strings.IndexFunc(part, unicode.IsControl) >= 0:
			return "a name holds a slash or a control character"
		}
	}
	return ""
}

// checkLayout refuses directories of resources that would hold one file twice.
func (p *parser) checkLayout() error {
	for i, r := range p.config.Resources {
		if problem := p.placeProblem(r); problem != "" {
			return p.atResource(r, problem, "a directory of its own")
		}
		for _, other := range p.config.Resources[:i] {
			if problem := overlap(r, other); problem != "" {
				return p.atResource(r, problem, "a directory of its own")
			}
		}
	}
	return nil
}

func (p *parser) placeProblem(r Resource) string {
	if first, _, _ := strings.Cut(r.Path, "/"); reservedName(first) {
		return "its path in the mirror, " + r.Path + ", is reserved"
	}
	if rest, inside := within(p.config.Base, r.Directory); inside {
		if first, _, _ := strings.Cut(rest, "/"); reservedName(first) {
			return "its directory " + r.Directory + " is reserved"
		}
		return ""
	}
	if _, around := within(r.Directory, p.config.Base); around {
		return "its directory " + r.Directory + " holds the mirror's base " + p.config.Base
	}
	return ""
}

// overlap says why two resources cannot be, or "". One may lie in the other, in
// the mirror and on disk alike: then its directory belongs to it alone.
func overlap(a, b Resource) string {
	switch {
	case a.Directory == b.Directory:
		return "its directory " + a.Directory + " is that of [" + b.Name + "]"
	case a.Path == b.Path:
		return "its path in the mirror, " + a.Path + ", is that of [" + b.Name + "]"
	}
	inner, outer := a, b
	if _, ok := within(a.Directory, b.Directory); ok {
		inner, outer = b, a
	}
	rest, ok := within(outer.Directory, inner.Directory)
	if ok && filepath.Join(outer.Path, rest) != inner.Path {
		return fmt.Sprintf("the directory of [%s], %s, lies in that of [%s], but not so in the mirror", inner.Name, inner.Directory, outer.Name)
	}
	return ""
}

func (p *parser) atResource(r Resource, problem, expected string) error {
	return p.atSection(section{name: r.Name, line: p.lines[r.Name]}, problem, expected)
}
