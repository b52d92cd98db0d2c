package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/silvermirror/smfs/fstest"
	"golang.org/x/sys/unix"
)

// sh runs a line of shell, which shall succeed.
func sh(t *testing.T, line string, args ...string) string {
	t.Helper()
	out, err := exec.Command("sh", append([]string{"-euc", line, "sh"}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", line, args, err, out)
	}
	return string(out)
}

// pasts is a mirror, and copies of what it was at some of its commits.
type pasts struct {
	*fstest.Mirror
	commits []string
	copies  []string
}

// keep commits what there is, and copies it.
func (p *pasts) keep(t *testing.T) {
	t.Helper()
	p.Run("wait", "--committed")
	kept := filepath.Join(t.TempDir(), "kept")
	check(t, os.Mkdir(kept, 0o755))
	sh(t, `cd "$1"; tar --xattrs -c --exclude=./.silvermirror --exclude=./@tags --exclude=./@history . | tar --xattrs -C "$2" -x`, p.Dir, kept)
	p.commits, p.copies = append(p.commits, p.Head()), append(p.copies, kept)
}

// pastMirror has a mirror go through some states.
func pastMirror(t *testing.T) *pasts {
	t.Helper()
	p := &pasts{Mirror: userMirror(t)}
	p.Mount()
	check(t, os.MkdirAll(p.Path("d/sub/empty"), 0o755))
	write(t, p.Path("d/report.txt"), "the first needle\n")
	write(t, p.Path("d/sub/\xff\xfe not UTF-8\n"), "bytes")
	for _, name := range []string{"%41", "...", ".git2", "a\\b", "tab\t", strings.Repeat("n", 255), "aux", "-n"} {
		write(t, p.Path("d/sub/"+name), "in "+name)
	}
	check(t, os.Symlink("../report.txt", p.Path("d/sub/link")))
	check(t, os.Symlink("nowhere", p.Path("dangling")))
	check(t, os.Chmod(p.Path("d/report.txt"), 0o640))
	check(t, unix.Setxattr(p.Path("d/report.txt"), "user.note", []byte("a\x00b"), 0))
	check(t, os.WriteFile(p.Path("large"), noise(7, 5<<20), 0o755))
	p.keep(t)

	sparse, err := os.Create(p.Path("sparse"))
	check(t, err)
	_, err = sparse.WriteAt([]byte("end"), 40<<20)
	check(t, errors.Join(err, sparse.Close()))
	write(t, p.Path("d/report.txt"), "the second needle\n")
	check(t, os.Remove(p.Path("d/sub/%41")))
	check(t, os.WriteFile(p.Path("large"), insert(noise(7, 5<<20), 1<<20, "inserted"), 0o755))
	p.keep(t)

	check(t, os.RemoveAll(p.Path("d")))
	write(t, p.Path("d"), "a file now")
	check(t, os.Remove(p.Path("large")))
	check(t, os.Remove(p.Path("sparse")))
	p.keep(t)
	return p
}

// TestHistoryPaths compares what was with copies made then, by the programs that
// people would use.
func TestHistoryPaths(t *testing.T) {
	t.Parallel()
	p := pastMirror(t)
	out := t.TempDir()
	for i, kept := range p.copies {
		at := p.Path("@history/" + p.commits[i][:12])
		sh(t, `diff -r --no-dereference "$1" "$2/"`, kept, at)
		got, err := fstest.Shown(at+"/", true, nil)
		check(t, err)
		want, err := fstest.Shown(kept, true, nil)
		check(t, err)
		for name, line := range want { // all but the bits to write
			for _, kind := range []string{"file ", "dir "} {
				var mode uint32
				if _, err := fmt.Sscanf(line, kind+"%o", &mode); err == nil {
					want[name] = strings.Replace(line, fmt.Sprintf("%04o", mode), fmt.Sprintf("%04o", mode&^0o222), 1)
				}
			}
		}
		if d := fstest.Differences(want, got); d != "" {
			t.Errorf("state %d, as kept (-) and in the history (+):\n%s", i, d)
		}

		copied := filepath.Join(out, fmt.Sprint("copy", i))
		sh(t, `cp -a "$1" "$2" && diff -r --no-dereference "$2" "$3"`, at, copied, kept)
		sh(t, `mkdir "$2" && tar -C "$1" --xattrs -c . | tar -C "$2" --xattrs -x && diff -r --no-dereference "$2" "$3"`, at, copied+".tar", kept)
		sh(t, `test "$(cd "$1" && find . -type f | sort)" = "$(cd "$2" && find . -type f | sort)"`, at, kept)
		sh(t, `chmod -R u+w "$1" "$1.tar"`, copied)
	}
	if got := sh(t, `cd "$1/@history/"; grep -rl "first needle" `+p.commits[0]+` `+p.commits[1], p.Dir); strings.TrimSpace(got) != p.commits[0]+"/d/report.txt" {
		t.Errorf("grep finds %q", got)
	}
	lists(t, p.Mirror, "@history/latest", ls(t, p.copies[2])...)
	lists(t, p.Mirror, "@history/", time.Now().Format(time.DateOnly), "latest")
	for _, at := range []string{"1999-01-01", "yesterday", "tomorrow", "0123456789ab", ".smfs", "2h", p.commits[0][:3]} {
		absent(t, p.Path("@history/"+at))
	}
	if got := content(t, p.Path("@history/"+time.Now().Format(time.DateOnly)+"/d")); got != "a file now" {
		t.Errorf("today it is %q", got)
	}
}

// TestHistoryTimes asks for a state by when it was, to the second.
func TestHistoryTimes(t *testing.T) {
	t.Parallel()
	m := one(t)
	var times []time.Time
	for i := range 3 {
		write(t, m.Path("f"), fmt.Sprint("version ", i))
		m.Run("wait", "--committed")
		times = append(times, time.Now())
		time.Sleep(2100 * time.Millisecond)
	}
	for i, at := range times {
		for _, name := range []string{
			at.Format("2006-01-02T15:04:05"), at.Format(time.DateTime), at.UTC().Format(time.RFC3339),
			(time.Since(at) - 500*time.Millisecond).String(),
		} {
			if got := content(t, m.Path("@history/"+name+"/f")); got != fmt.Sprint("version ", i) {
				t.Errorf("at %s it is %q, not version %d", name, got, i)
			}
		}
	}
	m.Run("restore", m.Path("@history/"+times[1].Format("2006-01-02T15:04:05")+"/f"))
	if got := content(t, m.Path("f")); got != "version 1" {
		t.Errorf("restored by its path: %q", got)
	}
	in(t, m, "@history/"+times[0].Format("2006-01-02T15:04:05"), "restore", "f")
	if got := content(t, m.Path("f")); got != "version 0" {
		t.Errorf("restored by a path in its directory: %q", got)
	}
	for _, args := range [][]string{{"log"}, {"tag", "-t", "work"}, {"tags"}, {"restore", "--at", "2h"}} {
		refused(t, m, append(args, m.Path("@history/latest/f")), "history")
	}
}

// TestHistoryReads reads large files at random places, and by mapping.
func TestHistoryReads(t *testing.T) {
	t.Parallel()
	m := one(t)
	data := noise(3, 20<<20)
	copy(data[3<<20:], make([]byte, 9<<20)) // a hole, or as good as one
	check(t, os.WriteFile(m.Path("large"), data, 0o644))
	m.Run("wait", "--committed")
	at := m.Head()
	check(t, os.Remove(m.Path("large")))
	m.Run("wait", "--committed")
	f, err := os.Open(m.Path("@history/" + at + "/large"))
	check(t, err)
	defer f.Close()
	mapped, err := unix.Mmap(int(f.Fd()), 0, len(data), unix.PROT_READ, unix.MAP_SHARED)
	check(t, err)
	defer unix.Munmap(mapped)
	rnd := rand.New(rand.NewPCG(5, 6))
	for range 100 {
		off, n := rnd.IntN(len(data)), rnd.IntN(2<<20)
		b := make([]byte, n)
		got, err := f.ReadAt(b, int64(off))
		want := data[off:min(off+n, len(data))]
		if !bytes.Equal(b[:got], want) || err != nil && !errors.Is(err, io.EOF) {
			t.Fatalf("%d bytes at %d: %d, %v", n, off, got, err)
		}
		if x := off; mapped[x] != data[x] {
			t.Fatalf("mapped at %d: %d, not %d", x, mapped[x], data[x])
		}
	}
	for whence, want := range map[int]int64{unix.SEEK_DATA: 5, unix.SEEK_HOLE: int64(len(data)), io.SeekEnd: int64(len(data)) + 5} {
		if got, err := f.Seek(5, whence); got != want || err != nil {
			t.Errorf("seek %d: %d, %v", whence, got, err)
		}
	}
	sh(t, `cp "$1" "$2"`, m.Path("@history/"+at+"/large"), m.Path("back"))
	if got, err := os.ReadFile(m.Path("back")); !bytes.Equal(got, data) || err != nil {
		t.Errorf("copied back: %d bytes, %v", len(got), err)
	}
}

// TestHistoryOfResources: each resource is at its place, as it was at that time; one
// that had no commit yet is absent.
func TestHistoryOfResources(t *testing.T) {
	t.Parallel()
	m := fstest.NewMirror(t, fstest.Program{Path: fstest.Build(t)}, "M")
	elsewhere := t.TempDir()
	configured(t, m, "[::SilverMirror::]", "[docs]", "[docs:private]", "[deep]", "directory = a/b/deep", "[photos]", "directory = "+elsewhere)
	m.Mount()
	check(t, os.MkdirAll(m.Path("a/b/deep"), 0o755))
	write(t, m.Path("docs/f"), "docs 1")
	m.Run("wait", "--committed")
	first := time.Now().Format("2006-01-02T15:04:05")
	time.Sleep(2100 * time.Millisecond)
	check(t, os.MkdirAll(m.Path("docs/private"), 0o755))
	write(t, m.Path("docs/f"), "docs 2")
	write(t, m.Path("docs/private/f"), "private")
	write(t, m.Path("a/b/deep/f"), "deep")
	write(t, filepath.Join(elsewhere, "f"), "photo")
	m.Run("wait", "--committed")

	lists(t, m, "@history/"+first, "docs")
	lists(t, m, "@history/"+first+"/docs", "f")
	lists(t, m, "@history/latest", "a", "docs", "photos")
	lists(t, m, "@history/latest/docs", "f", "private")
	lists(t, m, "@history/latest/a/b", "deep")
	for path, want := range map[string]string{
		first + "/docs/f": "docs 1", "latest/docs/f": "docs 2", "latest/docs/private/f": "private", "latest/a/b/deep/f": "deep", "latest/photos/f": "photo",
	} {
		if got := content(t, m.Path("@history/"+path)); got != want {
			t.Errorf("%s is %q", path, got)
		}
	}
	for _, r := range m.Status().Resources {
		if r.Name == "deep" { // a commit stands for its time elsewhere
			if got := content(t, m.Path("@history/"+r.Head+"/docs/f")); got != "docs 2" && got != "docs 1" {
				t.Errorf("at a commit of deep docs/f is %q", got)
			}
			lists(t, m, "@history/"+r.Head+"/a/b/deep", "f")
		}
	}
	m.Run("restore", m.Path("@history/"+first+"/docs/f"))
	has("docs/f", "docs 1")(t, m, "")
}

// TestHistoryWhileCommitting has readers walk through the past while commits go on and
// packs are merged.
func TestHistoryWhileCommitting(t *testing.T) {
	t.Parallel()
	p := pastMirror(t)
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for i := range 3 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				out, err := exec.Command("diff", "-r", "--no-dereference", p.copies[i], p.Path("@history/"+p.commits[i])+"/").CombinedOutput()
				if err != nil {
					t.Errorf("state %d: %v\n%s", i, err, out)
					return
				}
			}
		})
	}
	for i := range 60 {
		want := fmt.Sprint("version ", i)
		write(t, p.Path("changing"), want)
		p.Run("wait", "--committed")
		if got := content(t, p.Path("@history/latest/changing")); got != want {
			t.Errorf("latest is %q, not %q", got, want)
		}
	}
	close(stop)
	readers.Wait()
	check(t, errors.Join(sameAsHead(p.Mirror, nil), fsck(p.Mirror)))
}

// TestHistoryDamaged: what is damaged is an error of its own, and the log tells it
// once; all else can be read.
func TestHistoryDamaged(t *testing.T) {
	t.Parallel()
	m := one(t)
	write(t, m.Path("small"), strings.Repeat("this one is damaged\n", 100))
	write(t, m.Path("whole"), "this one is not")
	large := noise(9, 8<<20)
	check(t, os.WriteFile(m.Path("large"), large, 0o644))
	m.Run("wait", "--committed")
	at := m.Head()
	check(t, errors.Join(os.Remove(m.Path("small")), os.Remove(m.Path("large"))))
	m.Run("wait", "--committed")
	chunks := strings.Fields(m.Git("ls-tree", "--format=%(objectname)", "-r", at, ".smfs/chunks/large/"))
	m.Umount()
	damageObjects(t, m, m.Git("rev-parse", at+":small"), chunks[len(chunks)-1])
	m.Mount()
	for range 3 {
		for _, name := range []string{"small", "large"} {
			if _, err := os.ReadFile(m.Path("@history/" + at + "/" + name)); !errors.Is(err, syscall.EIO) {
				t.Errorf("read what is damaged of %s: %v", name, err)
			}
		}
	}
	if got := content(t, m.Path("@history/"+at+"/whole")); got != "this one is not" {
		t.Errorf("the rest reads %q", got)
	}
	f, err := os.Open(m.Path("@history/" + at + "/large"))
	check(t, err)
	defer f.Close()
	b := make([]byte, 1<<18)
	if _, err := f.ReadAt(b, 0); err != nil || !bytes.Equal(b, large[:len(b)]) {
		t.Errorf("the beginning of the large file: %v", err)
	}
	log, err := os.ReadFile(m.Path(".silvermirror/smfs.log"))
	check(t, err)
	if n := strings.Count(string(log), "history cannot be read"); n != 2 {
		t.Errorf("the log tells it %d times:\n%s", n, log)
	}
}

// TestHistoryOfMany lists a directory of many files, and walks through many commits:
// inode numbers stay, and the daemon does not grow.
func TestHistoryOfMany(t *testing.T) {
	t.Parallel()
	m := newMirror(t)
	const files = 100_000
	check(t, os.MkdirAll(m.Path("many/sub"), 0o755))
	for i := range files {
		write(t, m.Path(fmt.Sprint("many/", i)), "")
	}
	m.Mount()
	m.Run("wait", "--committed")
	at := m.Head()
	start := time.Now()
	f, err := os.Open(m.Path("@history/latest/many"))
	check(t, err)
	names, err := f.Readdirnames(-1)
	check(t, errors.Join(err, f.Close()))
	t.Logf("%d names listed in %s", len(names), time.Since(start))
	if len(names) != files+1 {
		t.Errorf("%d names", len(names))
	}
	start = time.Now()
	if n := strings.Count(sh(t, `ls -lU "$1"`, m.Path("@history/latest/many")), "\n"); n != files+2 {
		t.Errorf("%d lines", n)
	}
	t.Logf("and with attributes in %s", time.Since(start))

	inode := inodeOf(t, m.Path("@history/"+at+"/many/7"))
	dir := inodeOf(t, m.Path("@history/"+at+"/many/sub"))
	if own := inodeOf(t, m.Path("many/7")); own == inode {
		t.Error("a file has the inode number of one that was")
	}
	var commits []string
	for i := range 100 {
		write(t, m.Path("changing"), fmt.Sprint("version ", i))
		m.Run("wait", "--committed")
		commits = append(commits, m.Head())
	}
	var grown []int
	for round := range 3 {
		for i, c := range commits {
			if got := content(t, m.Path("@history/"+c+"/changing")); got != fmt.Sprint("version ", i) {
				t.Errorf("%s: %q", c, got)
			}
			for j := range 200 { // which fills what is remembered more than once
				if _, err := os.Lstat(m.Path(fmt.Sprint("@history/", c, "/many/", (round*100+i)*200%files+j))); err != nil {
					t.Fatal(err)
				}
			}
		}
		grown = append(grown, resident(t, m))
	}
	t.Logf("resident after each round, in kB: %v", grown)
	if grown[2] > grown[0]+60_000 {
		t.Errorf("the daemon grows: %v kB", grown)
	}
	if a, b := inodeOf(t, m.Path("@history/"+at+"/many/7")), inodeOf(t, m.Path("@history/"+at+"/many/sub")); a != inode || b != dir {
		t.Errorf("inode numbers were %d, %d and are %d, %d", inode, dir, a, b)
	}
}

// resident is the daemon's memory, in kB.
func resident(t *testing.T, m *fstest.Mirror) (kb int) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", m.Status().PID))
	check(t, err)
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	_, err = fmt.Sscan(rest, &kb)
	check(t, err)
	return kb
}

// TestUserHistory: an ordinary user's mount shows the past, and lets nothing be
// changed in it.
func TestUserHistory(t *testing.T) {
	if !asUser(t) {
		return
	}
	p := pastMirror(t)
	at := p.Path("@history/" + p.commits[0])
	sh(t, `diff -r --no-dereference "$1" "$2/"`, p.copies[0], at)
	for _, err := range []error{
		os.WriteFile(at+"/d/report.txt", nil, 0o644), os.Remove(at + "/dangling"), os.Mkdir(at+"/new", 0o755), os.Rename(p.Path("d"), at+"/d2"),
	} {
		if !errors.Is(err, fs.ErrPermission) && !errors.Is(err, syscall.EROFS) {
			t.Errorf("changed: %v", err)
		}
	}
}
