package tags

import (
	"slices"
	"strings"
	"testing"
)

func TestListingNames(t *testing.T) {
	long := strings.Repeat("l", 251) + ".txt"
	files := []Tagged{
		{Path: "a/x.txt", ID: "1"}, {Path: "b/x.txt", ID: "2"}, {Path: "sub", ID: "3"}, {Path: "a/.hidden", ID: "4"},
		{Path: "b/.hidden", ID: "5"}, {Path: "a/" + long, ID: "6"}, {Path: "b/" + long, ID: "7"},
	}
	l := NewListing([]string{"sub"}, files)
	if len(slices.Compact(slices.Sorted(slices.Values(l.Files)))) != len(files) {
		t.Errorf("names %q", l.Files)
	}
	for i, name := range l.Files {
		if l.byName[name] != files[i] || len(name) > 255 || name == "sub" {
			t.Errorf("%q is %+v", name, l.byName[name])
		}
		if alias := l.suffixed(files[i]); l.byName[alias] != files[i] || alias == files[i].Name() {
			t.Errorf("%+v is not at %q", files[i], alias)
		}
	}
	again := NewListing([]string{"sub"}, files[1:])
	if _, ok := again.byName[l.Files[1]]; !ok || again.Files[0] != "x.txt" {
		t.Errorf("a name with its suffix went: %q, %q", l.Files[1], again.Files[0])
	}
}
