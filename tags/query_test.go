package tags

import (
	"errors"
	"strings"
	"testing"
)

func TestCheckName(t *testing.T) {
	for _, name := range []string{
		"work", "projects/acme", "year=2020", "C++", "R&D", "to do", "50%", "büro", "a.b", "...", ".x", "a!b", "me@home", "android", "x=a=b", "due/2026=1",
		strings.Repeat("x", maxLabel), "a:b", "don't", "#1", "~", "-v",
	} {
		if err := CheckName(name); err != nil {
			t.Errorf("%v", err)
		}
	}
	for _, name := range []string{
		"", "a,b", "!a", "@a", "=a", "a=", "a=1..2", "(a", "a)", "a<b", "a>b", "a*", `"a"`, `a\b`, "/a", "a/", "a//b", ".", "..", "a/../b", "a/.",
		" a", "a ", "a/ b", "and", "or", "not", "a\nb", "a\x00", "\xff", "a\u0085b", strings.Repeat("x", maxLabel+1), strings.Repeat("x/", 600) + "x",
	} {
		if err := CheckName(name); !errors.Is(err, ErrName) {
			t.Errorf("CheckName(%q) = %v, want ErrName", name, err)
		}
	}
}

func TestQuery(t *testing.T) {
	for _, tt := range []struct{ query, canonical, yes, no string }{
		{"work", "work", "work|work/x|a work", "|workshop|a|x/work"},
		{"work,urgent", "work,urgent", "urgent work|urgent/now work b", "work|urgent"},
		{" work , ! done ", "work,!done", "work|work x", "work done|done|work done/by-me"},
		{"!done", "!done", "|work", "done|done/x"},
		{"!a,!b", "!a,!b", "c|", "a|b|a b"},
		{"projects/acme", "projects/acme", "projects/acme|projects/acme/x", "projects|projects/acme2"},
		{"year=2020,a!b", "year=2020,a!b", "year=2020 a!b", "year=20201 a!b|year=2020"},
		{"a,a", "a,a", "a", "b"},
	} {
		q, err := ParseQuery(tt.query)
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		if q.String() != tt.canonical {
			t.Errorf("%q is written %q, want %q", tt.query, q, tt.canonical)
		}
		for want, files := range map[bool]string{true: tt.yes, false: tt.no} {
			for tags := range strings.SplitSeq(files, "|") {
				if got := q.Match(strings.Fields(tags)); got != want {
					t.Errorf("%q on %q: %v", tt.query, tags, got)
				}
			}
		}
	}
	if (Query{}).Match([]string{"a"}) {
		t.Error("the zero query matches")
	}
}

func TestParseQueryErrors(t *testing.T) {
	for query, message := range map[string]string{
		"":                             "term 1",
		"a,":                           "term 2",
		",a":                           "term 1",
		"a,,b":                         "term 2",
		"!":                            "term 1",
		"!!a":                          "begins with !",
		"a,@all":                       "begins with @",
		"a/":                           "empty part",
		"a<3":                          "queries use",
		"(a)":                          "queries use",
		"\xff":                         "UTF-8",
		strings.Repeat("a,", maxQuery): "longer than",
	} {
		_, err := ParseQuery(query)
		if !errors.Is(err, ErrQuery) || !strings.Contains(err.Error(), message) {
			t.Errorf("ParseQuery(%.20q) = %v, want ErrQuery with %q", query, err, message)
		}
	}
	if _, err := ParseQuery("a/"); !errors.Is(err, ErrName) {
		t.Errorf("an illegal name in a query: %v, want ErrName too", err)
	}
}

func FuzzParseQuery(f *testing.F) {
	for _, s := range []string{"work,urgent", "!done", " a , ! b/c ", "year=2020,!x y", "!", "a,,b"} {
		f.Add(s, "work urgent")
	}
	f.Fuzz(func(t *testing.T, s, tags string) {
		q, err := ParseQuery(s)
		if err != nil {
			if !errors.Is(err, ErrQuery) {
				t.Fatalf("%v is no ErrQuery", err)
			}
			return
		}
		again, err := ParseQuery(q.String())
		if err != nil || again.String() != q.String() {
			t.Fatalf("%q is written %q, which reads as %q, %v", s, q, again, err)
		}
		own := strings.Fields(tags)
		x := NewIndex()
		x.Set(File{1}, own)
		own = x.Tags(File{1}) // without what is no name
		if got, want := len(x.Match(q)) == 1, len(own) > 0 && q.Match(own); got != want {
			t.Fatalf("%q on %q: index %v, query %v", q, own, got, want)
		}
		if again.Match(own) != q.Match(own) {
			t.Fatalf("%q and %q differ on %q", s, q, own)
		}
	})
}

func TestWanted(t *testing.T) {
	for query, want := range map[string]string{"a": "a", "!a": "", "a,!b,c/d": "a c/d"} {
		q, err := ParseQuery(query)
		if got := strings.Join(q.Wanted(), " "); err != nil || got != want {
			t.Errorf("%q wants %q, %v", query, got, err)
		}
	}
	if got := (Query{}).Wanted(); len(got) > 0 {
		t.Errorf("the empty query wants %q", got)
	}
}
