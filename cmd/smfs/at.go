package main

import (
	"time"

	"github.com/silvermirror/smfs/backend"
)

// parseAt turns --at into what the engine takes: a commit id or a time in RFC
// 3339. Times without a zone are in this process's, which need not be the
// engine's. Hex digits are a commit id, so a day is written with its dashes.
func parseAt(s string) (string, error) {
	if s == "" || s == backend.Latest || backend.IsCommit(s) {
		return s, nil
	}
	t, err := backend.ParseTime(s, time.Now())
	if err != nil {
		return "", backend.WithHint(usagef("--at %q: neither a commit nor a time", s), "write a commit id, or "+backend.TimeForms)
	}
	return t.UTC().Format(time.RFC3339Nano), nil
}
