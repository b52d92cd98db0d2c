package object

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode/utf8"
)

// ReservedName is the entry that carries a directory's metadata in its git
// tree. A user's own entry of that name is escaped.
const ReservedName = ".smfs"

// escapeName gives the name under which a git tree holds name. Most names are
// themselves. Those that git or a git host refuses, that git would give a
// meaning to, or that look escaped, get their first byte as %hh, and then
// every later '%' and '\' too (git looks for .git behind each backslash).
// Where that makes it longer than a filesystem takes, "%~" and the SHA-1 of the
// name stand for it, and only the metadata has the name.
func escapeName(name string, kind Kind) string {
	if !mustEscape(name, kind) {
		return name
	}
	escaped := escapeBytes(name)
	if len(escaped) <= MaxName {
		return escaped
	}
	sum := sha1.Sum([]byte(name))
	return hashMark + hex.EncodeToString(sum[:])
}

const hashMark = "%~"

// looksHashed tells whether a name looks like one that a hash stands for.
func looksHashed(name string) bool {
	return len(name) == len(hashMark)+2*sha1.Size && strings.HasPrefix(name, hashMark)
}

func escapeBytes(name string) string {
	var b strings.Builder
	for i := range len(name) {
		if c := name[i]; i == 0 || c == '%' || c == '\\' {
			writeHex(&b, c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// unescapeName undoes escapeName and refuses all that escapeName does not make.
// For what a hash stands for it gives a standIn.
func unescapeName(git string, kind Kind) (string, error) {
	if looksHashed(git) {
		return standInMark + git, nil
	}
	name := git
	if looksEscaped(git) {
		var err error
		if name, err = unhex(git); err != nil {
			return "", err
		}
	}
	if escapeName(name, kind) != git {
		return "", fmt.Errorf("name %q: %w: not in its canonical escaped form", git, ErrInvalid)
	}
	return name, nil
}

// standInMark is in no name.
const standInMark = "\x00"

// standIn is what stands for a name in the order of the metadata: the name, or
// what unescapeName gives for it while the name is not known.
func standIn(e *Entry) string {
	if 3*len(e.Name) > MaxName { // else no escaping makes it too long
		if git := escapeName(e.Name, e.Kind); looksHashed(git) {
			return standInMark + git
		}
	}
	return e.Name
}

func mustEscape(name string, kind Kind) bool {
	if looksEscaped(name) || looksHashed(name) || strings.EqualFold(name, ReservedName) {
		return true
	}
	if gitReserved(hfsFold(name), kind) {
		return true
	}
	for part := range strings.SplitSeq(name, `\`) {
		if gitReserved(ntfsFold(part), kind) || isShortName(part) {
			return true
		}
	}
	return false
}

// gitReserved says whether git treats the (already folded) name as its own.
// .gitmodules and .gitattributes are read by hosts and by checkouts: as a
// user's data they must be neither. The other two matter as symlinks alone.
func gitReserved(folded string, kind Kind) bool {
	switch folded {
	case ".git", ".gitmodules", ".gitattributes":
		return true
	case ".gitignore", ".mailmap":
		return kind == Symlink
	}
	return false
}

// ntfsFold is name as NTFS takes it: case, trailing dots and spaces, and a
// stream's name do not count.
func ntfsFold(name string) string {
	name, _, _ = strings.Cut(name, ":")
	return lowerASCII(strings.TrimRight(name, ". "))
}

// hfsFold is name as HFS+ takes it: case and ignorable code points do not
// count. Like git, it ends at the first byte that is not UTF-8.
func hfsFold(name string) string {
	if name == "" || (name[0] != '.' && name[0] < utf8.RuneSelf) {
		return name // only names that begin with a dot can matter
	}
	var b strings.Builder
	for i := 0; i < len(name); {
		r, n := utf8.DecodeRuneInString(name[i:])
		if r == utf8.RuneError && n <= 1 || r&0xfffe == 0xfffe {
			break
		}
		if !hfsIgnored(r) {
			b.WriteRune(r)
		}
		i += n
	}
	return lowerASCII(b.String())
}

func hfsIgnored(r rune) bool {
	return r >= 0x200c && r <= 0x200f || r >= 0x202a && r <= 0x202e || r >= 0x206a && r <= 0x206f || r == 0xfeff
}

// shortStems are what Windows shortens git's names to, before the "~".
var shortStems = [...]string{"git", "gitmod", "gitatt", "gitign", "mailma", "gi7eba", "gi7d29", "gi250a", "maba30"}

// isShortName says whether name may be a Windows short name of one of git's
// names. It covers somewhat more than git refuses, which does no harm.
func isShortName(name string) bool {
	i := strings.IndexByte(name, '~')
	if i < 0 || i > 6 || i+1 >= len(name) || name[i+1] < '0' || name[i+1] > '9' {
		return false
	}
	stem := lowerASCII(name[:i])
	for _, s := range shortStems {
		if strings.HasPrefix(s, stem) {
			return true
		}
	}
	return false
}

func looksEscaped(name string) bool {
	return len(name) >= 3 && name[0] == '%' && hexValue(name[1]) >= 0 && hexValue(name[2]) >= 0
}

func lowerASCII(s string) string {
	for i := range len(s) {
		if 'A' <= s[i] && s[i] <= 'Z' {
			return strings.Map(func(r rune) rune {
				if 'A' <= r && r <= 'Z' {
					return r + 'a' - 'A'
				}
				return r
			}, s)
		}
	}
	return s
}

const hexDigits = "0123456789abcdef"

func writeHex(b *strings.Builder, c byte) {
	b.WriteByte('%')
	b.WriteByte(hexDigits[c>>4])
	b.WriteByte(hexDigits[c&15])
}

// hexValue takes digits of either case, so that names with either look escaped.
func hexValue(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// unhex replaces every %hh in s by its byte.
func unhex(s string) (string, error) {
	if strings.IndexByte(s, '%') < 0 {
		return s, nil
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b = append(b, s[i])
			continue
		}
		if i+2 >= len(s) || hexValue(s[i+1]) < 0 || hexValue(s[i+2]) < 0 {
			return "", fmt.Errorf("%.100q: %w: bad %%hh escape", s, ErrInvalid)
		}
		b = append(b, byte(hexValue(s[i+1])<<4|hexValue(s[i+2])))
		i += 2
	}
	return string(b), nil
}
