package merge

import (
	"bytes"
	"maps"
	"slices"
	"strings"

	"github.com/silvermirror/smfs/backend/object"
)

// Policy says what becomes of a version that loses to another.
type Policy int

const (
	// KeepBoth sets it aside, beside the one that won.
	KeepBoth Policy = iota
	// Newest leaves it to history. The later mtime wins; a delete is earlier
	// than any edit.
	Newest
)

// policyOf reads the policy out of a resource's merged options: the key
// "conflict" before any section. What this version does not know is KeepBoth,
// which loses nothing.
func policyOf(options []byte) Policy {
	if strings.EqualFold(parseOptions(options)[optionKey{"", "conflict"}], "Newest") {
		return Newest
	}
	return KeepBoth
}

// optionKey names one value of resource.ini.
type optionKey struct{ section, name string }

// parseOptions reads "name = value" lines. A line that starts with a blank
// goes on with the value before. Comments are left out.
func parseOptions(data []byte) map[optionKey]string {
	values := make(map[optionKey]string)
	var at optionKey
	for line := range strings.Lines(string(data)) {
		text := strings.TrimSpace(line)
		switch {
		case text == "" || text[0] == '#' || text[0] == ';':
		case (line[0] == ' ' || line[0] == '\t') && at.name != "":
			values[at] += "\n\t" + text
		case text[0] == '[' && strings.HasSuffix(text, "]"):
			at = optionKey{section: text[1 : len(text)-1]}
		default:
			name, value, _ := strings.Cut(text, "=")
			if at.name = strings.TrimSpace(name); at.name != "" {
				values[at] = strings.TrimSpace(value)
			}
		}
	}
	return values
}

// mergeOptions merges resource.ini value by value. Where both sides changed
// one, a value wins over none, and the lower bytes over the higher.
func mergeOptions(o, a, b []byte) []byte {
	if v, ok := pick(bytes.Equal, o, a, b); ok {
		return v
	}
	old, va, vb := parseOptions(o), parseOptions(a), parseOptions(b)
	out := make(map[optionKey]string)
	all := maps.Clone(va)
	maps.Copy(all, vb)
	for k := range all {
		v, ok := pick(equal[option], optionOf(old, k), optionOf(va, k), optionOf(vb, k))
		if !ok {
			v = lowerOption(optionOf(va, k), optionOf(vb, k))
		}
		if v.set {
			out[k] = v.value
		}
	}
	if data := encodeOptions(out); len(data) <= object.MaxOptions {
		return data
	}
	return slices.MinFunc([][]byte{a, b}, bytes.Compare) // no merge blocks
}

type option struct {
	value string
	set   bool
}

func optionOf(m map[optionKey]string, k optionKey) option {
	v, ok := m[k]
	return option{v, ok}
}

func lowerOption(a, b option) option {
	if !a.set || b.set && b.value < a.value {
		return b
	}
	return a
}

// encodeOptions writes values sorted by section and name.
func encodeOptions(values map[optionKey]string) []byte {
	keys := slices.SortedFunc(maps.Keys(values), func(a, b optionKey) int {
		if c := strings.Compare(a.section, b.section); c != 0 {
			return c
		}
		return strings.Compare(a.name, b.name)
	})
	out := []byte{}
	section := ""
	for _, k := range keys {
		if k.section != section {
			section = k.section
			out = append(out, "["+section+"]\n"...)
		}
		out = append(out, k.name+" = "+values[k]+"\n"...)
	}
	return out
}
