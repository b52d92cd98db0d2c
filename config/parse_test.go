package config

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

const testFile = "/m/.silvermirror/config.ini"

func mustParse(t *testing.T, file, data string) *Config {
	t.Helper()
	c, err := Parse(file, []byte(data))
	if err != nil {
		t.Fatalf("Parse: %v", err)
	}
	return c
}

func TestParseWhole(t *testing.T) {
	t.Setenv("HOME", "/home/ann")
	c := mustParse(t, "/etc/silvermirror", "\uFEFF"+`
; a comment
[::SilverMirror::]   ; the main section
directory = ~/mirror          ; base
ignore    = *.tmp .cache/  "My Files/" '#*#'   # emacs
hosts     = laptop ssh://nas.lan/volume/mirror
conflict  = Newest
conflict.push = ClobberRemote
conflict.pull = ClobberLocal
conflict.*.md = Merge
timeout   = 3
settle    = 0
vcs = mirror

[docs:private]
directory = /srv/secret files
conflict = "exec:ask ; then"
[docs]
ignore =
    ; one pattern a line
    drafts/

    Two Words*   ; a comment
    "tail "
	!*.keep
hosts =
conflict.*.md = exec:mymerge --fast
timeout = 1m30s
[photos]
directory = pictures/all
ignore = *.a *.b
         *.c
vcs = ignore
hosts = nas
    cloud
`)
	if c.Base != "/home/ann/mirror" || c.File != "/etc/silvermirror" {
		t.Errorf("Base %q, File %q", c.Base, c.File)
	}
	main := Options{
		Ignore:           []string{"*.tmp", ".cache/", "My Files/", "#*#"},
		Hosts:            []string{"laptop", "ssh://nas.lan/volume/mirror"},
		Conflict:         Newest,
		ConflictPush:     ClobberRemote,
		ConflictPull:     ClobberLocal,
		ConflictPatterns: []PatternHandler{{"*.md", Merge}},
		Timeout:          3 * time.Second,
		VCS:              true,
	}
	docs := main
	docs.Ignore = append(docs.Ignore[:4:4], "drafts/", "Two Words*", "tail ", "!*.keep")
	docs.Hosts = nil
	docs.ConflictPatterns = append(docs.ConflictPatterns[:1:1], PatternHandler{"*.md", "exec:mymerge --fast"})
	docs.Timeout = 90 * time.Second
	private := docs
	private.Conflict = "exec:ask ; then"
	photos := main
	photos.Ignore = append(photos.Ignore[:4:4], "*.a", "*.b", "*.c")
	photos.Hosts = []string{"nas", "cloud"}
	photos.VCS = false
	want := []Resource{
		{Name: "docs:private", Path: "docs/private", Directory: "/srv/secret files", External: true, Options: private},
		{Name: "docs", Path: "docs", Directory: "/home/ann/mirror/docs", Options: docs},
		{Name: "photos", Path: "pictures/all", Directory: "/home/ann/mirror/pictures/all", Options: photos},
	}
	if !reflect.DeepEqual(c.Main, main) {
		t.Errorf("Main\n got %+v\nwant %+v", c.Main, main)
	}
	if !reflect.DeepEqual(c.Resources, want) {
		t.Errorf("Resources\n got %+v\nwant %+v", c.Resources, want)
	}
	again := mustParse(t, c.File, string(c.Encode()))
	if !reflect.DeepEqual(c, again) {
		t.Errorf("encoded and parsed again\n got %+v\nwant %+v\nfrom\n%s", again, c, c.Encode())
	}
}

func TestInheritedListsAreNotShared(t *testing.T) {
	c := mustParse(t, testFile, "[::SilverMirror::]\nignore = a b c\n[x]\nignore = x1\n[y]\nignore = y1\n[x:z]\nignore = z1\n[x:w]\nignore = w1\n")
	for name, want := range map[string]string{"x": "a b c x1", "y": "a b c y1", "x:z": "a b c x1 z1", "x:w": "a b c x1 w1"} {
		if got := strings.Join(c.Resource(name).Ignore, " "); got != want {
			t.Errorf("%s: ignore %q, want %q", name, got, want)
		}
	}
}

func TestIndentation(t *testing.T) {
	c := mustParse(t, testFile, "[docs]\n  ignore = a\n    b c\n\td\n  hosts = x\n  timeout = 1\n")
	if r := c.Resource("docs"); strings.Join(r.Ignore, "|") != "a|b|c|d" || len(r.Hosts) != 1 {
		t.Errorf("indented keys: %+v", r)
	}
}

func TestBase(t *testing.T) {
	t.Setenv("HOME", "/home/ann")
	for _, tt := range []struct{ file, directory, want string }{
		{testFile, "", "/m"},
		{testFile, "directory = .", "/m"},
		{testFile, "directory = sub", "/m/sub"},
		{testFile, "basedir = /x/../y", "/y"},
		{testFile, "directory = ~", "/home/ann"},
		{testFile, "directory = ./~ann", "/m/~ann"},
		{"/home/ann/.silvermirror", "", "/home/ann"},
		{"/home/ann/.silvermirror", "directory = mirror", "/home/ann/mirror"},
		{"/etc/silvermirror", "", "/home/ann"},
	} {
		c := mustParse(t, tt.file, "[::SilverMirror::]\n"+tt.directory+"\n[docs]\n")
		if c.Base != tt.want {
			t.Errorf("%s with %q: base %q, want %q", tt.file, tt.directory, c.Base, tt.want)
		}
		again := mustParse(t, tt.file, string(c.Encode()))
		if !reflect.DeepEqual(c, again) {
			t.Errorf("%s with %q: encoded and parsed again: %+v, want %+v", tt.file, tt.directory, again, c)
		}
	}
}

func TestParseErrors(t *testing.T) {
	t.Setenv("HOME", "/home/ann")
	main := "[::SilverMirror::]\n"
	for _, tt := range []struct {
		name, data string
		line       int
		key        string
		message    string // part of the whole message
	}{
		{"empty file", "", 0, "", "names no resource; expected at least one section"},
		{"no resource", main, 0, "", "names no resource"},
		{"NUL", "[a]\n\x00", 0, "", "NUL"},
		{"no section", "\nhosts = a\n", 2, "hosts", "before the first section"},
		{"open header", "[docs\n", 1, "", "expected [name] on a line of its own"},
		{"text after a header", "[docs] x = 1\n", 1, "", "not a section header"},
		{"no equals sign", "[docs]\nignore\n", 2, "", "expected key = value"},
		{"no key", "[docs]\n= x\n", 2, "", "expected key = value"},
		{"unknown key", "[docs]\n\n; c\nignor = x\n", 4, "ignor", "unknown key; expected one of directory, ignore"},
		{"case", "[docs]\nIgnore = x\n", 2, "Ignore", "unknown key"},
		{"basedir in a resource", "[docs]\nbasedir = x\n", 2, "basedir", "unknown key"},
		{"key twice", "[docs]\nvcs = mirror\nvcs = ignore\n", 3, "vcs", "line 2 already"},
		{"alias twice", main + "directory = /a\nbasedir = /b\n[d]\n", 3, "basedir", "line 2 already"},
		{"pattern twice", "[docs]\nconflict.*.md = Edit\nconflict.*.md = Merge\n", 3, "conflict.*.md", "line 2 already"},
		{"indented key", "[docs]\nignore = x\n  hosts = y\n", 3, "hosts", "is indented"},
		{"section twice", "[docs]\n[x]\n[docs]\n", 3, "[docs]", "line 1 already"},
		{"main section twice", main + "[x]\n" + main, 3, "[::SilverMirror::]", "line 1 already"},
		{"unknown section", "[::Silver::]\n", 1, "[::Silver::]", "unknown section; expected [::SilverMirror::]"},
		{"empty section", "[]\n", 1, "[]", "not a name"},
		{"dots", "[..]\n", 1, "[..]", "not a name"},
		{"slash", "[a/b]\n", 1, "[a/b]", "slash"},
		{"dash", "[-a]\n", 1, "[-a]", "begins with -"},
		{"control character", "[a\tb]\n", 1, "[a\tb]", "control"},
		{"empty part", "[a::b]\n", 1, "[a::b]", "not a name"},
		{"long name", "[" + strings.Repeat("n", 300) + "]\n", 1, "[" + strings.Repeat("n", 300) + "]", "longer than"},
		{"reserved", "[@tags]\n", 1, "[@tags]", "reserved"},
		{"reserved below", "[a]\n[a:.smfs]\n", 2, "[a:.smfs]", "reserved"},
		{"no parent", "[dosc]\n[docs:private]\n", 2, "[docs:private]", "expected a section [docs]"},
		{"empty value", "[docs]\nvcs =\n", 2, "vcs", "no value; expected mirror or ignore"},
		{"empty directory", "[docs]\ndirectory = ; nothing\n", 2, "directory", "no value"},
		{"other home", "[docs]\ndirectory = ~bob/x\n", 2, "directory", "~bob is not supported"},
		{"other home as base", main + "\nbasedir = ~bob\n[docs]\n", 3, "basedir", "~bob is not supported"},
		{"several lines", "[docs]\ntimeout = 1\n  2\n", 2, "timeout", "several lines"},
		{"open quote", "[docs]\nignore = \"a b\n", 2, "ignore", "not closed"},
		{"open single quote", "[docs]\nignore = 'a b\n", 2, "ignore", "not closed"},
		{"quote in a word", "[docs]\nignore = \"a\"b\n", 2, "ignore", "closing quote"},
		{"nothing quoted", "[docs]\nignore = \"\" b\n", 2, "ignore", "between the quotes"},
		{"two values", "[docs]\ndirectory = \"a\" \"b\"\n", 2, "directory", "more than one value"},
		{"backquote", "[docs]\nignore = `a\nb`\n", 2, "ignore", "cannot begin"},
		{"three quotes", "[docs]\nignore = \"\"\"a\n", 2, "ignore", "cannot begin"},
		{"pattern", "[docs]\nignore = *.tmp a[b\n", 2, "ignore", `"a[b" can match nothing`},
		{"pattern slashes", "[docs]\nignore = a//b\n", 2, "ignore", "two slashes"},
		{"pattern backslash", "[docs]\nignore = a\\\n", 2, "ignore", "backslash"},
		{"pattern class", "[docs]\nignore = [[:foo:]]\n", 2, "ignore", "[:foo:]"},
		{"host twice", "[docs]\nhosts = a b a\n", 2, "hosts", `"a" is named twice`},
		{"host option", "[docs]\nhosts = -oProxyCommand=x\n", 2, "hosts", "taken for an option"},
		{"host option in URL", "[docs]\nhosts = ssh://-oProxyCommand=x/y\n", 2, "hosts", "taken for an option"},
		{"host scheme", "[docs]\nhosts = ftp://a/b\n", 2, "hosts", "not supported; expected names of peers"},
		{"host without name", "[docs]\nhosts = ssh:///b\n", 2, "hosts", "names no host"},
		{"host with space", "[docs]\nhosts = \"a b\"\n", 2, "hosts", "space"},
		{"handler", "[docs]\nconflict = clobberlocal\n", 2, "conflict", `unknown conflict handler "clobberlocal"; expected KeepBoth`},
		{"handler without command", "[docs]\nconflict.push = \"exec: \"\n", 2, "conflict.push", "names no command"},
		{"handler pattern", "[docs]\nconflict. = Edit\n", 2, "conflict.", "it is empty"},
		{"handler for directories", "[docs]\nconflict.a/ = Edit\n", 2, "conflict.a/", "ends with /"},
		{"timeout", "[docs]\ntimeout = soon\n", 2, "timeout", `"soon" is no duration; expected seconds`},
		{"timeout zero", "[docs]\ntimeout = 0\n", 2, "timeout", "out of range"},
		{"timeout large", "[docs]\ntimeout = 25h\n", 2, "timeout", "out of range"},
		{"settle without unit", "[docs]\nsettle = 50\n", 2, "settle", `"50" is no duration; expected a duration such as 50ms`},
		{"settle negative", "[docs]\nsettle = -1s\n", 2, "settle", "out of range"},
		{"vcs", "[docs]\nvcs = yes\n", 2, "vcs", "expected mirror or ignore"},
		{"same directory", "[a]\n[b]\ndirectory = ./a/\n", 2, "[b]", "is that of [a]"},
		{"same path", "[a]\ndirectory = /srv/a\n[b]\ndirectory = a\n", 3, "[b]", "path in the mirror, a, is that of [a]"},
		{"crossing directories", "[a]\ndirectory = /srv/a\n[b]\ndirectory = /srv/a/b\n", 3, "[b]", "not so in the mirror"},
		{"crossing directories, inner first", "[b]\ndirectory = /srv/a/b\n[a]\ndirectory = /srv/a\n", 3, "[a]", "not so in the mirror"},
		{"around the base", "[a]\ndirectory = /\n", 1, "[a]", "holds the mirror's base"},
		{"above the base", "[a]\ndirectory = ..\n", 1, "[a]", "holds the mirror's base"},
		{"in the state directory", "[a]\ndirectory = .silvermirror/x\n", 1, "[a]", "reserved"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse(testFile, []byte(tt.data))
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("error %v, want an *Error", err)
			}
			if e.File != testFile || e.Line != tt.line || e.Key != tt.key || !strings.Contains(e.Error(), tt.message) {
				t.Errorf("got line %d, key %q: %v\nwant line %d, key %q, with %q", e.Line, e.Key, e, tt.line, tt.key, tt.message)
			}
		})
	}
}

func TestNestedResources(t *testing.T) {
	c := mustParse(t, testFile, "[all]\ndirectory = .\n[docs]\ndirectory = Documents\n[docs:private]\n[docs:private:x]\ndirectory = docs-x\n[photos]\ndirectory = /srv/photos\n[photos:raw]\n")
	for _, tt := range []struct{ path, resource, rest string }{
		{"", "all", ""}, {".", "all", ""}, {"a/b", "all", "a/b"}, {"docs", "all", "docs"}, {"Documents2/a", "all", "Documents2/a"},
		{"Documents", "docs", ""}, {"Documents/a/b", "docs", "a/b"},
		{"Documents/private", "docs:private", ""}, {"Documents/private/x", "docs:private", "x"}, {"docs-x/y", "docs:private:x", "y"},
		{"photos/1.jpg", "photos", "1.jpg"}, {"photos/raw/1", "photos:raw", "1"},
	} {
		r, rest := c.At(tt.path)
		if r == nil || r.Name != tt.resource || rest != tt.rest {
			t.Errorf("At(%q) = %v, %q; want %s, %q", tt.path, r, rest, tt.resource, tt.rest)
		}
	}
	for _, path := range []string{".silvermirror", ".silvermirror/config.ini", ".smfs/x", "@tags/work", "@history"} {
		if r, _ := c.At(path); r != nil {
			t.Errorf("At(%q) = %s, want none", path, r.Name)
		}
	}
	if r := c.Resource("photos:raw"); r.Directory != "/srv/photos/raw" || !r.External || r.Path != "photos/raw" {
		t.Errorf("photos:raw is %+v", r)
	}
	if c.Resource("nope") != nil {
		t.Error("a resource that is not there")
	}
}

func TestDefault(t *testing.T) {
	c := Default("/m/")
	text := string(c.Encode())
	again := mustParse(t, testFile, text)
	if !reflect.DeepEqual(c, again) {
		t.Errorf("Default, encoded and parsed: %+v, want %+v\n%s", again, c, text)
	}
	if r, rest := c.At("a/b"); r.Name != "mirror" || rest != "a/b" || r.Directory != "/m" || r.External {
		t.Errorf("At(a/b) = %+v, %q", r, rest)
	}
	// Each commented default must be what it says it is.
	enabled := strings.NewReplacer("\n;ignore", "\nignore", "\n;hosts", "\nhosts", "\n;conflict", "\nconflict", "\n;timeout", "\ntimeout", "\n;settle", "\nsettle", "\n;vcs", "\nvcs").Replace(text)
	full := mustParse(t, testFile, enabled).Main
	if len(full.Hosts) != 2 || len(full.Ignore) != 2 {
		t.Errorf("the examples were read as %+v", full)
	}
	full.Hosts, full.Ignore = nil, nil
	if !reflect.DeepEqual(full, c.Main) {
		t.Errorf("the commented defaults are %+v, want %+v", full, c.Main)
	}
}

func TestLoad(t *testing.T) {
	file := filepath.Join(t.TempDir(), "c.ini")
	if _, err := Load(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Load of a missing file: %v", err)
	}
	if err := os.WriteFile(file, []byte("[docs]\ndirectory = d\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(file)
	if err != nil || c.File != file || c.Resource("docs") == nil {
		t.Errorf("Load = %+v, %v", c, err)
	}
	if err := os.WriteFile(file, make([]byte, maxFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	var e *Error
	if _, err := Load(file); !errors.As(err, &e) {
		t.Errorf("Load of a large file: %v", err)
	}
}

func TestHandlerFor(t *testing.T) {
	c := mustParse(t, testFile, `[::SilverMirror::]
conflict = Newest
conflict.push = ClobberRemote
conflict.*.md = Merge
conflict./notes/**/*.md = exec:notes %s
[docs]
conflict.pull = ClobberLocal
conflict.README.md = Edit
`)
	o := c.Resource("docs").Options
	for _, tt := range []struct {
		path string
		on   Occasion
		want Handler
	}{
		{"a.txt", OnSync, Newest}, {"a.txt", OnPush, ClobberRemote}, {"a.txt", OnPull, ClobberLocal},
		{"a.md", OnPush, Merge}, {"x/a.md", OnSync, Merge}, {"notes/x/a.md", OnSync, "exec:notes %s"},
		{"notes/README.md", OnSync, Edit}, {"x/README.md", OnPull, Edit},
	} {
		if got := o.HandlerFor(tt.path, tt.on); got != tt.want {
			t.Errorf("HandlerFor(%q, %d) = %s, want %s", tt.path, tt.on, got, tt.want)
		}
	}
	if got := c.Main.HandlerFor("a.txt", OnPull); got != Newest {
		t.Errorf("without conflict.pull: %s, want %s", got, Newest)
	}
	if command, ok := Handler("exec: a b ").Command(); !ok || command != "a b" {
		t.Errorf("Command = %q, %v", command, ok)
	}
	if _, ok := Merge.Command(); ok {
		t.Error("Merge has a command")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(Default("/m").Encode()))
	f.Add([]byte("[a]\nignore =\n  x y\n  \"a\\\"b\" # c\nconflict.[a=]*=exec:x ; y\n[a:b]\nhosts=\ntimeout=1\nsettle=1h\n"))
	f.Add([]byte("[::SilverMirror::]\nbasedir = /x\nignore=a\\ b\u00a0 \u0085c\n[a]\ndirectory=/y\r\nvcs=mirror"))
	f.Add([]byte("[a]\nignore='`' \"`\" '\"\"\"' '\"'\n[-]\n[#]\n;="))
	f.Fuzz(func(t *testing.T, data []byte) {
		t.Setenv("HOME", "/home/ann")
		c, err := Parse(testFile, data)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("%v is no *Error", err)
			}
			return
		}
		text := c.Encode()
		again, err := Parse(testFile, text)
		if err != nil {
			t.Fatalf("Parse of what Encode wrote: %v\n%s", err, text)
		}
		if !reflect.DeepEqual(c, again) {
			t.Fatalf("encoded and parsed again\n got %+v\nwant %+v\nfrom\n%s", again, c, text)
		}
	})
}
