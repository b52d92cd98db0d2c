package main

import (
	"regexp"
	"time"

	"github.com/silvermirror/smfs/backend"
)

// parseAt turns --at into what the engine takes: a commit id or a time in RFC
// 3339. Times without a zone are local; a duration counts back from now. Hex
// digits are a commit id, so a day is written with its dashes.
func parseAt(s string) (string, error) {
	if s == "" || regexp.MustCompile(`^[0-9a-f]{4,40}$`).MatchString(s) {
		return s, nil
	}
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return t.UTC().Format(time.RFC3339Nano), nil
	}
	for _, layout := range []string{"2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02T15:04:05", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, s, time.Local); err == nil {
			return t.UTC().Format(time.RFC3339Nano), nil
		}
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return time.Now().Add(-d).UTC().Format(time.RFC3339Nano), nil
	}
	return "", backend.WithHint(usagef("--at %q: neither a commit nor a time", s),
		`write a commit id, 2026-05-01, "2026-05-01 14:00", or how long ago: 90m, 36h`)
}
