package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/silvermirror/smfs/fstest"
)

type fileDiff struct {
	Action, Path, From, Kind, Patch string
	Content, Binary                 bool
	Differs                         int64
	Added, Deleted                  int
	Tagged                          []string
	Old, New                        *struct {
		Mode string
		Size int64
	}
}

// diffs is `smfs diff --json`, by path.
func diffs(t *testing.T, m *fstest.Mirror, args ...string) map[string]fileDiff {
	t.Helper()
	out := map[string]fileDiff{}
	text := m.Run(append([]string{"diff", "--json"}, args...)...)
	dec := json.NewDecoder(strings.NewReader(text))
	for dec.More() {
		var f fileDiff
		check(t, dec.Decode(&f))
		out[f.Path] = f
	}
	return out
}

func TestDiff(t *testing.T) {
	t.Parallel()
	m := one(t)
	shellIn(t, m, `seq 1 100 >numbers; mkdir -p d/sub; echo kept >d/sub/kept; echo gone >gone; printf 'a\0b' >binary
		head -c 4000000 /dev/urandom >large; ln -s numbers link; echo moved >moved; printf 'no end' >'odd "name'`)
	m.Run("commit", "-m", "before")
	at := m.Head()
	shellIn(t, m, `sed -i 's/^50$/fifty/' numbers; mv d e; echo more >>e/sub/kept; rm gone; printf 'a\0bc' >binary
		printf xx | dd of=large bs=1 seek=2000000 conv=notrunc status=none; ln -sfn binary link; mv moved e/renamed; chmod 700 e/renamed
		echo end >>'odd "name'; mkdir empty`)
	m.Run("wait")
	m.Run("tag", m.Path("numbers"), "work")

	got := diffs(t, m, at)
	if f := got["numbers"]; f.Action != "edit" || f.Added != 1 || f.Deleted != 1 || !strings.Contains(f.Patch, "\n-50\n+fifty\n") || len(f.Tagged) != 1 {
		t.Errorf("numbers: %+v", f)
	}
	if f := got["e"]; f.Action != "rename" || f.From != "d" || f.Kind != "directory" {
		t.Errorf("e: %+v", f)
	}
	if f := got["e/sub/kept"]; f.Action != "rename" || f.From != "d/sub/kept" || f.Patch != "@@ -1 +1,2 @@\n kept\n+more\n" {
		t.Errorf("e/sub/kept: %+v", f)
	}
	if f := got["e/renamed"]; f.From != "moved" || f.Content || f.Old.Mode != "100644" || f.New.Mode != "100700" {
		t.Errorf("e/renamed: %+v", f)
	}
	if f := got["large"]; !f.Binary || f.Patch != "" || f.Old.Size != 4000000 || f.Differs == 0 || f.Differs > 4<<20 {
		t.Errorf("large: %+v", f)
	}
	if f := got["binary"]; !f.Binary || f.New.Size != 4 {
		t.Errorf("binary: %+v", f)
	}
	if f := got["gone"]; f.Action != "delete" || f.New != nil || f.Patch != "@@ -1 +0,0 @@\n-gone\n" {
		t.Errorf("gone: %+v", f)
	}
	if _, ok := got["empty"]; !ok || len(got) != 10 {
		t.Errorf("%d differ: %v", len(got), got)
	}
	if only := diffs(t, m, m.Path("e"), at); len(only) != 3 {
		t.Errorf("in e differ %v", only)
	}
	if none := diffs(t, m, "now"); len(none) != 0 {
		t.Errorf("since now differ %v", none)
	}
	if all := diffs(t, m, "1h"); len(all) < 8 {
		t.Errorf("since before the history: %v", all)
	}

	out := m.Run("diff", at)
	contains(t, out, "diff --git a/d/ b/e/\nrename from d/\nrename to e/\n", "old mode 100644\nnew mode 100700\nrename from moved\n",
		"Binary files a/large and b/large differ (3.8 MiB, now 3.8 MiB, of which ", `"a/odd \"name"`, "\\ No newline at end of file", "deleted file mode 100644\n")
	if strings.Contains(out, "\x1b") {
		t.Error("there are colours in a pipe")
	}
	contains(t, m.Run("diff", "--stat", at), " numbers ", "| 2 +-\n", "d/sub/kept => e/sub/kept ", "binary, 3 B -> 4 B\n", " 10 changed, ")
	if names := strings.Fields(m.Run("diff", "--name-only", m.Path("e"), at)); strings.Join(names, " ") != "e/ e/renamed e/sub/kept" {
		t.Errorf("names: %q", names)
	}

	// Without a range: the last commit that touched the path.
	out = m.Run("diff", m.Path("e/sub/kept"))
	contains(t, out, "mirror: ", "+more\n")
	contains(t, m.Run("diff", m.Path("numbers")), "tag numbers: work", "tagged work\n")
	out = m.Run("diff", m.Path("gone"))
	contains(t, out, "-gone\n")
	id, _, _ := strings.Cut(out, " ")
	contains(t, m.Run("diff", "--name-only", id+"^.."+id), "gone\n")
	m.Run("commit", "-m", "a mark changes nothing")
	contains(t, m.Run("diff"), "tag numbers: work")

	// Log follows a directory, too, and names the programs.
	log := m.Run("log", "--json", m.Path("e"))
	contains(t, log, `"path":"e"`, `"path":"d"`, `"program":"`, `"resource":"mirror"`)
	if lines := strings.Split(strings.TrimSpace(m.Run("log", "--json", m.Path("e/renamed"))), "\n"); len(lines) < 2 || !strings.Contains(lines[len(lines)-1], `"path":"moved","kind":"file","size":6,"deleted":false}`) {
		t.Errorf("log of e/renamed: %q", lines)
	}

	exitsWith(t, m, 4, "never committed", "diff", m.Path("none"))
	exitsWith(t, m, 4, "was not there", "diff", m.Path("none"), at)
	exitsWith(t, m, 4, "no commit", "diff", "00000000")
	exitsWith(t, m, 2, "neither a commit nor a time", "diff", "soon..later")
}

// TestDiffApplies: patch(1) makes of the old text what the new one is.
func TestDiffApplies(t *testing.T) {
	t.Parallel()
	m := one(t)
	old := t.TempDir()
	lines := bytes.Repeat([]byte("a line that is there many times\n"), 20_000)
	for name, texts := range map[string][2]string{
		"f": {"1\n2\n3\n4\n5\n6\n7\n8\n9", "1\n2\nthree\n4\n5\n6\n7\n8\n9\n10\n"},
		"g": {"", "filled"}, "h": {"emptied\n", ""}, "i": {string(lines), string(lines) + "and one more\n"}, "j": {"x\xff\x1a\r\n", "y\xff\x1a\r\n"},
	} {
		check(t, os.WriteFile(filepath.Join(old, name), []byte(texts[0]), 0o644))
		write(t, m.Path(name), texts[0])
		defer func() {
			if got := content(t, filepath.Join(old, name)); got != texts[1] {
				t.Errorf("%s is %q", name, got[:min(len(got), 100)])
			}
		}()
	}
	m.Run("commit", "-m", "before")
	at := m.Head()
	write(t, m.Path("f"), "1\n2\nthree\n4\n5\n6\n7\n8\n9\n10\n")
	write(t, m.Path("g"), "filled")
	write(t, m.Path("h"), "")
	write(t, m.Path("i"), string(lines)+"and one more\n")
	write(t, m.Path("j"), "y\xff\x1a\r\n")
	cmd := exec.Command("git", "apply", "-")
	cmd.Dir, cmd.Stdin = old, strings.NewReader(m.Run("diff", at))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("git apply: %v\n%s", err, out)
	}
}

// TestRestoreToDirectory writes an old state of a directory elsewhere.
func TestRestoreToDirectory(t *testing.T) {
	t.Parallel()
	m := one(t)
	shellIn(t, m, `mkdir -p d/sub/empty; echo text >d/f; ln d/f d/sub/hard; ln -s ../f d/sub/link; head -c 3000000 /dev/urandom >d/large; chmod 750 d/f; chmod 500 d/sub/empty; setfattr -n user.x -v y d/f`)
	m.Run("commit", "-m", "before")
	at, want := m.Head(), fstest.List(t, m.Path("d"))
	shellIn(t, m, "echo new >d/f; mv d e; sleep 0.2; rm -r e")
	m.Run("wait")

	to := filepath.Join(t.TempDir(), "to")
	m.Run("restore", m.Path("d"), "--at", at, "--to", to)
	if got := fstest.List(t, to); got != want {
		t.Errorf("restored is\n%s\nand there was\n%s", got, want)
	}
	exitsWith(t, m, 7, "is not empty", "restore", m.Path("d"), "--at", at, "--to", to)
	exitsWith(t, m, 2, "no regular file", "restore", m.Path("d"), "--at", at, "--to", "-")
	file := filepath.Join(t.TempDir(), "file")
	m.Run("restore", m.Path("d/f"), "--at", at, "--to", file)
	if info, err := os.Stat(file); content(t, file) != "text\n" || err != nil || info.Mode() != 0o750 {
		t.Errorf("the file: %v, %v", info, err)
	}
	m.Run("restore", m.Path("d/sub/link"), "--at", at, "--to", file+".link")
	if target, err := os.Readlink(file + ".link"); target != "../f" {
		t.Errorf("the link: %q, %v", target, err)
	}
	m.Run("restore", m.Path("d"), "--at", at)
	if got := fstest.List(t, m.Path("d")); got != want {
		t.Errorf("back in the mirror is\n%s\nand there was\n%s", got, want)
	}
	check(t, sameAsHead(m, nil))
}
