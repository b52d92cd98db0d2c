package main

import (
	"regexp"
	"time"

	"github.com/silvermirror/smfs/backend"
)

// pointForms is what help texts say of a COMMIT|TIME.
const pointForms = `a commit id or its beginning (^ after it is the commit before that),
a time (2026-05-01, "2026-05-01 14:00", 14:00, today, yesterday, "yesterday 14:00",
"last week", RFC 3339; a day means its end), how long ago (90m, 36h, 3d, 2w), or latest`

var (
	commitForm = regexp.MustCompile(`^[0-9a-f]{4,40}\^?$`)
	ageForm    = regexp.MustCompile(`^[0-9]{1,5}d$`) // hex digits, too, but ages are what people write
)

// parsePoint turns a point in history into what the engine takes: a commit id
// or a time in RFC 3339. Times without a zone are in this process's, which need
// not be the engine's. Hex digits are a commit id, so a day is written with its
// dashes. what is the argument's name.
func parsePoint(what, s string) (string, error) {
	if s == "" || s == backend.Latest || commitForm.MatchString(s) && !ageForm.MatchString(s) {
		return s, nil
	}
	t, err := backend.ParseTime(s, time.Now())
	if err != nil {
		return "", backend.WithHint(usagef("%s %q: neither a commit nor a time", what, s), "write a commit id, or "+backend.TimeForms)
	}
	return t.UTC().Format(time.RFC3339Nano), nil
}
