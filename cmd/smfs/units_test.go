package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/silvermirror/smfs/backend"
	"github.com/silvermirror/smfs/backend/node"
	"github.com/silvermirror/smfs/fs"
	"github.com/spf13/cobra"
)

func TestRel(t *testing.T) {
	tmp := t.TempDir()
	base := filepath.Join(tmp, "mirror")
	mkfiles(t, tmp, "mirror/", "mirror/docs/", "mirrored/", "out/")
	for link, target := range map[string]string{
		filepath.Join(tmp, "link"):        base,
		filepath.Join(base, "docs", "up"): "../../out",
	} {
		if err := os.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		cwd, arg, want string
		err            bool
	}{
		{base, ".", "", false},
		{base, base, "", false},
		{base, base + "/docs/a.txt", "docs/a.txt", false},
		{base, "docs//a.txt", "docs/a.txt", false},
		{base + "/docs", "../docs/./a", "docs/a", false},
		{base, "\xff\n", "\xff\n", false},
		{base, "..a", "..a", false},
		{base, ".silvermirrors", ".silvermirrors", false},
		{tmp, "link/docs/a", "docs/a", false},
		{tmp + "/link", "docs/a", "docs/a", false},
		{base, "docs/up/x", "docs/up/x", false}, // by its letters, for the engine to refuse
		{base, "..", "", true},
		{base, "../out", "", true},
		{base, "../mirrored/a", "", true},
		{base, "docs/../../out", "", true},
		{base, "/", "", true},
		{base, "", "", true},
		{base, ".silvermirror", "", true},
		{base, ".silvermirror/node.key", "", true},
	} {
		a := &app{getwd: func() (string, error) { return c.cwd, nil }}
		got, err := a.rel(base, c.arg)
		if got != c.want || (err != nil) != c.err {
			t.Errorf("in %s: %q is %q, %v, want %q, error %v", c.cwd, c.arg, got, err, c.want, c.err)
		}
	}
}

func TestParsePoint(t *testing.T) {
	local := time.Date(2026, 5, 1, 14, 0, 0, 0, time.Local).UTC().Format(time.RFC3339Nano)
	endOfMay1 := time.Date(2026, 5, 2, 0, 0, 0, -1, time.Local).UTC().Format(time.RFC3339Nano)
	for in, want := range map[string]string{
		"": "", "0123abcd": "0123abcd", "0123abcd^": "0123abcd^", strings.Repeat("a", 40): strings.Repeat("a", 40),
		"2026-05-01T14:00:00+02:00": "2026-05-01T12:00:00Z", "2026-05-01 14:00": local, "2026-05-01 14:00:00": local, "2026-05-01T14:00": local,
		"2026-05-01": endOfMay1, "latest": "latest",
	} {
		if got, err := parsePoint("--at", in); err != nil || got != want {
			t.Errorf("%q: %q, %v, want %q", in, got, err, want)
		}
	}
	before := time.Now()
	for in, days := range map[string]int{"48h": 2, "2d": 2, "1000d": 1000, "last week": 7} {
		got, err := parsePoint("--at", in)
		if err != nil {
			t.Fatal(err)
		}
		at, err := time.Parse(time.RFC3339Nano, got)
		summer := time.Hour // clocks may be put forward or back in between
		if err != nil || at.Before(before.AddDate(0, 0, -days).Add(-summer)) || at.After(time.Now().AddDate(0, 0, -days).Add(summer)) {
			t.Errorf("%s is %v, %v", in, at, err)
		}
	}
	y, m, d := before.Date()
	got, err := parsePoint("--at", "yesterday")
	if want := time.Date(y, m, d, 0, 0, 0, -1, time.Local).UTC().Format(time.RFC3339Nano); err != nil || got != want {
		t.Errorf("yesterday is %q, %v, want %q", got, err, want)
	}
	for _, bad := range []string{"tomorrow", "2026-13-01", "-2d", "-2h", "xyz", strings.Repeat("a", 41), "abc"} {
		if got, err := parsePoint("--at", bad); err == nil {
			t.Errorf("%q: %q", bad, got)
		}
	}
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"plain ä €": "plain ä €", "a\nb\tc": `a\nb\tc`, "\x1b[31m": `\x1b[31m`, "\xff": `\xff`,
		"\u202egnp": `\u202egnp`, "\u2028": `\u2028`, "\x7f": `\u007f`, "\x00": `\x00`, `back\slash`: `back\slash`,
	} {
		if in == "\x7f" {
			want = `\x7f`
		}
		if got := clean(in); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

func TestSize(t *testing.T) {
	for in, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 3 << 30: "3.0 GiB", 1<<63 - 1: "8.0 EiB"} {
		if got := size(in); got != want {
			t.Errorf("%d: %s, want %s", in, got, want)
		}
	}
}

// Numbers are promises: this is what scripts rely on.
func TestExitCodes(t *testing.T) {
	for err, want := range map[error]int{
		backend.ErrNotFound: 4, errMounted: 5, errNotMounted: 6, backend.ErrRefused: 7, backend.ErrTimeout: 8,
		backend.ErrUnreachable: 9, backend.ErrBusy: 10, node.ErrLocked: 10, backend.ErrDamaged: 11, fs.ErrNoDevice: 12, fs.ErrNoHelper: 12, fs.ErrHung: 13,
		errStale: 13, fmt.Errorf("other"): 1, &usageError{os.ErrInvalid}: 2, &configError{os.ErrInvalid}: 3,
		&childError{Code: 9}: 9,
	} {
		if got := exitCode(fmt.Errorf("wrapped: %w", err)); got != want {
			t.Errorf("%v: %d, want %d", err, got, want)
		}
	}
	seen := map[int]bool{}
	for _, m := range exitMeanings() {
		if seen[m.code] || m.meaning == "" {
			t.Errorf("%d is explained twice, or not", m.code)
		}
		seen[m.code] = true
	}
	for code := range exitStale + 1 {
		if !seen[code] {
			t.Errorf("%d is not explained", code)
		}
	}
}

func TestEveryCommandIsDocumented(t *testing.T) {
	var walk func(c *cobra.Command)
	n := 0
	walk = func(c *cobra.Command) {
		n++
		if c.Short == "" || strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: short help %q", c.CommandPath(), c.Short)
		}
		if c.Runnable() && !c.Hidden && !c.HasSubCommands() && !strings.Contains(c.Example, "smfs ") {
			t.Errorf("%s: no example", c.CommandPath())
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(newRoot(newApp()))
	if n < 20 {
		t.Errorf("only %d commands", n)
	}
}

func TestHomeIsNotMountedOver(t *testing.T) {
	tmp := t.TempDir()
	mkfiles(t, tmp, "me/", "me/mirror/", "men/")
	if err := os.Symlink("me", filepath.Join(tmp, "link")); err != nil {
		t.Fatal(err)
	}
	a := &app{env: func(string) string { return filepath.Join(tmp, "me") }}
	for dir, refused := range map[string]bool{"me": true, "": true, "link": true, "me/mirror": false, "men": false} {
		if err := a.checkHome(filepath.Join(tmp, dir)); (err != nil) != refused {
			t.Errorf("%q: %v, want refused %v", dir, err, refused)
		}
	}
}

func TestResolve(t *testing.T) {
	tmp, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	mkfiles(t, tmp, "real/", "real/m/")
	if err := os.Symlink("real", filepath.Join(tmp, "link")); err != nil {
		t.Fatal(err)
	}
	for in, want := range map[string]string{
		"real/m": "real/m", "link/m": "real/m", "link": "real", "link/new": "real/new", "no/such": "no/such",
	} {
		if got := resolve(filepath.Join(tmp, in)); got != filepath.Join(tmp, want) {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func TestGuardGivesUp(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	_, err := guarded("/m", time.Millisecond, func() (int, error) {
		<-release
		return 1, nil
	})
	if !errors.Is(err, fs.ErrHung) || exitCode(err) != exitStale {
		t.Errorf("a look that does not come back: %v", err)
	}
	if n, err := guarded("/m", time.Hour, func() (int, error) { return 7, os.ErrExist }); n != 7 || err != os.ErrExist {
		t.Errorf("a look that does: %d, %v", n, err)
	}
}

func TestNoMountHere(t *testing.T) {
	for _, dir := range []string{t.TempDir(), "/", "/proc", "/nonexistent"} {
		if socket, err := mountedSocket(dir); socket != "" || err != nil {
			t.Errorf("%s: %q, %v", dir, socket, err)
		}
	}
}
