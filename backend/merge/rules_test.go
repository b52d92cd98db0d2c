package merge

import (
	"maps"
	"slices"
	"testing"
)

// rule is one case: what both sides made of base, and what has to come out,
// whichever is given first.
type rule struct {
	name       string
	base, a, b files
	want       files
	conflicts  []string // paths
}

var rules = []rule{
	{
		name: "rename, edit and tag are independent",
		base: files{"f": "f one"},
		a:    files{"g": "f one"},
		b:    files{"f": "f two t=3 g=work@keyB.1:4"},
		want: files{"g": "f two t=3 g=work@keyB.1:4"},
	},
	{
		name: "a file moved into a renamed directory",
		base: files{"d/": "d", "f": "f one"},
		a:    files{"e/": "d", "f": "f one"},
		b:    files{"d/": "d", "d/f": "f one"},
		want: files{"e/": "d", "e/f": "f one"},
	},
	{
		name: "a directory renamed, a file edited inside it",
		base: files{"d/": "d", "d/s/": "s", "d/s/f": "f one", "d/s/g": "g one"},
		a:    files{"e/": "d", "e/s/": "s", "e/s/f": "f one", "e/s/g": "g one"},
		b:    files{"d/": "d", "d/s/": "s", "d/s/f": "f two", "d/s/g": "g one"},
		want: files{"e/": "d", "e/s/": "s", "e/s/f": "f two", "e/s/g": "g one"},
	},
	{
		name: "a file moved out of a directory that the other side deletes",
		base: files{"d/": "d", "d/f": "f one", "d/g": "g one"},
		a:    files{},
		b:    files{"d/": "d", "d/g": "g one", "f": "f one"},
		want: files{"f": "f one"},
	},
	{
		name: "a directory moved out of one that goes, into one that is new",
		base: files{"d/": "d", "d/s/": "s", "d/s/f": "f one"},
		a:    files{"n/": "n", "n/m/": "m", "n/m/s/": "s", "n/m/s/f": "f one"},
		b:    files{"d/": "d", "d/s/": "s", "d/s/f": "f two"},
		want: files{"n/": "n", "n/m/": "m", "n/m/s/": "s", "n/m/s/f": "f two"},
	},
	{
		name: "names swapped on one side, content edited on the other",
		base: files{"x": "f one", "y": "g uno"},
		a:    files{"x": "g uno", "y": "f one"},
		b:    files{"x": "f two", "y": "g uno"},
		want: files{"x": "g uno", "y": "f two"},
	},
	{
		name:      "moved by both to two names: the lower commit's",
		base:      files{"f": "f one"},
		a:         files{"y": "f one"},
		b:         files{"x": "f one"},
		want:      files{"y": "f one c=f"},
		conflicts: []string{"y"},
	},
	{
		name: "moved by both to one name",
		base: files{"f": "f one"},
		a:    files{"x": "f one"},
		b:    files{"x": "f two"},
		want: files{"x": "f two"},
	},
	{
		name:      "a directory moved by both to two names",
		base:      files{"d/": "d", "d/f": "f one"},
		a:         files{"y/": "d", "y/f": "f one"},
		b:         files{"x/": "d", "x/f": "f two"},
		want:      files{"y/": "d c=d", "y/f": "f two"},
		conflicts: []string{"y"},
	},
	{
		name: "both edit: the later keeps the name",
		base: files{"r.txt": "f one t=1"},
		a:    files{"r.txt": "f two t=5"},
		b:    files{"r.txt": "f dos t=4"},
		want: files{"r.txt": "f two t=5", copyName("r.txt", "dos"): "~ dos t=4 c=f"},
		conflicts: []string{
			copyName("r.txt", "dos"),
		},
	},
	{
		name: "both edit at one time: the lower content keeps the name",
		base: files{"r.txt": "f one"},
		a:    files{"r.txt": "f two"},
		b:    files{"r.txt": "f dos"},
		want: files{"r.txt": "f dos", copyName("r.txt", "two"): "~ two c=f"},
		conflicts: []string{
			copyName("r.txt", "two"),
		},
	},
	{
		name: "both make the same edit",
		base: files{"f": "f one t=1"},
		a:    files{"f": "f two t=5"},
		b:    files{"f": "f two t=6"},
		want: files{"f": "f two t=6"},
	},
	{
		name: "both edit and one renames: the copy goes along",
		base: files{"f": "f one", "d/": "d"},
		a:    files{"d/": "d", "d/g": "f two t=2"},
		b:    files{"f": "f dos t=1", "d/": "d"},
		want: files{"d/": "d", "d/g": "f two t=2", "d/" + copyName("g", "dos"): "~ dos t=1 c=f"},
		conflicts: []string{
			"d/" + copyName("g", "dos"),
		},
	},
	{
		name: "the copy of a conflict keeps no tags",
		base: files{"f": "f one g=work@w.0:1"},
		a:    files{"f": "f two t=2 g=work@w.0:1"},
		b:    files{"f": "f dos t=1 g=work@w.0:1"},
		want: files{"f": "f two t=2 g=work@w.0:1", copyName("f", "dos"): "~ dos t=1 c=f"},
		conflicts: []string{
			copyName("f", "dos"),
		},
	},
	{
		name: "mode, attributes and content",
		base: files{"f": "f one m=644 x=a=1 x=b=1 x=c=1"},
		a:    files{"f": "f one m=755 x=a=2 x=b=1"},
		b:    files{"f": "f two m=644 t=7 x=a=1 x=b=1 x=c=1 x=d=1"},
		want: files{"f": "f two m=755 t=7 x=a=2 x=b=1 x=d=1"},
	},
	{
		name: "each mode bit that was changed",
		base: files{"f": "f one m=644"},
		a:    files{"f": "f one m=744"},
		b:    files{"f": "f one m=640"},
		want: files{"f": "f one m=740"},
	},
	{
		name: "both set one attribute: the lower value",
		base: files{"f": "f one x=a=1"},
		a:    files{"f": "f one x=a=3"},
		b:    files{"f": "f one x=a=2"},
		want: files{"f": "f one x=a=2"},
	},
	{
		name: "one sets an attribute that the other removes",
		base: files{"f": "f one x=a=1"},
		a:    files{"f": "f one"},
		b:    files{"f": "f one x=a=2"},
		want: files{"f": "f one x=a=2"},
	},
	{
		name: "touched by one",
		base: files{"f": "f one t=5"},
		a:    files{"f": "f one t=5 g=work@keyA.1:3"},
		b:    files{"f": "f one t=2"},
		want: files{"f": "f one t=2 g=work@keyA.1:3"},
	},
	{
		name: "tags are an OR-set",
		base: files{"f": "f one g=gone@w.0:1 g=stays@w.0:2"},
		a:    files{"f": "f one g=new@keyA.1:1 g=stays@w.0:2"},
		b:    files{"f": "f one g=gone@w.0:1 g=other@keyB.1:1 g=stays@w.0:2"},
		want: files{"f": "f one g=new@keyA.1:1 g=other@keyB.1:1 g=stays@w.0:2"},
	},
	{
		name: "a file replaced by a link on one side, tagged on the other",
		base: files{"f": "f one m=755 x=a=1"},
		a:    files{"f": "f ->x"},
		b:    files{"f": "f one m=755 x=a=1 g=work@keyB.1:1"},
		want: files{"f": "f ->x g=work@keyB.1:1"},
	},
	{
		name: "an edit beats a delete",
		base: files{"f": "f one"},
		a:    files{},
		b:    files{"f": "f two"},
		want: files{"f": "f two"},
	},
	{
		name: "chmod beats a delete",
		base: files{"f": "f one"},
		a:    files{"f": "f one m=600"},
		b:    files{},
		want: files{"f": "f one m=600"},
	},
	{
		name: "a delete beats a change of tags",
		base: files{"f": "f one"},
		a:    files{"f": "f one g=work@keyA.1:1"},
		b:    files{},
		want: files{},
	},
	{
		name: "a rename beats a delete",
		base: files{"f": "f one"},
		a:    files{},
		b:    files{"g": "f one"},
		want: files{"g": "f one"},
	},
	{
		name: "a directory's rename beats its delete, with all in it",
		base: files{"d/": "d", "d/f": "f one", "d/s/": "s", "d/s/g": "g one"},
		a:    files{},
		b:    files{"e/": "d", "e/f": "f one", "e/s/": "s", "e/s/g": "g two"},
		want: files{"e/": "d", "e/f": "f one", "e/s/": "s", "e/s/g": "g two"},
	},
	{
		name: "a rename further up does not undo a delete",
		base: files{"p/": "p", "p/d/": "d", "p/d/f": "f one"},
		a:    files{"p/": "p"},
		b:    files{"q/": "p", "q/d/": "d", "q/d/f": "f one"},
		want: files{"q/": "p"},
	},
	{
		name: "a directory is kept for what was put into it",
		base: files{"d/": "d", "d/f": "f one"},
		a:    files{},
		b:    files{"d/": "d", "d/f": "f one", "d/g": "g one"},
		want: files{"d/": "d", "d/g": "g one"},
	},
	{
		name: "directories are kept for what was edited deep in them",
		base: files{"d/": "d", "d/f": "f one", "d/s/": "s", "d/s/g": "g one", "d/s/h": "h one"},
		a:    files{},
		b:    files{"d/": "d", "d/f": "f one", "d/s/": "s", "d/s/g": "g two", "d/s/h": "h one"},
		want: files{"d/": "d", "d/s/": "s", "d/s/g": "g two"},
	},
	{
		name: "a tag does not keep a directory",
		base: files{"d/": "d", "d/f": "f one"},
		a:    files{},
		b:    files{"d/": "d g=work@keyB.1:1", "d/f": "f one g=work@keyB.1:1"},
		want: files{},
	},
	{
		name: "a kept directory against a new file of its name",
		base: files{"d/": "d", "d/f": "f one"},
		a:    files{"d": "n new"},
		b:    files{"d/": "d", "d/f": "f two"},
		want: files{"d/": "d", "d/f": "f two", copyName("d", "new"): "n new c=d"},
		conflicts: []string{
			copyName("d", "new"),
		},
	},
	{
		name: "added by both, the same: the lower id",
		base: files{},
		a:    files{"f": "n one t=1 m=600", "g": "p one"},
		b:    files{"f": "m one t=2", "g": "o one", "h": "o one"},
		want: files{"f": "m one t=2", "g": "o one", "h": "o one"},
	},
	{
		name: "added by both, the same: tags and attributes united",
		base: files{},
		a:    files{"f": "m one g=work@keyA.1:1", "g": "m one g=work@keyA.1:1", "h": "o one"},
		b:    files{"f": "n one x=a=1 g=home@keyB.1:1", "h": "p one x=a=1 g=home@keyB.1:1"},
		want: files{"f": "~ one x=a=1 g=home@keyB.1:1 g=work@keyA.1:1", "g": "m one g=work@keyA.1:1", "h": "p one x=a=1 g=home@keyB.1:1"},
	},
	{
		name: "the same name for a new link and a new file: other links are not read",
		base: files{"f": "m one", "s/": "s", "s/f": "m one"},
		a:    files{"f": "m one", "s/": "s", "s/f": "m one", "x": "m one"},
		b:    files{"f": "m one", "s/": "s", "s/f": "m one", "x": "n one x=a=1"},
		want: files{"f": "m one", "s/": "s", "s/f": "m one", "x": "n one x=a=1"},
	},
	{
		name: "added by both, different",
		base: files{},
		a:    files{"r.txt": "m one t=1"},
		b:    files{"r.txt": "n two t=2"},
		want: files{"r.txt": "n two t=2", copyName("r.txt", "one"): "m one t=1 c=n"},
		conflicts: []string{
			copyName("r.txt", "one"),
		},
	},
	{
		name: "a file renamed on one side, found again as a new one on the other",
		base: files{"f": "f one g=work@w.0:1"},
		a:    files{"g": "f one g=work@w.0:1"},
		b:    files{"f": "f one g=work@w.0:1", "g": "a one"},
		want: files{"g": "f one g=work@w.0:1"},
	},
	{
		name: "two files moved to one name, the same: both are kept",
		base: files{"f": "f one", "g": "g one"},
		a:    files{"x": "f one", "g": "g one"},
		b:    files{"f": "f one", "x": "g one"},
		want: files{"x": "f one", copyName("x", "one"): "g one c=f"},
		conflicts: []string{
			copyName("x", "one"),
		},
	},
	{
		name: "directories made by both are united",
		base: files{},
		a:    files{"d/": "m g=work@keyA.1:1", "d/s/": "y", "d/s/f": "f one", "d/same": "p eq"},
		b:    files{"d/": "n x=a=1", "d/s/": "x", "d/s/g": "g one", "d/same": "o eq"},
		want: files{"d/": "m x=a=1 g=work@keyA.1:1", "d/s/": "x", "d/s/f": "f one", "d/s/g": "g one", "d/same": "o eq"},
	},
	{
		name: "a new directory is united with the old one moved there",
		base: files{"d/": "d", "d/f": "f one", "d/s/": "s", "d/s/h": "h one", "d/t": "t one"},
		a:    files{"x/": "d", "x/f": "f one", "x/s/": "s", "x/s/h": "h one", "x/t": "t one"},
		b:    files{"d/": "d", "d/f": "f one", "d/s/": "s", "d/s/h": "h one", "d/t": "t one", "x/": "a", "x/f": "b two t=9", "x/s/": "c", "x/s/h": "e one", "x/t": "g one g=z@keyB.1:1"},
		want: files{"x/": "d", "x/f": "f one", "x/" + copyName("f", "two"): "b two t=9 c=f", "x/s/": "s", "x/s/h": "h one", "x/t": "t one", "x/" + copyName("t", "one"): "g one g=z@keyB.1:1 c=t"},
		conflicts: []string{
			"x/" + copyName("f", "two"), "x/" + copyName("t", "one"),
		},
	},
	{
		name: "two old directories moved to one name",
		base: files{"d/": "d", "d/f": "f one", "e/": "e", "e/g": "g one"},
		a:    files{"x/": "d", "x/f": "f one", "e/": "e", "e/g": "g one"},
		b:    files{"d/": "d", "d/f": "f one", "x/": "e", "x/g": "g one"},
		want: files{"x/": "d", "x/f": "f one", "x.conflict-65000000/": "e c=d", "x.conflict-65000000/g": "g one"},
		conflicts: []string{
			"x.conflict-65000000",
		},
	},
	{
		name: "a file and a directory of one name",
		base: files{},
		a:    files{"x.y": "f one t=9"},
		b:    files{"x.y/": "g", "x.y/h": "h one"},
		want: files{copyName("x.y", "one"): "f one t=9 c=g", "x.y/": "g", "x.y/h": "h one"},
		conflicts: []string{
			copyName("x.y", "one"),
		},
	},
	{
		name: "moved into each other: the lower commit's move",
		base: files{"a/": "a", "a/f": "f one", "b/": "b", "b/g": "g one"},
		a:    files{"b/": "b", "b/g": "g one", "b/a/": "a", "b/a/f": "f one"},
		b:    files{"a/": "a", "a/f": "f one", "a/b/": "b", "a/b/g": "g two"},
		want: files{"b/": "b c=b", "b/g": "g two", "b/a/": "a", "b/a/f": "f one"},
		conflicts: []string{
			"b",
		},
	},
	{
		name: "a cycle whose undoing needs a directory the other side deleted",
		base: files{"p/": "p", "p/b/": "b", "a/": "a"},
		a:    files{"p/": "p", "p/b/": "b", "p/b/a/": "a"},
		b:    files{"a/": "a", "a/b/": "b"},
		want: files{"p/": "p", "p/b/": "b c=b", "p/b/a/": "a"},
		conflicts: []string{
			"p/b",
		},
	},
	{
		name: "hard links: one edits, the other adds a link and removes one",
		base: files{"x": "f one", "y": "f one"},
		a:    files{"x": "f two", "y": "f two"},
		b:    files{"x": "f one", "z": "f one"},
		want: files{"x": "f two", "z": "f two"},
	},
	{
		name: "hard links: each side removes another",
		base: files{"x": "f one", "y": "f one"},
		a:    files{"x": "f one"},
		b:    files{"y": "f one"},
		want: files{"x": "f one c=f"},
		conflicts: []string{
			"x",
		},
	},
	{
		name: "hard links: both link",
		base: files{"x": "f one"},
		a:    files{"x": "f one", "y": "f one"},
		b:    files{"x": "f one", "z": "f one"},
		want: files{"x": "f one", "y": "f one", "z": "f one"},
	},
	{
		name: "hard links: both edit: one copy",
		base: files{"x": "f one", "y": "f one"},
		a:    files{"x": "f two t=1", "y": "f two t=1"},
		b:    files{"x": "f dos t=2", "y": "f dos t=2"},
		want: files{"x": "f dos t=2", "y": "f dos t=2", copyName("x", "two"): "~ two t=1 c=f"},
		conflicts: []string{
			copyName("x", "two"),
		},
	},
	{
		name:      "hard links: one name moved by both",
		base:      files{"x": "f one", "y": "f one"},
		a:         files{"x": "f one", "v": "f one"},
		b:         files{"x": "f one", "u": "f one"},
		want:      files{"x": "f one", "v": "f one c=f"},
		conflicts: []string{"v"},
	},
	{
		name: "equal ids without equal content are no hard links",
		base: files{},
		a:    files{"x": "f one", "y": "f two"},
		b:    files{"z": "g one"},
		want: files{"x": "f one", "y": "~ two", "z": "g one"},
	},
	{
		name: "what an earlier merge set aside is not made again",
		base: files{"f": "f one"},
		a:    files{"f": "f two t=2", copyName("f", "dos"): "COPY dos t=1 c=f"},
		b:    files{"f": "f dos t=1"},
		want: files{"f": "f two t=2", copyName("f", "dos"): "~ dos t=1 c=f"},
	},
	{
		name: "a mark that one side cleared is gone",
		base: files{"f": "f one c=g", "g": "g one"},
		a:    files{"f": "f one", "g": "g one"},
		b:    files{"f": "f two c=g", "g": "g one"},
		want: files{"f": "f two", "g": "g one"},
	},
	{
		name: "the name of a copy is taken: more digits, its own if taken by itself",
		base: files{copyName("f", "two"): "x taken"},
		a:    files{copyName("f", "two"): "x taken", "f": "m two t=1"},
		b:    files{copyName("f", "two"): "x taken", "f": "n one t=2"},
		want: files{copyName("f", "two"): "x taken", "f": "n one t=2", "f.conflict-74776f0000000000": "m two t=1 c=n"},
		conflicts: []string{
			"f.conflict-74776f0000000000",
		},
	},
	{
		name: "resource.ini merges key by key",
		base: files{"#options": "ignore = a\nkeep = 1\nold = 1\n"},
		a:    files{"#options": "ignore = b\nkeep = 1\nnew = 2\n"},
		b:    files{"#options": "# note\nignore = a\nkeep = 3\nnew = 1\nold = 1\n[x]\ny = z\n"},
		want: files{"#options": "ignore = b\nkeep = 3\nnew = 1\n[x]\ny = z\n"},
	},
	{
		name: "Newest, both edit",
		base: files{"#options": "conflict = newest\n", "f": "f one t=1"},
		a:    files{"#options": "conflict = newest\n", "f": "f two t=2"},
		b:    files{"#options": "conflict = newest\n", "f": "f dos t=3"},
		want: files{"#options": "conflict = newest\n", "f": "f dos t=3"},
	},
	{
		name: "Newest, chosen by one side at the same time",
		base: files{},
		a:    files{"f": "m one t=1", "d": "d one t=9", "e": "k ->l"},
		b:    files{"#options": "conflict = Newest\n", "f": "n two t=2", "d/": "e", "e": "l two"},
		want: files{"#options": "conflict = Newest\n", "f": "n two t=2", "d/": "e", copyName("d", "one"): "d one t=9 c=e", "e": "k ->l"},
		conflicts: []string{
			copyName("d", "one"),
		},
	},
	{
		name: "Newest, edit and delete",
		base: files{"#options": "conflict = newest\n", "f": "f one t=5"},
		a:    files{"#options": "conflict = newest\n"},
		b:    files{"#options": "conflict = newest\n", "f": "f two t=1"},
		want: files{"#options": "conflict = newest\n", "f": "f two t=1"},
	},
}

func TestRules(t *testing.T) {
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			m := newMemory()
			m.exact = true
			base, a, b := m.build(t, r.base), sideA(m.build(t, r.a)), sideB(m.build(t, r.b))
			for _, sides := range [][2]Side{{a, b}, {b, a}} {
				got, err := realMerge(m, base, sides[0], sides[1])
				if err != nil {
					t.Fatal(err)
				}
				if have := m.dump(t, got.Tree); !maps.Equal(have, r.want) {
					t.Errorf("got\n%swant\n%s", have, r.want)
				}
				var paths []string
				for _, c := range got.Conflicts {
					paths = append(paths, c.Path)
				}
				if !slices.Equal(paths, r.conflicts) {
					t.Errorf("conflicts %q, want %q", paths, r.conflicts)
				}
			}
			if err := checkAll(t, m, realMerge, base, a, b); err != nil {
				t.Error(err)
			}
		})
	}
}
