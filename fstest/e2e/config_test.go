package e2e

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/silvermirror/smfs/fstest"
	"github.com/silvermirror/smfs/fstest/sshd"
)

// configured gives a mirror another config file.
func configured(t *testing.T, m *fstest.Mirror, lines ...string) {
	t.Helper()
	file := m.Path(".silvermirror/config.ini")
	check(t, os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o644))
}

// resourceNames lists what status lists.
func resourceNames(m *fstest.Mirror) string {
	var names []string
	for _, r := range m.Status().Resources {
		names = append(names, r.Name)
	}
	return strings.Join(names, " ")
}

// TestTwoResources has a mirror with two resources and their ignore patterns:
// each has a history of its own, and the base's other files have none.
func TestTwoResources(t *testing.T) {
	t.Parallel()
	a, b, host := pairOf(t)
	for _, m := range []*fstest.Mirror{a, b} {
		configured(t, m, "[::SilverMirror::]", "ignore = *.tmp", "[docs]", "ignore = drafts/", "[pictures]", "directory = media/pictures")
		m.Mount()
	}
	connect(t, a, b, host)
	if got := resourceNames(a); got != "docs pictures" {
		t.Errorf("resources: %s", got)
	}
	check(t, put(a, "docs/one", "1"))
	check(t, put(a, "docs/one.tmp", "1"))
	check(t, os.Mkdir(a.Path("docs/drafts"), 0o755))
	check(t, put(a, "docs/drafts/secret", "1"))
	check(t, put(b, "media/pictures/two", "2"))
	mirrored(a, b)
	has("docs/one", "1")(t, b, "")
	has("media/pictures/two", "2")(t, a, "")
	absent(t, b.Path("docs/one.tmp"))
	absent(t, b.Path("docs/drafts"))
	contains(t, a.Run("log", a.Path("docs")), "docs:")
	refused(t, a, []string{"sync", "no-such-resource"}, "no-such-resource", "docs, pictures")
	refused(t, a, []string{"tag", a.Path("media"), "work"}, "media")

	b.Umount()
	has("media/pictures/two", "2")(t, b, "")
	for name, m := range map[string]string{"docs": "one", "pictures": "two"} {
		out, err := exec.Command("git", "--git-dir="+b.Path(".silvermirror/store/"+name+".git"), "ls-tree", "-r", "--name-only", "main").Output()
		check(t, err)
		contains(t, string(out), m)
	}
}

// TestNamespacedResource has [docs:private] on two of three nodes: the third
// gets docs, and nothing of what is private.
func TestNamespacedResource(t *testing.T) {
	t.Parallel()
	a, b, host := pairOf(t)
	c := fstest.NewMirror(t, a.Program, "C")
	with := []string{"[::SilverMirror::]", "[docs]", "ignore = *.tmp", "[docs:private]"}
	configured(t, a, with...)
	configured(t, b, with[:3]...)
	configured(t, c, with...)
	for _, m := range []*fstest.Mirror{a, b, c} {
		m.Mount()
	}
	connect(t, a, b, host)
	a.Run("peer", "add", "c", host.URL(c.Dir), "--command", a.Program.Path)
	check(t, put(a, "docs/open", "o"))
	check(t, put(a, "docs/private/diary", "p"))
	check(t, put(a, "docs/private/diary.tmp", "p"))
	mirrored(a, b)
	c.Run("wait", "--mirrored", "--timeout", "60s")
	has("docs/open", "o")(t, b, "")
	absent(t, b.Path("docs/private"))
	has("docs/open", "o")(t, c, "")
	has("docs/private/diary", "p")(t, c, "")
	absent(t, c.Path("docs/private/diary.tmp")) // ignore is inherited
	for _, name := range []string{"docs", "docs:private"} {
		if _, err := os.Stat(a.Path(".silvermirror/store/" + name + ".git")); err != nil {
			t.Error(err)
		}
	}
}

// TestExternalResource has a resource whose directory is elsewhere: it is seen
// in the mount, and mirrored.
func TestExternalResource(t *testing.T) {
	t.Parallel()
	a, b, host := pairOf(t)
	outside := filepath.Join(t.TempDir(), "outside")
	check(t, os.Mkdir(outside, 0o755))
	check(t, os.WriteFile(filepath.Join(outside, "there"), []byte("before"), 0o644))
	configured(t, a, "[::SilverMirror::]", "[docs]", "[far]", "directory = "+outside)
	configured(t, b, "[::SilverMirror::]", "[docs]", "[far]")
	a.Mount()
	b.Mount()
	connect(t, a, b, host)
	check(t, put(a, "far/new", "through the mount"))
	if got := content(t, filepath.Join(outside, "new")); got != "through the mount" {
		t.Errorf("outside has %q", got)
	}
	check(t, put(b, "far/from-b", "b"))
	mirrored(a, b)
	has("far/there", "before")(t, b, "")
	has("far/new", "through the mount")(t, b, "")
	if got := content(t, filepath.Join(outside, "from-b")); got != "b" {
		t.Errorf("outside has %q", got)
	}
	check(t, os.WriteFile(filepath.Join(outside, "beside"), []byte("beside the mount"), 0o644))
	a.Run("sync")
	has("far/beside", "beside the mount")(t, b, "")
}

// TestHostsInConfig has a peer that only the config names.
func TestHostsInConfig(t *testing.T) {
	t.Parallel()
	host := sshd.Start(t)
	p := fstest.Program{Path: fstest.Build(t), Env: host.Env()}
	bin := t.TempDir() // smfs is in the PATH of the other machine, as the config has no --command
	check(t, os.Symlink(p.Path, filepath.Join(bin, "smfs")))
	host.SetEnv("PATH=" + bin + ":" + os.Getenv("PATH"))
	a, b := fstest.NewMirror(t, p, "A"), fstest.NewMirror(t, p, "B")
	t.Cleanup(host.Down)
	configured(t, a, "[::SilverMirror::]", "hosts = "+host.URL(b.Dir), "[mirror]", "directory = .")
	a.Mount()
	check(t, put(a, "file", "x"))
	a.Run("wait", "--mirrored", "--timeout", "60s")
	has("file", "x")(t, b, "")
	list := peers(t, a)
	if len(list) != 1 || list[0].URL != host.URL(b.Dir) {
		t.Fatalf("peers: %+v", list)
	}
	refused(t, a, []string{"peer", "remove", list[0].Name}, "config file", "hosts")
}

// TestBrokenConfig mounts with files that are wrong: the error has the file,
// the line, the key and what was expected, and nothing is mounted.
func TestBrokenConfig(t *testing.T) {
	t.Parallel()
	m := fstest.NewMirror(t, fstest.Program{Path: fstest.Build(t)}, "M")
	file := m.Path(".silvermirror/config.ini")
	for _, c := range []struct {
		name  string
		lines []string
		says  []string
	}{
		{"an unknown key", []string{"[docs]", "ignored = x"}, []string{file + ":2: ", "ignored", "expected one of directory, ignore"}},
		{"a bad number", []string{"[::SilverMirror::]", "", "timeout = soon"}, []string{file + ":3: ", "timeout", "expected seconds"}},
		{"a bad duration", []string{"[docs]", "settle = 5"}, []string{file + ":2: ", "settle", "such as 50ms"}},
		{"an unknown handler", []string{"[docs]", "conflict = KeepNone"}, []string{file + ":2: ", "conflict", "KeepBoth"}},
		{"a section that is no resource", []string{"[docs]", "[../up]"}, []string{file + ":2: ", "../up"}},
		{"a reserved name", []string{"[docs]", "directory = .silvermirror/docs"}, []string{file, "reserved"}},
		{"two at one place", []string{"[docs]", "[more]", "directory = docs"}, []string{file + ":2: ", "[docs]"}},
		{"a key outside of sections", []string{"directory = x"}, []string{file + ":1: "}},
		{"an open section", []string{"[docs"}, []string{file + ":1: "}},
		{"no key", []string{"[docs]", "what is this"}, []string{file + ":2: "}},
		{"a host with a bad port", []string{"[docs]", "hosts = ssh://nas:99999/x"}, []string{file + ":2: ", "hosts", "port"}},
		{"a host by http", []string{"[docs]", "", "hosts = http://nas/x"}, []string{file + ":3: ", "hosts", "http", "ssh://HOST/PATH"}},
		{"a host of another scheme", []string{"[docs]", "hosts = gopher://x/y"}, []string{file + ":2: ", "hosts", "ssh"}},
	} {
		configured(t, m, c.lines...)
		for _, args := range [][]string{{"mount", m.Dir}, {"status"}, {"sync"}} {
			out := refused(t, m, args, c.says...)
			if code := exit(t, m, args...); code != 3 {
				t.Errorf("%s: exit code %d:\n%s", c.name, code, out)
			}
		}
		if t.Failed() {
			t.Fatal(c.name)
		}
	}
	configured(t, m, "[mirror]", "directory = .")
	m.Mount()
}

// exit is the program's exit code.
func exit(t *testing.T, m *fstest.Mirror, args ...string) int {
	t.Helper()
	_, err := m.Try(args...)
	var e *exec.ExitError
	if err == nil {
		return 0
	}
	if !errors.As(err, &e) {
		t.Fatal(err)
	}
	return e.ExitCode()
}

// TestConfigElsewhere mounts by -c.
func TestConfigElsewhere(t *testing.T) {
	t.Parallel()
	p := fstest.Program{Path: fstest.Build(t)}
	m := fstest.NewMirror(t, p, "M")
	check(t, os.RemoveAll(m.Path(".silvermirror")))
	file := filepath.Join(t.TempDir(), "elsewhere.ini")
	check(t, os.WriteFile(file, []byte("[::SilverMirror::]\nbasedir = "+m.Dir+"\n[docs]\n"), 0o644))
	m.Run("-c", file, "mount", m.Dir)
	check(t, put(m, "docs/one", "1"))
	m.Run("wait", "--committed")
	m.Run("sync", "docs")
	if got := resourceNames(m); got != "docs" {
		t.Errorf("resources: %s", got)
	}
	m.Umount()
	m.Mount() // it remembers where its config is
	has("docs/one", "1")(t, m, "")
}

// TestOutsideOfResources names in the status what no resource has.
func TestOutsideOfResources(t *testing.T) {
	t.Parallel()
	m := fstest.NewMirror(t, fstest.Program{Path: fstest.Build(t)}, "M")
	configured(t, m, "[docs]", "[pictures]", "directory = media/pictures")
	m.Mount()
	check(t, put(m, "docs/one", "1"))
	check(t, put(m, "media/pictures/two", "2"))
	if s := m.Status(); len(s.Outside) > 0 {
		t.Errorf("outside: %q", s.Outside)
	}
	check(t, put(m, "file", "x"))
	check(t, os.Mkdir(m.Path("dir"), 0o755))
	check(t, put(m, "dir/below", "x"))
	check(t, put(m, "media/beside", "x"))
	if got := strings.Join(m.Status().Outside, " "); got != "dir file media/beside" {
		t.Errorf("outside: %q", got)
	}
	contains(t, m.Run("status"), "in no resource, stays on this machine: media/beside")
}

// TestLogOfSeveralResources is one list, newest first.
func TestLogOfSeveralResources(t *testing.T) {
	t.Parallel()
	m := fstest.NewMirror(t, fstest.Program{Path: fstest.Build(t)}, "M")
	configured(t, m, "[a]", "[b]")
	m.Mount()
	for _, path := range []string{"a/one", "b/two", "a/three", "b/four"} {
		check(t, put(m, path, path))
		m.Run("wait")
		time.Sleep(1100 * time.Millisecond) // commits have whole seconds
	}
	var got []string
	for line := range strings.Lines(m.Run("log", "-n", "3")) {
		got = append(got, strings.Fields(line[strings.Index(line, ": add ")+6:])[0])
	}
	if strings.Join(got, " ") != "four three two" {
		t.Errorf("log: %v", got)
	}
}
