package config

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestIgnore(t *testing.T) {
	for _, tt := range []struct {
		patterns string // separated by spaces
		ignored  string // a slash at the end is a directory
		kept     string
	}{
		{"*.tmp", "a.tmp x/a.tmp x.tmp/ x.tmp/y .tmp", "a.tmpx tmp"},
		{"foo", "foo foo/ x/foo foo/bar/baz", "foobar"},
		{"foo/", "foo/ foo/x x/foo/ x/foo/y", "foo x/foo"},
		{"/foo", "foo foo/x", "x/foo"},
		{"a/b", "a/b a/b/c", "x/a/b a b"},
		{"/*", "a a/ a/b", ""},
		{"*", "a a/b", ""},
		{"**", "a a/b", ""},
		{"**/b", "b a/b a/x/b b/c", "a ab"},
		{"a/**", "a/b a/b/c", "a a/ x/a/b"},
		{"a/**/b", "a/b a/x/b a/x/y/b", "a/bx b"},
		{"a/**/b/**/c", "a/b/c a/b/b/x/c a/x/b/c", "a/c a/x/c"},
		{"**/a/*/b", "a/x/b y/a/x/b", "a/b a/x/y/b"},
		{"a*c", "ac abc abbc", "ab a/c"},
		{"a/*c", "a/c a/bc", "a/b/c"},
		{"a?c", "abc", "ac a/c"},
		{"[a-c]x", "ax bx", "dx x"},
		{"[!a-c]x", "dx", "ax"},
		{"[^a]x", "bx", "ax"},
		{"[]a]x", "]x ax", "bx"},
		{"[a-]x", "-x ax", "bx"},
		{`[\]]x`, "]x", `\x`},
		{"[[:digit:]]x", "1x", "ax"},
		{`\*x`, "*x", "ax"},
		{`\!x`, "!x", "x"},
		{`a\/b`, "a/b", "x/a/b"},
		{"*.log !keep.log", "a.log", "keep.log x/keep.log"},
		{"!keep.log *.log", "a.log keep.log", ""},
		{"dir/ !dir/x", "dir/x dir/", "dir"},
		{"/* !/foo /foo/* !/foo/bar", "x foo/x", "foo/ foo/bar foo/bar/y"},
		{"*.tar.gz", "a.tar.gz", "a.gz tar.gz"},
		{"*~ #*#", "a~ #a#", "a #a"},
		{"", ".git .git/ .git/config x/.git/HEAD .hg/ .svn/ .bzr/", ".gitignore .github/x git"},
		{"!.git", ".hg/", ".git .git/config"},
		{"a[b / //", "", "a[b a[bc a"},
	} {
		ig := NewIgnore(strings.Fields(tt.patterns), false)
		for want, paths := range map[bool]string{true: tt.ignored, false: tt.kept} {
			for _, p := range strings.Fields(paths) {
				path, dir := strings.CutSuffix(p, "/")
				if got := ig.Match(path, dir); got != want {
					t.Errorf("%q: Match(%q, %v) = %v", tt.patterns, path, dir, got)
				}
			}
		}
	}
	if NewIgnore([]string{"**"}, false).Match("", true) {
		t.Error("the root is ignored")
	}
	if NewIgnore(nil, true).Match(".git/config", false) {
		t.Error("vcs = mirror ignores .git")
	}
}

// TestIgnoreAsGit compares with git itself: random patterns over a fixed tree.
func TestIgnoreAsGit(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	root := t.TempDir()
	git(t, root, nil, "init", "-q", "--template=")
	paths := plantTree(t, root)
	ignored := 0
	for range 120 {
		patterns := randomPatterns(rnd)
		if err := os.WriteFile(filepath.Join(root, ".gitignore"), []byte(strings.Join(patterns, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		want := gitIgnored(t, root, paths)
		ignored += len(want)
		ig := NewIgnore(patterns, true)
		for path, dir := range paths {
			if got := ig.Match(path, dir); got != want[path] {
				t.Fatalf("patterns %q: Match(%q, %v) = %v, git says %v", patterns, path, dir, got, want[path])
			}
		}
	}
	if ignored == 0 {
		t.Error("git ignored nothing: the comparison shows nothing")
	}
}

// plantTree makes directories and files three levels deep, and returns their
// paths with whether each is a directory.
func plantTree(t *testing.T, root string) map[string]bool {
	t.Helper()
	paths := map[string]bool{}
	var plant func(dir string, depth int)
	plant = func(dir string, depth int) {
		for _, name := range []string{"a", "b", "ab", "b.c", "é-1"} {
			path := join(dir, name)
			if isDir := depth < 3 && name != "b.c"; isDir {
				paths[path] = true
				if err := os.Mkdir(filepath.Join(root, path), 0o700); err != nil {
					t.Fatal(err)
				}
				plant(path, depth+1)
				continue
			}
			paths[path] = false
			if err := os.WriteFile(filepath.Join(root, path), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	plant("", 0)
	return paths
}

func randomPatterns(rnd *rand.Rand) []string {
	pick := func(list ...string) string { return list[rnd.IntN(len(list))] }
	patterns := make([]string, 1+rnd.IntN(5))
	for i := range patterns {
		var parts []string
		for range 1 + rnd.IntN(3) {
			part := pick("**", "*", "a", "b", "")
			if part == "" {
				for range 1 + rnd.IntN(3) {
					// No "a**/b": versions of git differ on it.
					part += pick("a", "b", "?", "[ab]", "[!a]", "[a-]", `\a`, ".c", "é", "[[:alpha:]]", "-1")
				}
				if rnd.IntN(3) == 0 {
					part = pick("*", "?*") + part
				} else if rnd.IntN(3) == 0 {
					part += "*"
				}
			}
			parts = append(parts, part)
		}
		patterns[i] = pick("", "", "", "!") + pick("", "", "/") + strings.Join(parts, "/") + pick("", "", "/")
	}
	return patterns
}

func gitIgnored(t *testing.T, root string, paths map[string]bool) map[string]bool {
	t.Helper()
	var in bytes.Buffer
	for path := range paths {
		fmt.Fprintf(&in, "%s\x00", path)
	}
	ignored := map[string]bool{}
	for path := range strings.SplitSeq(git(t, root, &in, "check-ignore", "--no-index", "-z", "--stdin"), "\x00") {
		if path != "" {
			ignored[path] = true
		}
	}
	return ignored
}

// git runs git; check-ignore's exit code 1 says that nothing is ignored.
func git(t *testing.T, dir string, in *bytes.Buffer, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", append([]string{"-c", "core.excludesFile=/dev/null", "-c", "core.ignoreCase=false"}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1")
	if in != nil {
		cmd.Stdin = in
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil && !(args[0] == "check-ignore" && cmd.ProcessState.ExitCode() == 1) {
		t.Fatalf("git %s: %v\n%s", args, err, stderr.Bytes())
	}
	return string(out)
}

// FuzzIgnore holds the matcher, with its tables by name and ending, against the
// rules taken one by one.
func FuzzIgnore(f *testing.F) {
	f.Add("*.a.b !x.b [a-", "x.a.b/y")
	f.Add("a/**/b/ ** !**/c", "a/x/y/b")
	f.Add(`\/ [/]x a\ `, "//")
	f.Fuzz(func(t *testing.T, patterns, path string) {
		list := strings.Fields(patterns)
		ig := NewIgnore(list, true)
		var rules []rule
		for _, p := range list {
			if r, err := newRule(p); err == nil {
				rules = append(rules, r)
			}
		}
		for _, dir := range []bool{false, true} {
			want := false
			for i := 0; i <= len(path) && !want && path != ""; i++ {
				if i < len(path) && path[i] != '/' {
					continue
				}
				for _, r := range rules {
					if (i < len(path) || dir || !r.dirOnly) && r.match(path[:i]) {
						want = !r.negated
					}
				}
			}
			if got := ig.Match(path, dir); got != want {
				t.Fatalf("%q: Match(%q, %v) = %v, rule by rule %v", list, path, dir, got, want)
			}
		}
	})
}

// TestIgnoreChild holds the short way against the long one, as a walk uses it.
func TestIgnoreChild(t *testing.T) {
	ig := NewIgnore(strings.Fields("*.tmp x/ !y/x/ /a/b"), false)
	for _, path := range []string{"a.tmp", "a", "a/b", "a/c", "a/x", "y/x", "y/a.tmp"} {
		if got, want := ig.MatchChild(path, true), ig.Match(path, true); got != want {
			t.Errorf("MatchChild(%q) = %v, Match says %v", path, got, want)
		}
	}
}

func BenchmarkIgnore(b *testing.B) {
	ig := NewIgnore(strings.Fields("*.tmp *.o *~ .cache/ node_modules/ build/ /dist *.sw? **/gen/*.go !keep.tmp target/ *.pyc __pycache__/"), false)
	for b.Loop() {
		if ig.Match("src/github.com/acme/project/internal/server/handler_test.go", false) {
			b.Fatal("ignored")
		}
	}
}
