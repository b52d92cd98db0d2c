package peer

import "strings"

// splitConfigLine splits a line of ssh_config into its keyword, in lower case,
// and its arguments. An argument in double quotes may hold spaces; an
// unquoted # begins a comment. The keyword is "" for a line that says nothing.
func splitConfigLine(line string) (key string, args []string) {
	line = strings.TrimSpace(line)
	if line == "" || line[0] == '#' {
		return "", nil
	}
	i := strings.IndexAny(line, " \t=\"")
	if i < 0 {
		return strings.ToLower(line), nil
	}
	key, line = strings.ToLower(line[:i]), strings.TrimLeft(line[i:], " \t")
	if rest, ok := strings.CutPrefix(line, "="); ok {
		line = rest
	}
	for {
		line = strings.TrimLeft(line, " \t")
		if line == "" || line[0] == '#' {
			return key, args
		}
		var arg string
		arg, line = nextArgument(line)
		args = append(args, arg)
	}
}

func nextArgument(line string) (arg, rest string) {
	if line[0] == '"' {
		if i := strings.IndexByte(line[1:], '"'); i >= 0 {
			return line[1 : 1+i], line[2+i:]
		}
		return line[1:], ""
	}
	if i := strings.IndexAny(line, " \t"); i >= 0 {
		return line[:i], line[i:]
	}
	return line, ""
}

// matchList reports whether a list of patterns, each of which may hold several
// with commas between, matches: one does, and none that begins with ! does.
func matchList(patterns []string, s string) bool {
	found := false
	for _, list := range patterns {
		for _, p := range strings.Split(list, ",") {
			not := strings.HasPrefix(p, "!")
			if !matchPattern(strings.ToLower(strings.TrimPrefix(p, "!")), strings.ToLower(s)) {
				continue
			}
			if not {
				return false
			}
			found = true
		}
	}
	return found
}

// matchPattern knows * and ?. Its time is the product of the lengths.
func matchPattern(p, s string) bool {
	star, from := -1, 0
	i, j := 0, 0
	for j < len(s) {
		switch {
		case i < len(p) && p[i] == '*':
			star, from = i, j
			i++
		case i < len(p) && (p[i] == '?' || p[i] == s[j]):
			i++
			j++
		case star >= 0:
			from++
			i, j = star+1, from
		default:
			return false
		}
	}
	return strings.Trim(p[i:], "*") == ""
}
