package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/silvermirror/smfs/fstest"
	"github.com/silvermirror/smfs/fstest/sshd"
)

const exitMended = 14

// withHistory is a mirror with files, directories, a hard link, tags and older
// versions, unmounted.
func withHistory(t *testing.T) *fstest.Mirror {
	t.Helper()
	m := newMirror(t)
	m.Mount()
	writeHistory(t, m)
	m.Umount()
	return m
}

func writeHistory(t *testing.T, m *fstest.Mirror) {
	t.Helper()
	check(t, os.MkdirAll(m.Path("d/e"), 0o755))
	check(t, put(m, "d/e/deep", strings.Repeat("deep ", 100)))
	check(t, put(m, "one", "the first version, long enough to be found\n"))
	m.Run("wait", "--committed")
	check(t, os.Link(m.Path("one"), m.Path("d/link")))
	check(t, put(m, "one", "the second version, long enough to be found\n"))
	m.Run("wait", "--committed")
	m.Run("tag", m.Path("one"), "work")
	check(t, put(m, "two", strings.Repeat("two\n", 50)))
	m.Run("wait", "--committed")
}

// intact tells that nothing of withHistory is lost, in the mount and in the
// history, and that it goes on.
func intact(t *testing.T, m *fstest.Mirror) {
	t.Helper()
	m.Mount()
	check(t, put(m, "new", "written after it"))
	m.Run("wait", "--committed")
	for path, want := range map[string]string{
		"one": "the second version, long enough to be found\n", "d/link": "the second version, long enough to be found\n",
		"two": strings.Repeat("two\n", 50), "d/e/deep": strings.Repeat("deep ", 100), "new": "written after it",
	} {
		has(path, want)(t, m, "")
	}
	contains(t, m.Run("tags", m.Path("one")), "work")
	contains(t, m.Run("log", m.Path("new")), "new")
	clean(t, m)
	m.Umount()
	check(t, errors.Join(sameAsHead(m, nil), fsck(m)))
}

// clean runs a check that must find nothing at all.
func clean(t *testing.T, m *fstest.Mirror) {
	t.Helper()
	if out := found(m.Run("fsck")); out != "nothing is damaged\n" {
		t.Errorf("fsck says:\n%s", out)
	}
}

// found is what a check printed but for its progress.
func found(out string) string {
	var b strings.Builder
	for line := range strings.Lines(out) {
		if !strings.HasPrefix(line, "smfs: looking at") {
			b.WriteString(line)
		}
	}
	return b.String()
}

func headOf(t *testing.T, m *fstest.Mirror, rev string) func() {
	t.Helper()
	id := m.Git("rev-parse", rev)
	return func() { damageObjects(t, m, id) }
}

// TestFsckRepair damages one part of an unmounted mirror, sees what a check says
// of it, has it mended, and finds everything as it was.
func TestFsckRepair(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		damage func(t *testing.T, m *fstest.Mirror)
		code   int    // of the check; exitMended where the start mends it
		says   string // by the check
		mends  string // what repair says
	}{
		{"a version on disk", func(t *testing.T, m *fstest.Mirror) { headOf(t, m, "main:two")() }, exitDamaged, `file "two"`, "it is back, from the files"},
		{"a directory", func(t *testing.T, m *fstest.Mirror) { headOf(t, m, "main:d/e")() }, exitDamaged, `directory "/d/e"`, "it is back, from the files"},
		{"the root directory", func(t *testing.T, m *fstest.Mirror) { headOf(t, m, "main^{tree}")() }, exitDamaged, `directory "/"`, "it is back, from the files"},
		{"the root directory and the index", func(t *testing.T, m *fstest.Mirror) {
			headOf(t, m, "main^{tree}")()
			check(t, os.Remove(m.Path(indexFile)))
		}, exitDamaged, "cannot be used", "directories of the newest commit"},
		{"the newest commit", func(t *testing.T, m *fstest.Mirror) { headOf(t, m, "main")() }, exitDamaged, "cannot be used", "the newest commits are lost"},
		{"a pack's end", func(t *testing.T, m *fstest.Mirror) {
			file := packs(t, m.Store(), ".pack")[0]
			info, err := os.Stat(file)
			check(t, err)
			flip(t, file, int(info.Size())-3)
		}, exitDamaged, "checksum does not match", "were copied"},
		{"an index of a pack", func(t *testing.T, m *fstest.Mirror) { check(t, os.Remove(packs(t, m.Store(), ".idx")[0])) }, exitMended, "made again from the pack", ""},
		{"the ref is gone", func(t *testing.T, m *fstest.Mirror) { check(t, os.Remove(m.Path(headFile))) }, exitMended, "was found in the packs", ""},
		{"the ref is garbage", func(t *testing.T, m *fstest.Mirror) { check(t, os.WriteFile(m.Path(headFile), []byte("x"), 0o600)) }, exitDamaged, "refs/heads/main", "its ref was put into"},
		{"the index is cut", func(t *testing.T, m *fstest.Mirror) { check(t, os.Truncate(m.Path(indexFile), 5000)) }, exitMended, "index: mended", ""},
		{"the index is gone", func(t *testing.T, m *fstest.Mirror) { check(t, os.Remove(m.Path(indexFile))) }, exitMended, "made anew", ""},
		{"the index lacks a name", func(t *testing.T, m *fstest.Mirror) { dropFirst(t, m.Path(indexFile), "nodes") }, exitDamaged, "index: damaged", "made anew"},
		{"the index lacks a tag", func(t *testing.T, m *fstest.Mirror) { dropFirst(t, m.Path(indexFile), "tagged") }, exitDamaged, "not listed", "made anew"},
		{"the journal", func(t *testing.T, m *fstest.Mirror) { damageJournal(t, m) }, exitMended, "cannot be read", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := withHistory(t)
			c.damage(t, m)
			exitsWith(t, m, c.code, c.says, "fsck")
			if c.code == exitDamaged {
				exitsWith(t, m, exitMended, c.mends, "fsck", "--repair")
			}
			clean(t, m)
			m.Umount()
			intact(t, m)
		})
	}
}

const (
	headFile  = ".silvermirror/store/mirror.git/refs/heads/main"
	indexFile = ".silvermirror/index/mirror"
)

// dropFirst takes an entry out of a bucket of an index.
func dropFirst(t *testing.T, file, bucket string) {
	t.Helper()
	db, err := bolt.Open(file, 0o600, nil)
	check(t, err)
	check(t, db.Update(func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte(bucket))
		k, _ := b.Cursor().First()
		return b.Delete(bytes.Clone(k))
	}))
	check(t, db.Close())
}

// damageJournal flips a byte in the middle of the newest segment.
func damageJournal(t *testing.T, m *fstest.Mirror) {
	t.Helper()
	list, err := filepath.Glob(m.Path(".silvermirror/journal/*.journal"))
	check(t, err)
	file := list[len(list)-1]
	data, err := os.ReadFile(file)
	check(t, err)
	flip(t, file, len(data)/2)
}

// TestFsckKeeps has the files that a repair replaces kept.
func TestFsckKeeps(t *testing.T) {
	t.Parallel()
	m := withHistory(t)
	headOf(t, m, "main:two")()
	dropFirst(t, m.Path(indexFile), "tagged")
	exitsWith(t, m, exitMended, "mended", "fsck", "--repair")
	m.Umount()
	for _, pattern := range []string{"store/mirror.git/objects/pack/*.pack", "index/mirror"} {
		if list, err := filepath.Glob(m.Path(".silvermirror/damaged/*/" + pattern)); err != nil || len(list) != 1 {
			t.Errorf("kept %v of %s (%v)", list, pattern, err)
		}
	}
}

// TestFsckLost has an old version damaged that nobody has any more: that is said
// precisely, and all else is mended.
func TestFsckLost(t *testing.T) {
	t.Parallel()
	m := newMirror(t)
	m.Mount()
	check(t, put(m, "one", "a version that is going to be lost\n"))
	m.Run("wait", "--committed")
	first := m.Git("rev-parse", "main:one")
	writeHistory(t, m)
	m.Umount()
	damageObjects(t, m, first)
	exitsWith(t, m, exitDamaged, first, "fsck")
	out := refused(t, m, []string{"fsck", "--repair"}, `file "one"`, first, "neither the files nor a peer")
	if n := strings.Count(out, "store: damaged: "); n != 1 {
		t.Errorf("%d things are left:\n%s", n, out)
	}
	exitsWith(t, m, exitDamaged, first, "fsck")
	m.Mount()
	has("one", "the second version, long enough to be found\n")(t, m, "")
	m.Umount()
}

// TestFsckUnusable has no resource that can be used: the check says so.
func TestFsckUnusable(t *testing.T) {
	t.Parallel()
	m := withHistory(t)
	check(t, os.WriteFile(m.Path(".silvermirror/store/mirror.git/smfs"), []byte("{"), 0o600))
	exitsWith(t, m, exitDamaged, "mirror: store: damaged", "fsck")
	exitsWith(t, m, exitDamaged, "cannot be mended", "fsck", "--repair")
	contains(t, m.Run("version"), "smfs") // and nothing hangs
}

// TestFsckNoDisk has the directory of a resource not there: that is no damage of its
// history, which nobody is told to give up.
func TestFsckNoDisk(t *testing.T) {
	t.Parallel()
	m, outside := withFar(t)
	m.Mount()
	check(t, put(m, "far/one", "one"))
	m.Run("wait", "--committed")
	m.Umount()
	check(t, os.Rename(outside, outside+".away"))
	for _, args := range [][]string{{"fsck"}, {"fsck", "--repair"}} {
		out := refused(t, m, args, "far: files: damaged", "is its disk mounted?")
		if strings.Contains(out, "store") || strings.Contains(out, "history:") {
			t.Errorf("it says:\n%s", out)
		}
	}
	_, _ = m.Try("umount", m.Dir) // the engine ends, and says again what was not there
	check(t, os.Rename(outside+".away", outside))
	clean(t, m)
}

// TestFsckMounted damages what a running engine does not read again, and has it
// mended beside the mount.
func TestFsckMounted(t *testing.T) {
	t.Parallel()
	m := newMirror(t)
	m.Mount()
	writeHistory(t, m)
	base := beneath(t, m)
	for _, c := range []struct {
		name, says string
		damage     func()
	}{
		{"index of a pack", "index of pack", func() { flip(t, packs(t, base+"/store/mirror.git", ".idx")[0], 1100) }},
		{"end of a pack", "pack-", func() { // an object may be of a version that no file has
			pack := packs(t, base+"/store/mirror.git", ".pack")[0]
			info, err := os.Stat(pack)
			check(t, err)
			flip(t, pack, int(info.Size())-3)
		}},
		{"ref", "refs/heads/main", func() { check(t, os.Remove(base+"/store/mirror.git/refs/heads/main")) }},
		{"journal", "journal: damaged", func() {
			list, err := filepath.Glob(base + "/journal/*.journal")
			check(t, err)
			data, err := os.ReadFile(list[len(list)-1])
			check(t, err)
			flip(t, list[len(list)-1], len(data)/2)
		}},
	} {
		c.damage()
		exitsWith(t, m, exitDamaged, c.says, "fsck")
		exitsWith(t, m, exitMended, "mended", "fsck", "--repair")
		clean(t, m)
	}
	check(t, put(m, "three", "3"))
	m.Run("wait", "--committed")
	m.Umount()
	intact(t, m)
}

// beneath is the state directory of a mounted mirror as its daemon sees it.
func beneath(t *testing.T, m *fstest.Mirror) string {
	t.Helper()
	pid := m.Status().PID
	fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	check(t, err)
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err == nil && to == m.Dir {
			if _, err := os.Stat(fd + "/.silvermirror/journal"); err == nil {
				return fd + "/.silvermirror"
			}
		}
	}
	t.Fatal("the daemon has no descriptor of what is beneath its mount")
	return ""
}

// TestFsckPeer loses parts of the history that only a peer has.
func TestFsckPeer(t *testing.T) {
	t.Parallel()
	a, b, _ := mounted(t)
	check(t, put(a, "one", "a version that is replaced soon, and only history has\n"))
	a.Run("wait", "--mirrored", "--timeout", "60s")
	blob, commit := a.Git("rev-parse", "main:one"), a.Git("rev-parse", "main")
	wrote(t, a, "one", "two")
	gone := a.Git("rev-parse", "main")
	wrote(t, a, "three")
	a.Umount()
	pack := packOf(t, a, gone)
	damageObjects(t, a, blob, commit)
	check(t, errors.Join(os.Remove(pack+".pack"), os.Remove(pack+".idx")))
	a.Mount()
	exitsWith(t, a, exitDamaged, gone, "fsck")
	out := refused(t, a, []string{"fsck", "--repair"}, "from peer", commit, blob, gone)
	contains(t, out, "all of it is mended")
	clean(t, a)
	check(t, fsck(a))
	wrote(t, a, "four")
	same(t, a, b)
	contains(t, a.Run("log", a.Path("one")), "one")
}

// unsent has a write and replace a file while b is not in reach, and returns the id of
// what was replaced: only the history of a has it. a is unmounted.
func unsent(t *testing.T, a *fstest.Mirror, host *sshd.Server) string {
	t.Helper()
	host.Down()
	check(t, put(a, "one", "an older version of some length\n"))
	a.Run("wait", "--committed")
	older := a.Git("rev-parse", "main:one")
	check(t, put(a, "one", "the newest version\n"))
	a.Run("wait", "--committed")
	a.Umount()
	host.Up()
	return older
}

// TestFsckPeerHelps loses a version that the peer has and one that nobody has, which
// the peer was to be sent: that it cannot be is no reason not to ask it, and what came
// after it is sent without it.
func TestFsckPeerHelps(t *testing.T) {
	t.Parallel()
	a, b, host := mounted(t)
	wrote(t, a, "base")
	theirs := a.Git("rev-parse", "main:base")
	check(t, put(a, "base", "newer"))
	a.Run("wait", "--mirrored", "--timeout", "60s")
	lost := unsent(t, a, host)
	damageObjects(t, a, theirs, lost)
	out := refused(t, a, []string{"fsck", "--repair"}, "all of it is mended", theirs+": it is back, from peer")
	contains(t, out, lost+": nobody has it", "recorded anew")
	clean(t, a)
	a.Umount()
	a.Mount()
	check(t, errors.Join(put(a, "fromA", "x"), put(b, "fromB", "y")))
	same(t, a, b)
	has("one", "the newest version\n")(t, b, "")
	check(t, errors.Join(fsck(a), fsck(b)))
	clean(t, a)
	clean(t, b)
}

// TestFsckSendsAgain has what the peer lacks damaged, and a copy put in its place: it
// is sent without anything new.
func TestFsckSendsAgain(t *testing.T) {
	t.Parallel()
	a, b, host := mounted(t)
	older := unsent(t, a, host)
	pack := packOf(t, a, older) + ".pack"
	whole := content(t, pack)
	damageObjects(t, a, older)
	a.Mount()
	refused(t, a, []string{"wait", "--mirrored", "--timeout", "60s"}, older)
	check(t, os.WriteFile(beneath(t, a)+"/store/mirror.git/objects/pack/"+filepath.Base(pack), []byte(whole), 0o600))
	a.Run("fsck", "--repair")
	same(t, a, b)
}

// TestFsckFurtherBack loses the newest commit, and the root of the one before, which
// thus is none to go on from: that takes an older one. With a peer all is in one
// history again, and no file has changed.
func TestFsckFurtherBack(t *testing.T) {
	t.Parallel()
	a, b, _ := mounted(t)
	writeHistory(t, a)
	a.Run("wait", "--mirrored", "--timeout", "60s")
	newest := a.Git("rev-parse", "main")
	a.Umount()
	damageObjects(t, a, newest, a.Git("rev-parse", "main~1^{tree}"))
	exitsWith(t, a, exitMended, "the newest commits are lost", "fsck", "--repair")
	clean(t, a)
	a.Umount()
	a.Mount()
	same(t, a, b)
	a.Git("merge-base", "--is-ancestor", newest, "main")
	b.Umount()
	intact(t, b)
}

// TestFsckBusy checks a mounted mirror while it is written to, beside a peer that
// is written to as well: there is nothing to find.
func TestFsckBusy(t *testing.T) {
	t.Parallel()
	a, b, _ := mounted(t)
	writeHistory(t, a)
	stop := make(chan struct{})
	var writers sync.WaitGroup
	for _, m := range []*fstest.Mirror{a, b} {
		writers.Go(func() {
			name := filepath.Base(m.Dir)
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				dir := fmt.Sprintf("%s%d", name, i%5)
				_ = os.MkdirAll(m.Path(dir), 0o755)
				_ = put(m, dir+"/f", fmt.Sprint(i))
				_ = put(m, dir+"/g.tmp", fmt.Sprint(i))
				_ = os.Rename(m.Path(dir+"/g.tmp"), m.Path(dir+"/g"))
				_ = os.Link(m.Path(dir+"/g"), m.Path(dir+"/h"))
				if i%3 == 0 {
					_ = os.RemoveAll(m.Path(dir))
				}
			}
		})
	}
	for range 8 {
		clean(t, a)
	}
	close(stop)
	writers.Wait()
	same(t, a, b)
	clean(t, a)
	clean(t, b)
}

// TestFsckChanged changes a file beside a mount: that is told, as no damage.
func TestFsckChanged(t *testing.T) {
	t.Parallel()
	m := newMirror(t)
	m.Mount()
	writeHistory(t, m)
	base := filepath.Dir(beneath(t, m))
	check(t, os.WriteFile(base+"/two", []byte("changed beside the mount"), 0o644))
	check(t, os.WriteFile(base+"/three", []byte("new beside the mount"), 0o644))
	check(t, os.Remove(base+"/d/e/deep"))
	out := m.Run("fsck")
	contains(t, out, "two has another size or time", "three is new", "d/e/deep is missing", "nothing is damaged")
	m.Umount()
	m.Mount()
	m.Run("wait")
	clean(t, m)
}

// packOf is the pack, without its ending, that holds an object.
func packOf(t *testing.T, m *fstest.Mirror, id string) string {
	t.Helper()
	for _, idx := range packs(t, m.Store(), ".idx") {
		if strings.Contains(m.Git("verify-pack", "-v", idx), id) {
			return strings.TrimSuffix(idx, ".idx")
		}
	}
	t.Fatalf("no pack holds %s", id)
	return ""
}

// TestFsckOneBroken has one history of two that cannot be used, below a mount:
// the check says what to do, and that mends it.
func TestFsckOneBroken(t *testing.T) {
	t.Parallel()
	m := twoStores(t)
	damages[0].do(t, m.Path(".silvermirror/store/docs.git"))
	m.Mount()
	check(t, put(m, "docs/two", "written while the store was damaged"))
	for _, args := range [][]string{{"fsck"}, {"fsck", "--repair"}} {
		refused(t, m, args, "docs: store: damaged: cannot be used", "`smfs umount`, then `smfs fsck --repair`")
	}
	if code := exit(t, m, "umount", m.Dir); code != exitDamaged {
		t.Errorf("umount: exit code %d", code)
	}
	exitsWith(t, m, exitMended, "docs: store: mended", "fsck", "--repair")
	clean(t, m)
	m.Mount()
	m.Run("wait", "--committed")
	contains(t, m.Run("log", m.Path("docs")), "two")
	contains(t, m.Run("log", m.Path("docs/one")), "one")
	clean(t, m)
}
