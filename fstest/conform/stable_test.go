package conform

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/silvermirror/smfs/fstest"
	"golang.org/x/sys/unix"
)

// linked fills a directory with files of several names, and says which names are
// one file.
func linked(t *testing.T, dir string) (names [][]string) {
	t.Helper()
	for _, d := range []string{"d", "d/e"} {
		must(t, os.MkdirAll(filepath.Join(dir, d), 0o755))
	}
	names = [][]string{{"alone"}, {"a", "d/b", "d/e/c"}, {"d/x", "d/y"}, {"l1", "l2"}}
	for _, same := range names {
		first := filepath.Join(dir, same[0])
		if same[0] == "l1" {
			must(t, os.Symlink("a", first))
		} else {
			must(t, os.WriteFile(first, []byte("content of "+same[0]), 0o640))
		}
		for _, name := range same[1:] {
			must(t, unix.Link(first, filepath.Join(dir, name)))
		}
	}
	return names
}

// inodes are the inode numbers below a directory, by path.
func inodes(t *testing.T, dir string) map[string]uint64 {
	t.Helper()
	out := map[string]uint64{}
	must(t, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		var st unix.Stat_t
		if err == nil {
			err = unix.Lstat(path, &st)
		}
		out[strings.TrimPrefix(path, dir)] = st.Ino
		return err
	}))
	return out
}

// sameLinks fails unless names are one file below dir as they are in the list.
func sameLinks(t *testing.T, dir string, names [][]string) {
	t.Helper()
	ino := inodes(t, dir)
	seen := map[uint64]string{}
	for _, same := range names {
		for _, name := range same {
			if ino["/"+name] != ino["/"+same[0]] {
				t.Errorf("in %s, %s is not %s", dir, name, same[0])
			}
			var st unix.Stat_t
			must(t, unix.Lstat(filepath.Join(dir, name), &st))
			if int(st.Nlink) != len(same) {
				t.Errorf("in %s, %s has %d links, want %d", dir, name, st.Nlink, len(same))
			}
		}
		if other, ok := seen[ino["/"+same[0]]]; ok {
			t.Errorf("in %s, %s is %s", dir, same[0], other)
		}
		seen[ino["/"+same[0]]] = same[0]
	}
}

// TestInodes: inode numbers stay over a new mount, are those beneath, and those
// that find knows; and programs that look for hard links find them.
func TestInodes(t *testing.T) {
	inodesStay(t, fstest.NewMirror(t, fstest.Program{Path: fstest.Build(t)}, "M"))
}

func TestInodesAsUser(t *testing.T) {
	if fstest.AsUser(t, "") {
		inodesStay(t, fstest.NewMirror(t, fstest.UserProgram(t), "M"))
	}
}

func inodesStay(t *testing.T, m *fstest.Mirror) {
	beneath := func() map[string]uint64 { return inodes(t, m.Path("tree")) }
	must(t, os.Mkdir(m.Path("tree"), 0o755))
	m.Mount()
	names := linked(t, m.Path("tree"))
	first := inodes(t, m.Path("tree"))
	sameLinks(t, m.Path("tree"), names)

	m.Umount()
	if plain := beneath(); fmt.Sprint(plain) != fmt.Sprint(first) {
		t.Errorf("the mount had inodes\n%v\nbeneath are\n%v", first, plain)
	}
	m.Mount()
	if again := inodes(t, m.Path("tree")); fmt.Sprint(again) != fmt.Sprint(first) {
		t.Errorf("the mount had inodes\n%v\nand has\n%v", first, again)
	}

	t.Run("find -inum", func(t *testing.T) {
		for _, same := range names {
			out := run(t, "find", m.Path("tree"), "-inum", fmt.Sprint(first["/"+same[0]]))
			if n := strings.Count(out, "\n"); n != len(same) {
				t.Errorf("of %v find says\n%s", same, out)
			}
		}
		if out := run(t, "find", m.Path("tree"), "-samefile", m.Path("tree/a")); strings.Count(out, "\n") != 3 {
			t.Errorf("of a find says\n%s", out)
		}
	})
	t.Run("tar", func(t *testing.T) {
		archive := filepath.Join(t.TempDir(), "links.tar")
		run(t, "tar", "-C", m.Path("tree"), "-cf", archive, ".")
		if n := strings.Count(run(t, "tar", "-tvf", archive), " link to "); n != 4 {
			t.Errorf("the archive has %d links", n)
		}
		for _, dir := range []string{t.TempDir(), mkdir(t, m.Dir, "untarred")} {
			run(t, "tar", "-C", dir, "-xf", archive)
			sameLinks(t, dir, names)
		}
	})
	t.Run("rsync -aH", func(t *testing.T) {
		for _, dir := range []string{t.TempDir(), mkdir(t, m.Dir, "synced")} {
			run(t, "rsync", "-aH", m.Path("tree")+"/", dir+"/")
			sameLinks(t, dir, names)
			if out := run(t, "rsync", "-aHi", "--checksum", "--delete", m.Path("tree")+"/", dir+"/"); out != "" {
				t.Errorf("rsync sees differences:\n%s", out)
			}
		}
	})
	t.Run("cp -a and du", func(t *testing.T) {
		run(t, "cp", "-a", m.Path("tree"), m.Path("copied"))
		sameLinks(t, m.Path("copied"), names)
		whole, parts := run(t, "du", "-s", "--inodes", m.Path("tree")), run(t, "du", "-ls", "--inodes", m.Path("tree"))
		if strings.Fields(whole)[0] != "7" || strings.Fields(parts)[0] != "11" {
			t.Errorf("du counts %s, and %s with each link", whole, parts)
		}
	})

	m.Run("wait", "--committed")
	must(t, fstest.SameAsHead(m, nil))
	m.Umount()
	for _, dir := range []string{"tree", "untarred", "synced", "copied"} {
		sameLinks(t, m.Path(dir), names)
	}
}
