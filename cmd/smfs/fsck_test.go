package main

import (
	"strings"
	"testing"

	"github.com/silvermirror/smfs/backend"
)

// TestFsck prints a finding a line, and exits by the worst.
func TestFsck(t *testing.T) {
	news := func(states ...string) (list []backend.FsckNews) {
		list = []backend.FsckNews{{Looking: "docs: the history"}}
		for _, s := range states {
			list = append(list, backend.FsckNews{Finding: &backend.Finding{Resource: "docs", Part: "store", State: s, Text: "a\nb", Hint: "do this"}})
		}
		return list
	}
	for name, c := range map[string]struct {
		news []backend.FsckNews
		code int
		says string
	}{
		"clean":   {news(), exitOK, "nothing is damaged\n"},
		"noted":   {news(backend.Noted), exitOK, "docs: store: noted: a\\nb; do this\nnothing is damaged\n"},
		"mended":  {news(backend.Mended), exitMended, "docs: store: mended: a\\nb; do this\n"},
		"damaged": {news(backend.Mended, backend.Damaged), exitDamaged, "docs: store: mended: a\\nb; do this\ndocs: store: damaged: a\\nb; do this\n"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.api.news = c.news
			f.serve(true)
			if code := f.run("fsck"); code != c.code || f.stdout.String() != c.says {
				t.Errorf("exit %d, %q; want %d, %q", code, f.stdout.String(), c.code, c.says)
			}
			if !strings.HasPrefix(f.stderr.String(), "smfs: looking at docs: the history\n") {
				t.Errorf("stderr: %s", &f.stderr)
			}
			if code := f.run("fsck", "--json", "--repair"); code != c.code || !strings.HasPrefix(f.stdout.String(), "{\n  \"findings\": [") {
				t.Errorf("exit %d, %s", code, &f.stdout)
			}
			if !f.api.fscked.Repair {
				t.Error("--repair did not arrive")
			}
		})
	}
}
