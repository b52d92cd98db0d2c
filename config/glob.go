package config

import (
	"errors"
	"strings"
)

// glob is one part of a pattern, between slashes, compiled. It matches bytes, as
// git does.
type glob struct {
	tokens []token
	suffix string // what is left of "*suffix"
	text   string // what is left of a pattern without wildcards
	kind   globKind
}

type globKind uint8

const (
	general globKind = iota
	literal          // text
	ending           // "*" and suffix
)

// token is one step of a glob: a byte out of a set, or any number of bytes.
type token struct {
	star bool
	char byte // if set is nil
	set  *[256]bool
}

var (
	errClassOpen = errors.New("a [ is not closed")
	errEscapeEnd = errors.New("ends with a backslash")
)

// compileGlob reads a part of a pattern up to an unescaped slash or its end, and
// returns what comes after that slash.
func compileGlob(s string) (g glob, rest string, err error) {
	for s != "" && s[0] != '/' {
		var t token
		if t, s, err = nextToken(s); err != nil {
			return glob{}, "", err
		}
		if n := len(g.tokens); t.star && n > 0 && g.tokens[n-1].star {
			continue
		}
		if t.set == nil && !t.star && t.char == '/' { // written as \/
			return g.classify(), s, nil
		}
		g.tokens = append(g.tokens, t)
	}
	return g.classify(), strings.TrimPrefix(s, "/"), nil
}

func nextToken(s string) (t token, rest string, err error) {
	switch s[0] {
	case '*':
		return token{star: true}, s[1:], nil
	case '?':
		return token{set: anyByte()}, s[1:], nil
	case '[':
		return class(s[1:])
	case '\\':
		if len(s) == 1 {
			return token{}, "", errEscapeEnd
		}
		s = s[1:]
	}
	return token{char: s[0]}, s[1:], nil
}

func anyByte() *[256]bool {
	var set [256]bool
	for i := range set {
		set[i] = i != '/'
	}
	return &set
}

// class reads what follows a "[".
func class(s string) (t token, rest string, err error) {
	var set [256]bool
	negated := s != "" && (s[0] == '!' || s[0] == '^')
	if negated {
		s = s[1:]
	}
	for first := true; first || s == "" || s[0] != ']'; first = false {
		if s, err = classItem(&set, s); err != nil {
			return token{}, "", err
		}
	}
	if negated {
		for i := range set {
			set[i] = !set[i]
		}
	}
	set['/'] = false
	return token{set: &set}, s[1:], nil
}

// classItem adds one character, range or named class to the set.
func classItem(set *[256]bool, s string) (rest string, err error) {
	if strings.HasPrefix(s, "[:") {
		if name, rest, ok := strings.Cut(s[2:], ":]"); ok && !strings.Contains(name, "]") {
			return rest, addNamed(set, name)
		}
	}
	low, s, err := classChar(s)
	if err != nil {
		return "", err
	}
	high := low
	if len(s) > 1 && s[0] == '-' && s[1] != ']' {
		if high, s, err = classChar(s[1:]); err != nil {
			return "", err
		}
	}
	for c := int(low); c <= int(high); c++ {
		set[c] = true
	}
	return s, nil
}

func classChar(s string) (c byte, rest string, err error) {
	s = strings.TrimPrefix(s, `\`)
	if s == "" {
		return 0, "", errClassOpen
	}
	return s[0], s[1:], nil
}

func addNamed(set *[256]bool, name string) error {
	in, ok := namedClasses()[name]
	if !ok {
		return errors.New("unknown character class [:" + name + ":]")
	}
	for c := range 128 {
		set[c] = set[c] || in(byte(c))
	}
	return nil
}

func namedClasses() map[string]func(c byte) bool {
	upper := func(c byte) bool { return 'A' <= c && c <= 'Z' }
	lower := func(c byte) bool { return 'a' <= c && c <= 'z' }
	digit := func(c byte) bool { return '0' <= c && c <= '9' }
	alnum := func(c byte) bool { return upper(c) || lower(c) || digit(c) }
	graph := func(c byte) bool { return '!' <= c && c <= '~' }
	return map[string]func(c byte) bool{
		"upper": upper, "lower": lower, "digit": digit, "alnum": alnum, "graph": graph,
		"alpha":  func(c byte) bool { return upper(c) || lower(c) },
		"print":  func(c byte) bool { return graph(c) || c == ' ' },
		"punct":  func(c byte) bool { return graph(c) && !alnum(c) },
		"blank":  func(c byte) bool { return c == ' ' || c == '\t' },
		"space":  func(c byte) bool { return c == ' ' || '\t' <= c && c <= '\r' },
		"cntrl":  func(c byte) bool { return c < ' ' || c == 127 },
		"xdigit": func(c byte) bool { return digit(c) || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F' },
	}
}

// classify finds the globs that need no walk.
func (g glob) classify() glob {
	text, ok := literalText(g.tokens)
	if ok {
		g.kind, g.text = literal, text
	} else if g.tokens[0].star {
		if text, ok := literalText(g.tokens[1:]); ok {
			g.kind, g.suffix = ending, text
		}
	}
	return g
}

func literalText(tokens []token) (string, bool) {
	var b strings.Builder
	for _, t := range tokens {
		if t.star || t.set != nil {
			return "", false
		}
		b.WriteByte(t.char)
	}
	return b.String(), true
}

// match reports whether the whole name fits. It returns to the last star alone,
// so its time is at most the product of both lengths.
func (g *glob) match(name string) bool {
	switch g.kind {
	case literal:
		return name == g.text
	case ending:
		return strings.HasSuffix(name, g.suffix)
	}
	at, i := 0, 0
	star, starAt := -1, 0
	for i < len(name) {
		switch {
		case at < len(g.tokens) && g.tokens[at].star:
			star, starAt = at, i
			at++
		case at < len(g.tokens) && g.tokens[at].fits(name[i]):
			at++
			i++
		case star >= 0:
			starAt++
			at, i = star+1, starAt
		default:
			return false
		}
	}
	for at < len(g.tokens) && g.tokens[at].star {
		at++
	}
	return at == len(g.tokens)
}

func (t *token) fits(c byte) bool {
	if t.set != nil {
		return t.set[c]
	}
	return t.char == c
}
