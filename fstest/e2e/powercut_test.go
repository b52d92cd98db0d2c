package e2e

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/silvermirror/smfs/fstest"
)

var (
	cutRounds = flag.Int("cut.rounds", 3, "how often the power is cut")
	cutSeed   = flag.Uint64("cut.seed", 0, "seed of the power cuts; 0: a new one")
)

// TestPowerCut cuts the power of a machine under load: its disk, an ext4 image
// on a filesystem with reflinks, is copied at one moment, and the mirror goes on
// with the copy, as after a boot. What fsync had promised and what was committed
// is there, and the history is whole.
func TestPowerCut(t *testing.T) {
	forRoot(t)
	seed := *cutSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-cut.seed=%d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	d := newCutDisk(t)
	m := fstest.NewMirror(t, fstest.Program{Path: fstest.Build(t)}, "unused")
	m.Dir = filepath.Join(d.dir, "M")
	check(t, os.Mkdir(m.Dir, 0o755))
	m.Mount()
	for round := range *cutRounds {
		if err := powerCut(m, d, random); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
	}
	m.Umount()
	check(t, errors.Join(sameAsHead(m, nil), fsck(m)))
}

// cutDisk is the disk of a machine whose power can be cut.
type cutDisk struct {
	images string // a directory that knows reflinks
	dir    string // where the disk is mounted
	n      int    // of the image
}

func newCutDisk(t *testing.T) *cutDisk {
	t.Helper()
	tmp := t.TempDir()
	d := &cutDisk{images: filepath.Join(tmp, "images"), dir: filepath.Join(tmp, "disk")}
	outer := filepath.Join(tmp, "outer.img")
	check(t, errors.Join(os.Mkdir(d.images, 0o755), os.Mkdir(d.dir, 0o755), sparse(outer, 4<<30)))
	run(t, "mkfs.xfs", "-q", "-m", "reflink=1", outer)
	run(t, "mount", "-o", "loop", outer, d.images)
	t.Cleanup(func() { unix.Unmount(d.images, unix.MNT_DETACH) })
	check(t, sparse(d.image(), 1<<30))
	run(t, "mkfs.ext4", "-q", d.image())
	run(t, "mount", "-o", "loop", d.image(), d.dir)
	t.Cleanup(func() { unix.Unmount(d.dir, unix.MNT_DETACH) })
	return d
}

func (d *cutDisk) image() string { return filepath.Join(d.images, fmt.Sprint("disk", d.n)) }

func sparse(file string, size int64) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(size), f.Close())
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

// copyNow copies the disk as it is at this moment.
func (d *cutDisk) copyNow() error {
	from := d.image()
	d.n++
	out, err := exec.Command("cp", "--reflink=always", from, d.image()).CombinedOutput()
	if err != nil {
		return fmt.Errorf("copy the disk: %w: %s", err, out)
	}
	return nil
}

// boot puts the copy in the place of the disk.
func (d *cutDisk) boot() error {
	for range 100 { // until the daemon that was killed is gone
		err := unix.Unmount(d.dir, 0)
		if err == nil {
			break
		}
		if err != unix.EBUSY {
			return fmt.Errorf("unmount the disk: %w", err)
		}
		time.Sleep(50 * time.Millisecond)
	}
	if out, err := exec.Command("mount", "-o", "loop", d.image(), d.dir).CombinedOutput(); err != nil {
		return fmt.Errorf("mount the copy: %w: %s", err, out)
	}
	return nil
}

// cutFiles is how many files the load writes.
const cutFiles = 40

// cutLoad writes versions of files, each of which tells its number.
type cutLoad struct {
	dir    string
	random *rand.Rand
	next   int // the number of the next version, of whichever file

	mu    sync.Mutex     // guards what follows
	begun map[string]int // the last version, by name
	known map[string]int // the last that fsync has promised

	stop atomic.Bool
	err  error
}

func (l *cutLoad) run() {
	for !l.stop.Load() && l.err == nil {
		l.err = l.write(fmt.Sprint("f", l.random.IntN(cutFiles)))
		time.Sleep(time.Duration(l.random.IntN(20)) * time.Millisecond)
	}
}

// write makes the next version: in place, as a new file, or by a rename over the
// last; with fsync or without.
func (l *cutLoad) write(name string) error {
	l.next++
	l.mu.Lock()
	l.begun[name] = l.next
	l.mu.Unlock()
	line := fmt.Sprintf("%s %d\n", name, l.next)
	text := strings.Repeat(line, 1+l.random.IntN(2000)) + "end " + line
	path := filepath.Join(l.dir, name)
	to, way, sync := path, l.random.IntN(3), l.random.IntN(3) == 0
	byRename := way == 0
	if byRename {
		to = path + ".tmp"
	}
	if way == 1 {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	f, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if sync {
		err = errors.Join(err, f.Sync())
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if byRename {
		if err := os.Rename(to, path); err != nil {
			return err
		}
	}
	if sync && way < 2 {
		dir, err := os.Open(l.dir)
		if err != nil {
			return err
		}
		if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
			return err
		}
	}
	if sync {
		l.mu.Lock()
		l.known[name] = l.next
		l.mu.Unlock()
	}
	return nil
}

// version is the number of a whole version; 0: it is none.
func version(name string, data []byte) int {
	line, _, _ := bytes.Cut(data, []byte("\n"))
	var n int
	if _, err := fmt.Sscanf(string(line), name+" %d", &n); err != nil {
		return 0
	}
	body, found := bytes.CutSuffix(data, []byte("end "+string(line)+"\n"))
	if !found || !bytes.Equal(body, bytes.Repeat(append(line, '\n'), bytes.Count(body, []byte("\n")))) {
		return 0
	}
	return n
}

// powerCut is one round: a load, a cut, and a look at what is left.
func powerCut(m *fstest.Mirror, d *cutDisk, random *rand.Rand) error {
	l := &cutLoad{dir: m.Path("load"), random: rand.New(rand.NewPCG(random.Uint64(), 0)), next: int(time.Now().UnixMilli() % 1e9), begun: map[string]int{}, known: map[string]int{}}
	if err := os.MkdirAll(l.dir, 0o755); err != nil {
		return err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.run()
	}()
	time.Sleep(time.Duration(500+random.IntN(4000)) * time.Millisecond)
	head := m.Head() // git may see one that is not durable yet
	l.mu.Lock()
	promised := maps.Clone(l.known)
	l.mu.Unlock()
	err := d.copyNow()
	l.mu.Lock()
	begun := maps.Clone(l.begun)
	l.mu.Unlock()
	l.stop.Store(true)
	<-done
	if err = errors.Join(err, l.err); err != nil {
		return err
	}
	if err := kill(m.Status().PID); err != nil {
		return err
	}
	if err := unix.Unmount(m.Dir, unix.MNT_DETACH); err != nil {
		return err
	}
	if err := d.boot(); err != nil {
		return err
	}
	if out, err := m.Try("mount", m.Dir); err != nil {
		return fmt.Errorf("mount after the cut: %w\n%s", err, out)
	}
	if out, err := m.Try("wait", "--committed", "--timeout", "2m"); err != nil {
		return fmt.Errorf("wait after the cut: %w\n%s", err, out)
	}
	return errors.Join(checkCut(m, l.dir, head, promised, begun), sameAsHead(m, nil), fsck(m))
}

// checkCut compares what is there with what was committed and promised. Only a
// file that had a version begun which was neither may be anything.
func checkCut(m *fstest.Mirror, dir, head string, promised, begun map[string]int) error {
	git := func(args ...string) ([]byte, error) {
		return exec.Command("git", append([]string{"--git-dir=" + m.Store()}, args...)...).Output()
	}
	if _, err := git("merge-base", "--is-ancestor", head, "main"); err != nil {
		return fmt.Errorf("%s, which was the head before the cut, is not in the history: %w", head, err)
	}
	var errs []error
	for i := range cutFiles {
		name := fmt.Sprint("f", i)
		was, _ := git("show", head+":load/"+name) // not there: no version
		least := max(version(name, was), promised[name])
		now, err := os.ReadFile(filepath.Join(dir, name))
		if n := version(name, now); n < least && begun[name] <= least {
			errs = append(errs, fmt.Errorf("%s: version %d is gone (fsync promised %d): there is %d in %d bytes, %v", name, least, promised[name], n, len(now), err))
		}
	}
	return errors.Join(errs...)
}
