package config

import (
	"errors"
	"strings"
	"unicode"
)

const spaces = " \t"

var (
	errQuoteOpen  = errors.New("a quote is not closed")
	errQuoteWord  = errors.New("a closing quote is followed by more than a space")
	errQuoteEmpty = errors.New("there is nothing between the quotes")
	errOneValue   = errors.New("more than one value")
)

// words splits a value at spaces, honours quotes and drops a comment.
func words(s string) ([]string, error) {
	var out []string
	for {
		s = strings.TrimLeft(s, spaces)
		if s == "" || s[0] == ';' || s[0] == '#' {
			return out, nil
		}
		word, rest, err := nextWord(s)
		if err != nil {
			return nil, err
		}
		out, s = append(out, word), rest
	}
}

// nextWord takes the first word off s, which begins with it.
func nextWord(s string) (word, rest string, err error) {
	switch s[0] {
	case '"':
		word, rest, err = doubleQuoted(s[1:])
	case '\'':
		var closed bool
		if word, rest, closed = strings.Cut(s[1:], "'"); !closed {
			err = errQuoteOpen
		}
	default:
		end := strings.IndexAny(s, spaces)
		if end < 0 {
			end = len(s)
		}
		return s[:end], s[end:], nil
	}
	switch {
	case err != nil:
		return "", "", err
	case word == "":
		return "", "", errQuoteEmpty
	case rest != "" && !strings.ContainsRune(spaces, rune(rest[0])):
		return "", "", errQuoteWord
	}
	return word, rest, nil
}

// doubleQuoted reads up to the closing quote; a backslash stands before a quote
// or a backslash and is itself anywhere else.
func doubleQuoted(s string) (word, rest string, err error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return b.String(), s[i+1:], nil
		case s[i] == '\\' && i+1 < len(s) && (s[i+1] == '"' || s[i+1] == '\\'):
			i++
		}
		b.WriteByte(s[i])
	}
	return "", "", errQuoteOpen
}

// whole reads a value that is one text, spaces included, quoted or not.
func whole(s string) (string, error) {
	s = strings.Trim(s, spaces)
	if s == "" || s[0] != '"' && s[0] != '\'' {
		return cutComment(s), nil
	}
	list, err := words(s)
	if err != nil {
		return "", err
	}
	if len(list) != 1 {
		return "", errOneValue
	}
	return list[0], nil
}

// cutComment drops a comment, and the spaces around what is left.
func cutComment(s string) string {
	for i := range len(s) {
		if (s[i] == ';' || s[i] == '#') && (i == 0 || strings.IndexByte(spaces, s[i-1]) >= 0) {
			s = s[:i]
			break
		}
	}
	return strings.TrimSpace(s)
}

// quoteWord writes s so that words reads it back as one word.
func quoteWord(s string) string {
	if strings.IndexFunc(s, unicode.IsSpace) < 0 {
		return quoteWhole(s)
	}
	return quote(s)
}

// quoteWhole writes s so that whole reads it back.
func quoteWhole(s string) string {
	if s == "" || strings.ContainsRune("\"'`", rune(s[0])) || cutComment(s) != s {
		return quote(s)
	}
	return s
}

func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}
