package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/silvermirror/smfs/backend"
)

func side(mode string, size int64) *backend.FileSide {
	return &backend.FileSide{Mode: mode, Size: size}
}

// TestTextDiffOnTerminal: colours, and nothing that a terminal would act on; lines
// that come in pieces are put together.
func TestTextDiffOnTerminal(t *testing.T) {
	var out bytes.Buffer
	d := &textDiff{app: &app{stdout: &out}, terminal: true, colours: true}
	for _, p := range []backend.DiffPart{
		{File: &backend.FileDiff{Action: "rename", Path: "b\x1b[2J", From: "a", Kind: "file", Old: side("100644", 1), New: side("100755", 2), Content: true, Added: 1, Deleted: 1, Tagged: []string{"x"}}},
		{Patch: "@@ -1 +1 @@\n-ol"}, {Patch: "d\x1b[1m\r\n+new\tä\n\\ No newline at end of file\n"},
		{File: &backend.FileDiff{Action: "delete", Path: "d", Kind: "directory", Old: side("040755", 0)}},
		{File: &backend.FileDiff{Action: "add", Path: "large", Kind: "file", New: side("100644", 2048), Content: true, Binary: true}},
	} {
		if err := d.part(p); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.end(); err != nil {
		t.Fatal(err)
	}
	h, n := colourHead, colourReset+"\n"
	want := h + `diff --git a/a "b/b\\033[2J"` + n + h + "old mode 100644" + n + h + "new mode 100755" + n + h + "rename from a" + n + h + `rename to "b\\033[2J"` + n +
		h + "tagged x" + n + h + "--- a/a" + n + h + `+++ "b/b\\033[2J"` + n +
		colourHunk + "@@ -1 +1 @@" + n + colourOld + `-old\x1b[1m\r` + n + colourNew + "+new\tä" + n + "\\ No newline at end of file\n" +
		h + "diff --git a/d/ b/d/" + n + h + "deleted directory mode 040755" + n +
		h + "diff --git a/large b/large" + n + h + "new file mode 100644" + n + "Binary files /dev/null and b/large differ (2.0 KiB)\n"
	want = strings.ReplaceAll(want, `\\033`, `\033`)
	if out.String() != want {
		t.Errorf("got\n%q\nwant\n%q", out.String(), want)
	}
}

func TestStatDiff(t *testing.T) {
	var out bytes.Buffer
	d := &statDiff{app: &app{stdout: &out}}
	for _, f := range []*backend.FileDiff{
		{Path: "a", Kind: "file", Old: side("100644", 1), New: side("100644", 1), Content: true, Added: 300, Deleted: 100},
		{Path: "longer", From: "ä", Kind: "file", Old: side("100644", 1), New: side("100600", 1)},
		{Path: "one", Kind: "file", Old: side("100644", 1), New: side("100644", 1), Content: true, Added: 1},
	} {
		if err := d.part(backend.DiffPart{File: f}); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.end(); err != nil {
		t.Fatal(err)
	}
	want := " a           | 400 " + strings.Repeat("+", 30) + strings.Repeat("-", 10) + "\n" +
		" ä => longer | 0 (old mode 100644, new mode 100600)\n" +
		" one         | 1 +\n 3 changed, 301 lines added, 100 deleted\n"
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", &out, want)
	}
}

func TestQuoteName(t *testing.T) {
	for in, want := range map[string]string{
		"plain ä": "plain ä", `q"`: `"q\""`, `b\`: `"b\\"`, "a\nb": `"a\012b"`, "\xff": `"\377"`, "\u202e": `"\342\200\256"`,
	} {
		if got := quoteName(in); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}
