package config

import (
	"errors"
	"strconv"
	"strings"

	"gopkg.in/ini.v1"
)

// section is one [section] as it stands in the file.
type section struct {
	name    string
	line    int
	entries []entry
}

// entry is one key. Its value is the text after the "=", then that of each
// continuation line, comments included.
type entry struct {
	key   string
	line  int
	value []text
}

type text struct {
	s    string
	line int
}

// readSections reads the file's structure. Package ini knows no line numbers and
// silently unites what has one name; so each line is given a number that makes
// its name unique before ini reads it, and that is taken off again after.
func readSections(file string, data []byte) ([]section, error) {
	numbered, err := number(file, string(data))
	if err != nil {
		return nil, err
	}
	parsed, err := ini.LoadSources(ini.LoadOptions{
		IgnoreContinuation:      true, // a backslash is part of a pattern
		IgnoreInlineComment:     true, // words.go knows quotes, ini does not
		PreserveSurroundedQuote: true,
		KeyValueDelimiters:      "=",
	}, []byte(numbered))
	if err != nil {
		return nil, &Error{File: file, Problem: err.Error()}
	}
	var sections []section
	for _, s := range parsed.Sections() {
		if s.Name() == ini.DefaultSection {
			continue // number lets no key stand before the first section
		}
		line, name := unnumber(s.Name())
		sections = append(sections, section{name: name, line: line, entries: entries(s.Keys())})
	}
	return sections, nil
}

// entries joins each key with its continuation lines.
func entries(keys []*ini.Key) []entry {
	var list []entry
	for _, k := range keys {
		line, name := unnumber(k.Name())
		if name == continuation {
			last := &list[len(list)-1]
			last.value = append(last.value, text{s: k.Value(), line: line})
			continue
		}
		list = append(list, entry{key: name, line: line, value: []text{{s: k.Value(), line: line}}})
	}
	return list
}

// continuation is the key of a numbered continuation line. No key of a file is
// empty.
const continuation = ""

func numberOf(line int) string { return strconv.Itoa(line) + ":" }

func unnumber(s string) (line int, name string) {
	digits, name, _ := strings.Cut(s, ":")
	line, _ = strconv.Atoi(digits) // as numberOf wrote it
	return line, strings.TrimSpace(name)
}

// numberer writes the numbered form of a file, line by line.
type numberer struct {
	out     strings.Builder
	section bool // a section has begun
	key     bool // a key has begun, which a line can continue
	indent  int  // of that key
}

func number(file, data string) (string, error) {
	if strings.Contains(data, "\x00") {
		return "", &Error{File: file, Problem: "holds a NUL byte", Expected: "a text file"}
	}
	data = strings.TrimPrefix(data, "\uFEFF")
	var n numberer
	line := 0
	for raw := range strings.SplitSeq(data, "\n") {
		line++
		var e *Error
		if err := n.add(line, raw); errors.As(err, &e) {
			e.File, e.Line = file, line
			return "", e
		}
	}
	return n.out.String(), nil
}

func (n *numberer) add(line int, raw string) error {
	s := strings.TrimSpace(raw)
	indent := indentation(raw)
	switch {
	case s == "" || s[0] == ';' || s[0] == '#':
		return nil
	case n.key && indent > n.indent:
		return n.continued(line, s)
	case s[0] == '[':
		return n.header(line, s)
	}
	return n.keyed(line, indent, s)
}

// indentation is the column at which a line's text begins, tabs every eight.
func indentation(raw string) int {
	column := 0
	for _, c := range []byte(raw) {
		switch c {
		case ' ':
			column++
		case '\t':
			column += 8 - column%8
		default:
			return column
		}
	}
	return column
}

func (n *numberer) header(line int, s string) error {
	name, rest, closed := strings.Cut(s[1:], "]")
	if !closed || cutComment(rest) != "" {
		return &Error{Problem: "not a section header: " + s, Expected: "[name] on a line of its own"}
	}
	n.section, n.key = true, false
	n.out.WriteString("[" + numberOf(line) + name + "]\n")
	return nil
}

func (n *numberer) keyed(line, indent int, s string) error {
	key, value, ok := strings.Cut(s, "=")
	key, value = strings.TrimSpace(key), strings.TrimSpace(value)
	switch {
	case !ok || key == "":
		return &Error{Problem: "not understood: " + s, Expected: "key = value"}
	case !n.section:
		return &Error{Key: key, Problem: "stands before the first section", Expected: "[" + mainSection + "] above it"}
	}
	n.key, n.indent = true, indent
	return n.write(line, key, value)
}

func (n *numberer) continued(line int, s string) error {
	if key, _, ok := strings.Cut(s, "="); ok && knownKey(strings.TrimSpace(key)) {
		return &Error{
			Key:      strings.TrimSpace(key),
			Problem:  "is indented, so it would go on with the value above",
			Expected: "all keys of a section at one indentation",
		}
	}
	return n.write(line, continuation, s)
}

// write refuses what package ini would read over the end of the line.
func (n *numberer) write(line int, key, value string) error {
	if strings.HasPrefix(value, "`") || strings.HasPrefix(value, `"""`) {
		return &Error{Key: key, Problem: "a value cannot begin with ` or \"\"\"", Expected: `"..." or '...' around it`}
	}
	n.out.WriteString(numberOf(line) + key + "=" + value + "\n")
	return nil
}
