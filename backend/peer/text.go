package peer

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// clean makes text from a stranger fit for a terminal and a log: what is not
// printable is escaped, and at most max bytes of it are kept.
func clean(s string, max int) string {
	cut := false
	if len(s) > max {
		s, cut = s[:max], true
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		if r == utf8.RuneError && n == 1 || !strconv.IsPrint(r) {
			q := strconv.Quote(s[:n])
			b.WriteString(q[1 : len(q)-1])
		} else {
			b.WriteString(s[:n])
		}
		s = s[n:]
	}
	if cut {
		b.WriteString("...")
	}
	return b.String()
}

// isClean reports whether clean would leave s as it is.
func isClean(s string, max int) bool { return len(s) <= max && clean(s, max) == s }
