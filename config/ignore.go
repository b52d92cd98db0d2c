package config

import "strings"

// Ignore decides which names of a resource are ignored, by gitignore's rules as
// if the patterns were the .gitignore in its root: the last pattern that means a
// path decides; what is in an ignored directory is ignored whatever a pattern
// says. It may be used by several goroutines at once.
type Ignore struct {
	rules   []rule
	names   map[string][]int // rules of a plain name, by that name
	endings map[string][]int // rules "*.ext", by their text from the last dot
	others  []int            // all other rules; each list is in ascending order
}

// NewIgnore compiles patterns; a pattern that can match nothing is left out, as
// git does. Unless vcsMirror is set, what other version control keeps its data in
// (.git, .hg, .svn, .bzr) is ignored, before any pattern, so that a pattern such
// as "!.git" takes it back in.
func NewIgnore(patterns []string, vcsMirror bool) *Ignore {
	ig := &Ignore{names: map[string][]int{}, endings: map[string][]int{}}
	if !vcsMirror {
		patterns = append([]string{".git", ".hg", ".svn", ".bzr"}, patterns...)
	}
	for _, p := range patterns {
		if r, err := newRule(p); err == nil {
			ig.add(r)
		}
	}
	return ig
}

func (ig *Ignore) add(r rule) {
	n := len(ig.rules)
	ig.rules = append(ig.rules, r)
	if r.base {
		switch g := r.parts[0].glob; {
		case g.kind == literal:
			ig.names[g.text] = append(ig.names[g.text], n)
			return
		case g.kind == ending && lastExt(g.suffix) != "":
			ext := lastExt(g.suffix)
			ig.endings[ext] = append(ig.endings[ext], n)
			return
		}
	}
	ig.others = append(ig.others, n)
}

// lastExt returns s from its last dot on.
func lastExt(s string) string {
	if i := strings.LastIndexByte(s, '.'); i >= 0 {
		return s[i:]
	}
	return ""
}

// Match reports whether the path, relative to the resource, is ignored. dir says
// that it is a directory. The root, "", never is.
func (ig *Ignore) Match(path string, dir bool) bool {
	for i := range len(path) {
		if path[i] == '/' && ig.decide(path[:i], true) {
			return true
		}
	}
	return ig.MatchChild(path, dir)
}

// MatchChild is Match for a path whose parent is known not to be ignored, as in
// a walk from the root: the parents are not looked at again.
func (ig *Ignore) MatchChild(path string, dir bool) bool {
	return path != "" && ig.decide(path, dir)
}

// decide applies the rules to the path itself, its parents aside.
func (ig *Ignore) decide(path string, dir bool) bool {
	name := path[strings.LastIndexByte(path, '/')+1:]
	last := -1
	for _, n := range ig.names[name] {
		if dir || !ig.rules[n].dirOnly {
			last = n
		}
	}
	if ext := lastExt(name); ext != "" {
		last = ig.latest(ig.endings[ext], last, path, dir)
	}
	last = ig.latest(ig.others, last, path, dir)
	return last >= 0 && !ig.rules[last].negated
}

// latest returns the last rule of the list that means the path, or last if that
// comes after it.
func (ig *Ignore) latest(list []int, last int, path string, dir bool) int {
	for i := len(list) - 1; i >= 0 && list[i] > last; i-- {
		if r := &ig.rules[list[i]]; (dir || !r.dirOnly) && r.match(path) {
			return list[i]
		}
	}
	return last
}
