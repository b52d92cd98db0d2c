package backend_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/silvermirror/smfs/backend"
	"github.com/silvermirror/smfs/fs/tree"
	"github.com/silvermirror/smfs/journal"
)

var (
	racesRounds = flag.Int("races.rounds", 40, "rounds of TestCommitsRaceWithChanges")
	racesSeed   = flag.Uint64("races.seed", 0, "its seed; 0: from the clock")
)

// TestCommitsRaceWithChanges changes a few names from several goroutines,
// journaled as a mount does it, while the engine commits. Whenever they rest,
// head, index and disk must agree.
func TestCommitsRaceWithChanges(t *testing.T) {
	seed := *racesSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("-races.seed=%d", seed)
	log := &tailLog{}
	m := openJournaled(t, t.TempDir(), log)
	must(t, m.engine.Wait(context.Background(), backend.WaitOptions{})) // for the scan at start
	rnd := rand.New(rand.NewPCG(seed, 0))
	for round := range *racesRounds {
		var running sync.WaitGroup
		stop := make(chan struct{})
		for range 4 {
			c := &changer{journaled: m, rnd: rand.New(rand.NewPCG(rnd.Uint64(), 0)), stop: stop}
			running.Go(c.run)
		}
		time.Sleep(time.Duration(rnd.IntN(80)) * time.Millisecond)
		close(stop)
		running.Wait()
		if err := m.engine.Wait(context.Background(), backend.WaitOptions{Timeout: 10 * time.Second}); err != nil {
			t.Fatalf("round %d: %v\nmarks: %+v\nlog:\n%s", round, err, m.journal.Snapshot("mirror"), log)
		}
		problems, err := m.engine.Check(context.Background())
		must(t, err)
		if len(problems) > 0 {
			t.Fatalf("round %d:\n%s\nlog:\n%s", round, strings.Join(problems, "\n"), log)
		}
	}
}

// tailLog keeps the end of a log.
type tailLog struct {
	mu   sync.Mutex // guards tail
	tail []string
}

func (l *tailLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	const most = 40000
	if len(l.tail) == most {
		l.tail = slices.Delete(l.tail, 0, most/2)
	}
	l.tail = append(l.tail, string(p))
	return len(p), nil
}

func (l *tailLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.tail, "")
}

// journaled is a directory whose changes are announced to its journal as those
// of a mount are: see package fs for the order of locks.
type journaled struct {
	*mirror
	journal *journal.Journal
	names   sync.RWMutex   // alone: what directories are called changes
	slots   [16]sync.Mutex // by directory
	failed  func(error)
	note    func(format string, args ...any)
}

// changer makes random changes, with files held open over several of them.
type changer struct {
	*journaled
	rnd  *rand.Rand
	stop chan struct{}
	open []*os.File
	n    int
}

func (c *changer) run() {
	for {
		select {
		case <-c.stop:
			for _, f := range c.open {
				c.close(f)
			}
			return
		default:
			c.change()
		}
	}
}

var racedNames = []string{"1", "2", "3", "4", "d", "d/1", "d/2", "d/e", "d/e/1", "f", "f/1", "f/e"}

func (c *changer) pick() string { return racedNames[c.rnd.IntN(len(racedNames))] }

func (c *changer) change() {
	a, b := c.pick(), c.pick()
	switch c.rnd.IntN(13) {
	case 0, 1:
		c.create(a)
	case 2:
		c.do(journal.Record{Kind: journal.KindMkdir, Path: a}, func() error { return os.Mkdir(c.full(a), 0o755) })
	case 3, 4:
		c.rename(a, b, 0)
	case 5:
		c.rename(a, b, unix.RENAME_EXCHANGE)
	case 6:
		c.remove(a)
	case 7:
		c.do(journal.Record{Kind: journal.KindLink, Path: a, To: b, Key: c.key(a), Linked: true}, func() error { return os.Link(c.full(a), c.full(b)) })
	case 8:
		c.do(journal.Record{Kind: journal.KindSymlink, Path: a}, func() error { return os.Symlink("nowhere", c.full(a)) })
	case 9:
		c.overwrite(a)
	case 10:
		tmp := fmt.Sprintf("%s.%p", a, c)
		c.create(tmp)
		c.rename(tmp, a, 0)
	case 11:
		if len(c.open) > 0 {
			i := c.rnd.IntN(len(c.open))
			c.close(c.open[i])
			c.open = slices.Delete(c.open, i, i+1)
		}
	case 12:
		c.attribute(a)
	}
}

func (c *changer) full(p string) string { return filepath.Join(c.dir, p) }

func (c *changer) key(p string) journal.FileKey {
	key, _ := keyOf(c.full(p))
	return key
}

func keyOf(full string) (key journal.FileKey, nlink uint32) { return keyAt(unix.AT_FDCWD, full) }

func keyAt(fd int, name string) (key journal.FileKey, nlink uint32) {
	var st unix.Statx_t
	if unix.Statx(fd, name, unix.AT_SYMLINK_NOFOLLOW|unix.AT_EMPTY_PATH, tree.StatxMask, &st) != nil {
		return journal.FileKey{}, 0
	}
	return journal.FileKey{Ino: st.Ino, Gen: uint64(st.Btime.Sec*1e9 + int64(st.Btime.Nsec))}, st.Nlink
}

// do announces a change of names and makes it.
func (c *changer) do(r journal.Record, act func() error) {
	c.names.RLock()
	defer c.names.RUnlock()
	defer c.lock(r.Path, r.To)()
	c.announced(r, act)
}

func (c *changer) announced(r journal.Record, act func() error) {
	r.Resource = "mirror"
	op, err := c.journal.Begin(r)
	if err != nil {
		c.failed(err)
		return
	}
	err = act()
	c.note("%v %q -> %q by %p: %v", r.Kind, r.Path, r.To, c, err)
	if err == nil && r.Kind == journal.KindRename && !c.exchanging(r) {
		op.EndMoved()
		return
	}
	op.End(err)
}

// exchanging marks the record of an exchange, for the test alone.
func (c *changer) exchanging(r journal.Record) bool { return r.Actor.Command == "exchange" }

// lock locks the directories of two paths.
func (c *changer) lock(paths ...string) (unlock func()) {
	var locks []int
	for _, p := range paths {
		sum := 0
		for _, b := range []byte(path.Dir(p)) {
			sum += int(b)
		}
		locks = append(locks, sum%len(c.slots))
	}
	slices.Sort(locks)
	locks = slices.Compact(locks)
	for _, i := range locks {
		c.slots[i].Lock()
	}
	return func() {
		for _, i := range locks {
			c.slots[i].Unlock()
		}
	}
}

func (c *changer) rename(a, b string, flags uint) {
	r := journal.Record{Kind: journal.KindRename, Path: a, To: b}
	if flags != 0 {
		r.Actor.Command = "exchange"
	}
	act := func() error {
		return unix.Renameat2(unix.AT_FDCWD, c.full(a), unix.AT_FDCWD, c.full(b), flags)
	}
	c.names.Lock() // as if one were a directory
	defer c.names.Unlock()
	if same, _ := keyOf(c.full(a)); same == c.key(b) || same == (journal.FileKey{}) {
		return
	}
	r.Key = c.key(a)
	c.announced(r, act)
}

func (c *changer) remove(a string) {
	st, err := os.Lstat(c.full(a))
	kind := journal.KindUnlink
	if err == nil && st.IsDir() {
		kind = journal.KindRmdir
	}
	c.do(journal.Record{Kind: kind, Path: a}, func() error {
		if kind == journal.KindRmdir {
			return unix.Rmdir(c.full(a))
		}
		return unix.Unlink(c.full(a))
	})
}

func (c *changer) content() []byte {
	c.n++
	line := fmt.Sprintf("%p %d\n", c, c.n)
	return []byte(strings.Repeat(line, 1+c.rnd.IntN(50)))
}

func (c *changer) create(a string) {
	var f *os.File
	c.do(journal.Record{Kind: journal.KindCreate, Path: a}, func() (err error) {
		f, err = os.OpenFile(c.full(a), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		return err
	})
	c.write(f)
}

func (c *changer) overwrite(a string) {
	var f *os.File
	c.names.RLock()
	unlock := c.lock(a)
	key, nlink := keyOf(c.full(a))
	if st, err := os.Lstat(c.full(a)); err == nil && st.Mode().IsRegular() {
		c.announced(journal.Record{Kind: journal.KindOpen, Path: a, Key: key, Linked: nlink > 1}, func() (err error) {
			f, err = os.OpenFile(c.full(a), os.O_WRONLY|unix.O_NOFOLLOW, 0)
			return err
		})
	}
	unlock()
	c.names.RUnlock()
	c.write(f)
}

// attribute sets an attribute of what is at a name.
func (c *changer) attribute(a string) {
	c.names.RLock()
	defer c.names.RUnlock()
	defer c.lock(a)()
	st, err := os.Lstat(c.full(a))
	if err != nil || !st.IsDir() && !st.Mode().IsRegular() {
		return
	}
	key, nlink := keyOf(c.full(a))
	c.n++
	c.announced(journal.Record{Kind: journal.KindXattr, Path: a, Key: key, Linked: nlink > 1 && !st.IsDir()}, func() error {
		return unix.Lsetxattr(c.full(a), "user.n", fmt.Append(nil, c.n), 0)
	})
}

// write writes to a file and closes it, now or later.
func (c *changer) write(f *os.File) {
	if f == nil {
		return
	}
	if _, err := f.Write(c.content()); err != nil {
		c.failed(err)
	}
	if c.rnd.IntN(3) == 0 && len(c.open) < 4 {
		c.open = append(c.open, f)
		return
	}
	c.close(f)
}

// close announces the end of a writer under one of the names that its file has.
func (c *changer) close(f *os.File) {
	if c.rnd.IntN(2) == 0 {
		if _, err := f.Write(c.content()); err != nil {
			c.failed(err)
		}
	}
	c.names.Lock()
	defer c.names.Unlock()
	key, nlink := keyAt(int(f.Fd()), "")
	at := c.find(key)
	if at == "" {
		f.Close()
		return
	}
	c.announced(journal.Record{Kind: journal.KindClose, Path: at, Key: key, Linked: nlink > 1}, f.Close)
}

var errFound = errors.New("found")

func (c *changer) find(key journal.FileKey) (at string) {
	err := filepath.WalkDir(c.dir, func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.Name() == ".silvermirror" {
			return fs.SkipDir
		}
		if k, _ := keyOf(p); k == key {
			at, _ = filepath.Rel(c.dir, p)
			return errFound
		}
		return nil
	})
	if err != nil && !errors.Is(err, errFound) {
		c.failed(err)
	}
	return at
}
