package config

import (
	"errors"
	"fmt"
	"strings"
)

// rule is one gitignore pattern, compiled.
type rule struct {
	negated bool // "!pattern" takes names back in
	dirOnly bool // "pattern/"
	base    bool // no slash in it: the last part of a path, at any depth
	parts   []part
}

// part is a glob for one name of a path, or "**": any number of names.
type part struct {
	glob
	deep bool
}

var errSlashes = errors.New("it holds two slashes in a row")

func newRule(pattern string) (rule, error) {
	r, err := compileRule(trimSpaces(pattern))
	if err != nil {
		return rule{}, fmt.Errorf("the pattern %q can match nothing: %w", pattern, err)
	}
	return r, nil
}

func compileRule(s string) (r rule, err error) {
	s, r.negated = strings.CutPrefix(s, "!")
	s, r.dirOnly = strings.CutSuffix(s, "/")
	r.base = !strings.Contains(s, "/")
	s = strings.TrimPrefix(s, "/")
	switch {
	case s == "":
		return r, errors.New("it is empty")
	case strings.HasSuffix(s, "/"):
		return r, errSlashes
	}
	for s != "" {
		var p part
		whole := s
		if p.glob, s, err = compileGlob(s); err != nil {
			return r, err
		}
		raw := strings.TrimSuffix(whole[:len(whole)-len(s)], "/")
		p.deep = len(raw) > 1 && strings.Trim(raw, "*") == ""
		switch {
		case raw == "":
			return r, errSlashes
		case p.deep && len(r.parts) > 0 && r.parts[len(r.parts)-1].deep && s != "":
			continue // "**/**/" says no more than "**/"
		}
		r.parts = append(r.parts, p)
	}
	return r, nil
}

// trimSpaces drops spaces at the end that no backslash stands before.
func trimSpaces(s string) string {
	for strings.HasSuffix(s, " ") {
		before := strings.TrimRight(s[:len(s)-1], `\`)
		if (len(s)-1-len(before))%2 == 1 {
			break
		}
		s = s[:len(s)-1]
	}
	return s
}

// match reports whether the pattern means this very path.
func (r *rule) match(path string) bool {
	if r.base {
		name := path[strings.LastIndexByte(path, '/')+1:]
		return r.parts[0].deep || r.parts[0].match(name)
	}
	return matchParts(r.parts, path)
}

// matchParts walks names against parts as glob.match walks bytes against tokens:
// it returns to the last "**" alone.
func matchParts(parts []part, path string) bool {
	at, rest := 0, path
	deep, deepRest := -1, ""
	for rest != "" {
		name, after, _ := strings.Cut(rest, "/")
		switch {
		case at < len(parts) && parts[at].deep:
			if at == len(parts)-1 {
				return true // something is left below, and all of it fits
			}
			deep, deepRest = at, rest
			at++
		case at < len(parts) && parts[at].match(name):
			at++
			rest = after
		case deep >= 0:
			_, deepRest, _ = strings.Cut(deepRest, "/")
			at, rest = deep+1, deepRest
		default:
			return false
		}
	}
	return at == len(parts)
}
