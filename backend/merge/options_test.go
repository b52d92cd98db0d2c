package merge

import (
	"bytes"
	"maps"
	"testing"
	"unicode/utf8"

	"github.com/silvermirror/smfs/backend/object"
)

func TestPolicyOf(t *testing.T) {
	for text, want := range map[string]Policy{
		"":                            KeepBoth,
		"conflict = Newest":           Newest,
		"ignore=x\nconflict=NEWEST\n": Newest,
		"conflict = exec:meld":        KeepBoth,
		"[sub]\nconflict = Newest\n":  KeepBoth,
		"# conflict = Newest\n":       KeepBoth,
	} {
		if got := policyOf([]byte(text)); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}

func TestOptionsTooLong(t *testing.T) {
	long := func(c string) []byte {
		return append([]byte(c+" = "), bytes.Repeat([]byte(c), object.MaxOptions*2/3)...)
	}
	a, b := long("a"), long("b")
	if got := mergeOptions(nil, b, a); !bytes.Equal(got, a) {
		t.Errorf("%d bytes, starting %.10q", len(got), got)
	}
}

// FuzzMergeOptions: any bytes merge, symmetrically, and to something that says
// what it says when read again.
func FuzzMergeOptions(f *testing.F) {
	f.Add([]byte("a = 1\n"), []byte("a = 2\n"), []byte("[s]\nb = 1\n\tmore\n"))
	f.Add([]byte("x\n"), []byte(" = 2\n[\n]"), []byte("\n[]\r\n;\n# c\na="))
	f.Fuzz(func(t *testing.T, o, a, b []byte) {
		got := mergeOptions(o, a, b)
		if other := mergeOptions(o, b, a); !bytes.Equal(got, other) {
			t.Fatalf("a, b gives %q; b, a gives %q", got, other)
		}
		if same := mergeOptions(o, got, got); !bytes.Equal(got, same) {
			t.Fatalf("%q became %q", got, same)
		}
		values := parseOptions(got)
		if again := parseOptions(encodeOptions(values)); !maps.Equal(values, again) {
			t.Fatalf("%q reads as %q and then %q", got, values, again)
		}
	})
}

func TestConflictName(t *testing.T) {
	long := string(bytes.Repeat([]byte("é"), 127)) + "x"
	for name, want := range map[string]string{
		"report.txt": "report.conflict-01020304.txt",
		"a.tar.gz":   "a.tar.conflict-01020304.gz",
		".profile":   ".profile.conflict-01020304",
		"README":     "README.conflict-01020304",
		"dot.":       "dot..conflict-01020304",
		long:         long[:236] + ".conflict-01020304",
	} {
		got := conflictName(name, []byte{1, 2, 3, 4})
		if got != want {
			t.Errorf("%q becomes %q, want %q", name, got, want)
		}
		if len(got) > object.MaxName || !utf8.ValidString(got) {
			t.Errorf("%q becomes %q: %d bytes", name, got, len(got))
		}
	}
}

func FuzzConflictName(f *testing.F) {
	f.Add("report.txt", []byte{1, 2, 3, 4})
	f.Add("\xff\xfe", []byte{})
	f.Fuzz(func(t *testing.T, name string, digits []byte) {
		if object.CheckName(name) != nil || len(digits) > 20 {
			return
		}
		got := conflictName(name, digits)
		if err := object.CheckName(got); err != nil {
			t.Fatalf("%q becomes %q: %v", name, got, err)
		}
	})
}
