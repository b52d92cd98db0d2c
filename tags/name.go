package tags

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ErrName is wrapped by what [CheckName] returns.
var ErrName = errors.New("illegal tag name")

const (
	maxName  = 1024 // bytes of a whole name
	maxLabel = 255  // bytes between slashes: NAME_MAX, since each is a directory of the view
)

// reserved are the bytes that the query language gives a meaning wherever they
// stand.
const reserved = `,()<>*"\`

// CheckName reports whether name can be a tag: one that can be a path below
// `@tags` and be written in a query without quoting. The error says what is
// wrong with it.
func CheckName(name string) error {
	if problem := nameProblem(name); problem != "" {
		return fmt.Errorf("%w %q: %s", ErrName, name, problem)
	}
	return nil
}

func nameProblem(name string) string {
	switch {
	case name == "":
		return "it is empty"
	case len(name) > maxName:
		return fmt.Sprintf("it is longer than %d bytes", maxName)
	case !utf8.ValidString(name):
		return "it is not UTF-8"
	case strings.IndexFunc(name, unicode.IsControl) >= 0:
		return "it holds a control character"
	case strings.ContainsAny(name, reserved):
		return "it holds one of " + reserved + ", which queries use"
	case strings.ContainsRune("!@=", rune(name[0])):
		return fmt.Sprintf("it begins with %c", name[0])
	case name == "and" || name == "or" || name == "not":
		return "it is a word of the query language"
	}
	for label := range strings.SplitSeq(name, "/") {
		if problem := labelProblem(label); problem != "" {
			return problem
		}
	}
	return valueProblem(name)
}

func labelProblem(label string) string {
	switch {
	case label == "":
		return "it has an empty part (a slash too many)"
	case len(label) > maxLabel:
		return fmt.Sprintf("a part of it is longer than %d bytes", maxLabel)
	case label == "." || label == "..":
		return "it has a part " + label
	case strings.TrimSpace(label) != label:
		return "a part of it begins or ends with a space"
	}
	return ""
}

// valueProblem looks at what follows the first "=".
func valueProblem(name string) string {
	_, value, valued := strings.Cut(name, "=")
	switch {
	case valued && value == "":
		return "it has an = and no value"
	case strings.Contains(value, ".."):
		return "its value holds .., which queries use for a range"
	}
	return ""
}
