package merge

import (
	"encoding/hex"
	"path"
	"strings"
	"unicode/utf8"

	"github.com/silvermirror/smfs/backend/object"
)

// conflictName is the name of what could not keep name:
// "report.conflict-3f2a91c4.txt". The digits come from its content.
func conflictName(name string, digits []byte) string {
	mark := ".conflict-" + hex.EncodeToString(digits)
	ext := path.Ext(name)
	if len(ext) == len(name) || len(ext) > 32 || strings.HasSuffix(name, ".") { // ".profile" has none
		ext = ""
	}
	stem := name[:len(name)-len(ext)]
	return shorten(stem, object.MaxName-len(mark)-len(ext)) + mark + ext
}

// shorten cuts s to at most size bytes, not inside a character.
func shorten(s string, size int) string {
	if len(s) <= size {
		return s
	}
	for i := 0; i < utf8.UTFMax && size > i; i++ {
		if utf8.RuneStart(s[size-i]) {
			return s[:size-i]
		}
	}
	return s[:size]
}
