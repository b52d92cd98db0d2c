package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/silvermirror/smfs/fstest"
)

// one makes a mounted mirror without a peer.
func one(t *testing.T) *fstest.Mirror {
	t.Helper()
	m := fstest.NewMirror(t, fstest.Program{Path: fstest.Build(t)}, "M")
	m.Mount()
	return m
}

// in runs the program in a directory of the mirror, without -C.
func in(t *testing.T, m *fstest.Mirror, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command(m.Program.Path, args...)
	cmd.Env, cmd.Dir = m.Program.Env, m.Path(dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("smfs %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// ls is what a directory lists, in order.
func ls(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	check(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	slices.Sort(names)
	return names
}

func lists(t *testing.T, m *fstest.Mirror, dir string, want ...string) {
	t.Helper()
	if got := ls(t, m.Path(dir)); !slices.Equal(got, want) {
		t.Errorf("%s lists %q, not %q", dir, got, want)
	}
}

// tagsOf is `smfs tags --json` of one path.
func tagsOf(t *testing.T, m *fstest.Mirror, path string) []string {
	t.Helper()
	var list []struct{ Tags []string }
	out := m.Run("tags", "--json", m.Path(path))
	if err := json.Unmarshal([]byte(out), &list); err != nil || len(list) != 1 {
		t.Fatalf("tags of %s: %v\n%s", path, err, out)
	}
	slices.Sort(list[0].Tags)
	return list[0].Tags
}

func TestTagView(t *testing.T) {
	t.Parallel()
	m := one(t)
	check(t, os.Mkdir(m.Path("d"), 0o755))
	check(t, put(m, "d/report.txt", "one\n"))
	check(t, put(m, "photo.jpg", "two\n"))
	check(t, put(m, "untagged", "three\n"))
	m.Run("tag", m.Path("d/report.txt"), m.Path("photo.jpg"), "work")
	in(t, m, "d", "tag", "report.txt", "urgent", "later")

	lists(t, m, "@tags", "later", "urgent", "work")
	lists(t, m, "@tags/work", "photo.jpg", "report.txt")
	lists(t, m, "@tags/work,urgent", "report.txt")
	lists(t, m, "@tags/work,!none", "photo.jpg", "report.txt")
	m.Run("tag", m.Path("untagged"), "alone")
	lists(t, m, "@tags/work,alone") // both tags are there, no file has them
	m.Run("untag", m.Path("untagged"), "alone")
	for _, name := range []string{"none", "work,none", "none,work", "work,alone"} {
		absent(t, m.Path("@tags/"+name))
	}
	if got := tagsOf(t, m, "d/report.txt"); !slices.Equal(got, []string{"later", "urgent", "work"}) {
		t.Errorf("tags: %q", got)
	}
	contains(t, m.Run("tags"), "work", "2", "urgent", "1")

	in(t, m, "d", "untag", "report.txt", "later")
	lists(t, m, "@tags", "urgent", "work")
	refused(t, m, []string{"tag", m.Path("no-such-file"), "work"}, "no-such-file")
	refused(t, m, []string{"untag", m.Path("photo.jpg"), "wrok"}, `no file given has the tag "wrok"`)
	refused(t, m, []string{"tag", "/etc/hostname", "work"}, "outside")
	refused(t, m, []string{"tag", m.Path("photo.jpg"), "a/../b,c"}, "no tag")
	if subject := m.Git("log", "--format=%s", "-1"); !strings.Contains(subject, "untag") {
		t.Errorf("the last commit is %q", subject)
	}
}

// TestEditThroughTag edits by the tag path: it is the same file.
func TestEditThroughTag(t *testing.T) {
	t.Parallel()
	m := one(t)
	check(t, os.Mkdir(m.Path("d"), 0o755))
	check(t, put(m, "d/report.txt", "one\n"))
	m.Run("tag", m.Path("d/report.txt"), "work")
	via := m.Path("@tags/work/report.txt")
	if x, y := inodeOf(t, via), inodeOf(t, m.Path("d/report.txt")); x != y {
		t.Errorf("inode %d by the tag, %d by its path", x, y)
	}
	f, err := os.OpenFile(via, os.O_WRONLY|os.O_APPEND, 0)
	check(t, err)
	_, err = f.WriteString("two\n")
	check(t, err)
	check(t, f.Close())
	has("d/report.txt", "one\ntwo\n")(t, m, "")
	m.Run("wait", "--committed")
	if got := m.Git("show", "main:d/report.txt"); got != "one\ntwo" {
		t.Errorf("committed: %q", got)
	}
	check(t, os.WriteFile(m.Path("d/report.txt"), []byte("three\n"), 0o644))
	if got := content(t, via); got != "three\n" {
		t.Errorf("by the tag: %q", got)
	}
}

// TestFilesAreSeenOnce has programs that walk the mirror.
func TestFilesAreSeenOnce(t *testing.T) {
	t.Parallel()
	m := one(t)
	check(t, os.Mkdir(m.Path("d"), 0o755))
	check(t, put(m, "d/report.txt", "needle\n"))
	m.Run("tag", m.Path("d/report.txt"), "work", "urgent")
	for _, argv := range [][]string{
		{"find", m.Dir, "-name", "report.txt"},
		{"grep", "-r", "-l", "--exclude-dir=.silvermirror", "needle", m.Dir},
	} {
		out, err := exec.Command(argv[0], argv[1:]...).Output()
		check(t, err)
		if got := string(out); got != m.Path("d/report.txt")+"\n" {
			t.Errorf("%s sees:\n%s", argv[0], got)
		}
	}
	tar, err := exec.Command("sh", "-c", `tar -C "$0" --exclude=.silvermirror -c . | tar -t`, m.Dir).Output()
	check(t, err)
	if n := strings.Count(string(tar), "report.txt"); n != 1 {
		t.Errorf("tar packs it %d times:\n%s", n, tar)
	}
}

// TestTagsFollow has a tag stay with its file over renames and saves, here and
// at the peer.
func TestTagsFollow(t *testing.T) {
	t.Parallel()
	a, b, _ := mounted(t)
	check(t, os.Mkdir(a.Path("d"), 0o755))
	check(t, put(a, "d/report.txt", "one\n"))
	a.Run("tag", a.Path("d/report.txt"), "work", "urgent")
	at := func(path string) {
		t.Helper()
		same(t, a, b)
		for _, m := range []*fstest.Mirror{a, b} {
			if got := tagsOf(t, m, path); !slices.Equal(got, []string{"urgent", "work"}) {
				t.Errorf("%s: tags of %s: %q", m.Dir, path, got)
			}
			name := path[strings.LastIndexByte(path, '/')+1:]
			lists(t, m, "@tags/work", name)
			lists(t, m, "@tags/work,urgent", name)
		}
		if t.Failed() {
			t.FailNow()
		}
	}
	at("d/report.txt")
	check(t, os.Rename(a.Path("d/report.txt"), a.Path("renamed.txt")))
	at("renamed.txt")
	for i, save := range saves {
		m := []*fstest.Mirror{a, b}[i%2]
		check(t, save(m, "renamed.txt"))
		at("renamed.txt")
	}
	check(t, os.Rename(b.Path("d"), b.Path("e")))
	check(t, os.Rename(b.Path("renamed.txt"), b.Path("e/back.txt")))
	at("e/back.txt")
	check(t, os.Rename(a.Path("e"), a.Path("f")))
	at("f/back.txt")

	b.Run("untag", b.Path("f/back.txt"), "urgent")
	same(t, a, b)
	if got := tagsOf(t, a, "f/back.txt"); !slices.Equal(got, []string{"work"}) {
		t.Errorf("after untag at the peer: %q", got)
	}
	check(t, os.Remove(a.Path("f/back.txt")))
	same(t, a, b)
	lists(t, b, "@tags")
}

// saves are the ways in which editors save a file.
var saves = []func(m *fstest.Mirror, path string) error{
	func(m *fstest.Mirror, path string) error { // write a temporary, rename it over
		if err := put(m, "."+path+".tmp", "two\n"); err != nil {
			return err
		}
		return os.Rename(m.Path("."+path+".tmp"), m.Path(path))
	},
	func(m *fstest.Mirror, path string) error { // rename away, write anew, remove the old one
		if err := os.Rename(m.Path(path), m.Path(path+"~")); err != nil {
			return err
		}
		if err := put(m, path, "three\n"); err != nil {
			return err
		}
		return os.Remove(m.Path(path + "~"))
	},
	func(m *fstest.Mirror, path string) error { // in place
		return put(m, path, "four\n")
	},
}

// TestTagsWithoutMount tags in a plain directory.
func TestTagsWithoutMount(t *testing.T) {
	t.Parallel()
	m := fstest.NewMirror(t, fstest.Program{Path: fstest.Build(t)}, "M")
	check(t, put(m, "file", "x"))
	m.Run("tag", m.Path("file"), "work")
	if got := tagsOf(t, m, "file"); !slices.Equal(got, []string{"work"}) {
		t.Errorf("tags: %q", got)
	}
	m.Mount()
	lists(t, m, "@tags/work", "file")
	m.Umount()
	lists(t, m, "", ".silvermirror", "file")
}

// TestTagPathsAsArguments has commands take the paths that people browse.
func TestTagPathsAsArguments(t *testing.T) {
	t.Parallel()
	m := newMirror(t)
	m.Mount()
	check(t, os.MkdirAll(m.Path("d/sub"), 0o755))
	check(t, os.MkdirAll(m.Path("e"), 0o755))
	for _, name := range []string{"d/f", "d/sub/g", "e/f"} {
		check(t, put(m, name, "in "+name))
	}
	m.Run("tag", m.Path("d/f"), m.Path("e/f"), m.Path("d/sub"), "projects/acme")
	in(t, m, "@tags/projects/acme", "tag", "f", "urgent")
	if got := tagsOf(t, m, "@tags/urgent/f"); !slices.Equal(got, []string{"projects/acme", "urgent"}) {
		t.Errorf("tags by a tag path: %q", got)
	}
	in(t, m, "@tags/urgent", "untag", "f", "urgent")
	m.Run("tag", m.Path("@tags/projects/acme/sub/g"), "deep")
	if got := tagsOf(t, m, "d/sub/g"); !slices.Equal(got, []string{"deep"}) {
		t.Errorf("tags of what is in a tagged directory: %q", got)
	}
	check(t, put(m, "d/sub/g", "two"))
	m.Run("wait")
	m.Run("restore", m.Path("@tags/deep/g"))
	if got := content(t, m.Path("d/sub/g")); got != "in d/sub/g" {
		t.Errorf("restored by a tag path: %q", got)
	}
	entries, err := os.ReadDir(m.Path("@tags/projects/acme"))
	check(t, err)
	for _, e := range entries {
		contains(t, m.Run("tags", m.Path("@tags/projects/acme/"+e.Name())), "projects/acme")
	}
	refused(t, m, []string{"log", m.Path("@tags/deep/none")}, "no tagged file is at @tags/deep/none")
}

// TestTagsStayThroughFastChanges has several changes of one file come between two
// commits: it is still that file.
func TestTagsStayThroughFastChanges(t *testing.T) {
	t.Parallel()
	m := newMirror(t)
	configured(t, m, "[::SilverMirror::]", "settle = 1s", "[mirror]", "directory = .")
	m.Mount()
	write(t, m.Path("f0"), "text\n")
	write(t, m.Path("saved"), "text\n")
	write(t, m.Path("other"), "text\n")
	m.Run("wait", "--committed")
	m.Run("tag", m.Path("f0"), m.Path("saved"), "work")
	for i := range 10 {
		from, to := fmt.Sprint("f", i), fmt.Sprint("f", i+1)
		check(t, os.Rename(m.Path(from), m.Path(to)))
		run(t, "sed", "-i", "s/$/./", m.Path(to))

		check(t, os.Rename(m.Path("saved"), m.Path("saved~")))
		write(t, m.Path("other"), fmt.Sprint(i)) // is committed at once
		time.Sleep(time.Duration(i) * 5 * time.Millisecond)
		write(t, m.Path("saved"), fmt.Sprint("text ", i, "\n"))
		m.Run("wait", "--committed")
		for _, name := range []string{to, "saved"} {
			if got := tagsOf(t, m, name); !slices.Equal(got, []string{"work"}) {
				t.Errorf("round %d: tags of %s: %q", i, name, got)
			}
		}
	}
	if n := strings.Count(m.Run("log", m.Path("f10")), "\n"); n < 10 {
		t.Errorf("the history of f10 has %d versions", n)
	}
}
