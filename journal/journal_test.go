package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func mustOpen(t *testing.T, f files) *Journal {
	t.Helper()
	j, err := open(f, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func begin(t *testing.T, j *Journal, r Record) *Op {
	t.Helper()
	if r.Resource == "" {
		r.Resource = "r"
	}
	op, err := j.Begin(r)
	if err != nil {
		t.Fatal(err)
	}
	return op
}

// list shows the marks of resource r: path, an asterisk where it is busy.
func list(j *Journal) string {
	var s []string
	for _, m := range j.Snapshot("r") {
		if m.Busy {
			m.Path += "*"
		}
		s = append(s, m.Path)
	}
	return strings.Join(s, " ")
}

func wantMarks(t *testing.T, j *Journal, want string) {
	t.Helper()
	if got := list(j); got != want {
		t.Fatalf("marks are %q, want %q", got, want)
	}
}

// three returns files whose one segment has the records a, b, c.
func three(t *testing.T) (*simFiles, *simFile) {
	t.Helper()
	f := newSimFiles(rand.New(rand.NewPCG(1, 1)))
	j := mustOpen(t, f)
	for _, p := range []string{"a", "b", "c"} {
		begin(t, j, Record{Kind: KindCreate, Path: p}).End(nil)
	}
	return f, f.names[segmentName(1)]
}

func TestOnDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "journal")
	j, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	actor := Actor{UID: 1, PID: 2, Command: "vim"}
	begin(t, j, Record{Kind: KindOpen, Path: "f", Actor: actor}) // never closed
	begin(t, j, Record{Kind: KindMkdir, Path: "d/e"}).End(nil)
	if err := j.Found("s", "g", ""); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(j.Sync(), j.Checkpoint(), j.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Begin(Record{Kind: KindCreate}); !errors.Is(err, ErrClosed) {
		t.Fatalf("Begin after Close: %v", err)
	}
	if j, err = Open(dir, Options{}); err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	wantMarks(t, j, "d/e f")
	if m := j.Snapshot("r")[1]; m.Actor != actor || m.Kinds != KindSetOf(KindOpen) || m.First.IsZero() {
		t.Fatalf("mark came back as %+v", m)
	}
	if n := j.Pending("s"); n != 2 {
		t.Fatalf("%d marks in the other resource, want 2", n)
	}
	select {
	case <-j.Wait("r"):
	default:
		t.Fatal("nobody is told of the marks that were left")
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Fatalf("%v, %v: want one segment after a checkpoint", entries, err)
	}
}

func TestClearAndFlight(t *testing.T) {
	j := mustOpen(t, newSimFiles(nil))
	op := begin(t, j, Record{Kind: KindCreate, Path: "f"})
	j.Clear("r", j.Snapshot("r"))
	wantMarks(t, j, "f*")
	before := j.Snapshot("r")
	op.End(nil)
	op.End(nil)
	j.Clear("r", before)
	wantMarks(t, j, "f")
	begin(t, j, Record{Kind: KindAttr, Path: "f"}).End(errors.New("refused"))
	j.Clear("r", before)
	wantMarks(t, j, "f")
	j.Clear("r", j.Snapshot("r"))
	wantMarks(t, j, "")
	if len(j.sets["r"].root.kids) != 0 {
		t.Fatal("a cleared name takes memory")
	}
}

// TestOrder restates marks out of order, as a journal mixed from two would.
func TestOrder(t *testing.T) {
	d := newDirtySet("r")
	for i, rec := range []uint64{5, 3, 9, 3, 0, 7} {
		d.touch(d.root.walk(fmt.Sprint(i), true), mark{rec: rec})
	}
	d.restate(d.root.walk("1", false), 8)
	d.dropBelow(8)
	if d.count != 2 || !d.root.walk("1", false).marked || !d.root.walk("2", false).marked {
		t.Fatalf("%d marks are left", d.count)
	}
}

func TestRefused(t *testing.T) {
	j := mustOpen(t, newSimFiles(nil))
	long := strings.Repeat("x", maxPath+1)
	for _, r := range []Record{{Kind: KindCreate, Path: long}, {Kind: KindLink, To: long}, {Kind: KindCreate, Resource: long}} {
		if _, err := j.Begin(r); !errors.Is(err, ErrTooLong) {
			t.Errorf("too long: %v", err)
		}
	}
	for _, k := range []Kind{0, KindCheckpoint, kindBase, 99} {
		if _, err := j.Begin(Record{Kind: k}); !errors.Is(err, ErrKind) {
			t.Errorf("kind %s: %v", k, err)
		}
	}
	begin(t, j, Record{Kind: KindCreate, Path: long[1:], Actor: Actor{Command: long}}).End(nil)
	if n := len(j.Snapshot("r")[0].Actor.Command); n != maxCommand {
		t.Errorf("command name of %d bytes", n)
	}
}

// TestDamage opens journals that were harmed in one way each.
func TestDamage(t *testing.T) {
	record := func(data []byte, n int) (from, to int) { // the nth record's place
		to = headerSize
		for range n {
			from = to
			to += recordSize(data[to:])
		}
		return from, to
	}
	tests := []struct {
		name    string
		harm    func(d *simFiles, f *simFile)
		marks   string
		damaged bool
	}{
		{"nothing", func(*simFiles, *simFile) {}, "a b c", false},
		{"torn tail", func(_ *simFiles, f *simFile) { f.data = f.data[:len(f.data)-1] }, "a b", false},
		{"zeros after the end", func(_ *simFiles, f *simFile) { f.data = append(f.data, make([]byte, 9000)...) }, "a b c", false},
		{"zeros from the second record on", func(_ *simFiles, f *simFile) {
			from, _ := record(f.data, 2)
			clear(f.data[from:])
		}, "a", false},
		{"flipped bit in the second record", func(_ *simFiles, f *simFile) {
			from, _ := record(f.data, 2)
			f.data[from+30] ^= 1
		}, "a c", true},
		{"second record cut out", func(_ *simFiles, f *simFile) {
			from, to := record(f.data, 2)
			f.data = append(f.data[:from], f.data[to:]...)
		}, "a c", true},
		{"garbage in front of the third record", func(_ *simFiles, f *simFile) {
			_, to := record(f.data, 2)
			f.data = append(bytes.Clone(f.data[:to]), append([]byte("garbage"), f.data[to:]...)...)
		}, "a b c", false},
		{"header damaged", func(_ *simFiles, f *simFile) { f.data[3] ^= 1 }, "a b c", true},
		{"header of a new segment torn", func(d *simFiles, _ *simFile) {
			d.names[segmentName(4)] = &simFile{dir: d, data: []byte("smfs")}
		}, "a b c", false},
		{"segment missing in between", func(d *simFiles, _ *simFile) {
			d.names[segmentName(9)] = &simFile{dir: d, data: appendHeader(nil, 9)}
		}, "a b c", true},
		{"first segment missing", func(d *simFiles, f *simFile) {
			delete(d.names, segmentName(1))
			d.names[segmentName(9)] = &simFile{dir: d, data: appendHeader(nil, 9)}
		}, "", true},
		{"a stranger's file", func(d *simFiles, _ *simFile) { d.names["notes.journal"] = &simFile{dir: d} }, "a b c", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d, f := three(t)
			test.harm(d, f)
			for range 2 { // damage is not forgotten by looking
				d = d.restart(false)
				j := mustOpen(t, d)
				wantMarks(t, j, test.marks)
				rec := j.Recovery()
				if rec.Damaged != test.damaged || (rec.Problem != "") != test.damaged {
					t.Fatalf("recovery is %+v, want damaged %v", rec, test.damaged)
				}
				if err := j.Checkpoint(); err != nil {
					t.Fatal(err)
				}
			}
			d = d.restart(false)
			j := mustOpen(t, d)
			if err := j.Repaired(); err != nil {
				t.Fatal(err)
			}
			j = mustOpen(t, d.restart(false))
			wantMarks(t, j, test.marks)
			if rec := j.Recovery(); rec.Damaged {
				t.Fatalf("repaired, but %+v", rec)
			}
		})
	}
}

func TestNewerFormat(t *testing.T) {
	d, f := three(t)
	binary.LittleEndian.PutUint32(f.data[8:], formatVersion+1)
	binary.LittleEndian.PutUint32(f.data[headerSize-4:], crc32.Checksum(f.data[:headerSize-4], castagnoli))
	before := bytes.Clone(f.data)
	if _, err := open(d, Options{}); !errors.Is(err, ErrNewerFormat) {
		t.Fatalf("opened with %v", err)
	}
	if !bytes.Equal(before, f.data) || len(d.names) != 1 {
		t.Fatal("a refused journal was changed")
	}
}

func TestFullDisk(t *testing.T) {
	d, _ := three(t)
	j := mustOpen(t, d)
	for i := range 50 {
		d.failing = true
		if _, err := j.Begin(Record{Resource: "r", Kind: KindCreate, Path: "refused"}); err == nil {
			t.Fatal("Begin on a full disk succeeds")
		}
		if err := j.Checkpoint(); err == nil {
			t.Fatal("Checkpoint on a full disk succeeds")
		}
		d.failing = false
		begin(t, j, Record{Kind: KindCreate, Path: fmt.Sprintf("d/%02d", i)}).End(nil)
	}
	want := "a b c"
	for i := range 50 {
		want += fmt.Sprintf(" d/%02d", i)
	}
	wantMarks(t, j, want)
	j = mustOpen(t, d.restart(false))
	wantMarks(t, j, want)
	if rec := j.Recovery(); rec.Damaged {
		t.Fatal(rec.Problem)
	}
}

func TestFailedSync(t *testing.T) {
	d, _ := three(t)
	j := mustOpen(t, d)
	begin(t, j, Record{Kind: KindCreate, Path: "d"})
	d.badSync = true
	if j.Sync() == nil {
		t.Fatal("Sync hides an error")
	}
	d.badSync = false
	if err := j.Sync(); err != nil {
		t.Fatal(err)
	}
	if len(d.names) != 1 || d.names[segmentName(1)] != nil {
		t.Fatal("what a failed sync may have lost is not written anew")
	}
	wantMarks(t, mustOpen(t, d.restart(true)), "a b c d")
}

// TestBounded commits for long, with one file open all the time: neither the
// directory nor what replay brings back may grow.
func TestBounded(t *testing.T) {
	d := newSimFiles(nil)
	j, err := open(d, Options{SegmentSize: 10_000})
	if err != nil {
		t.Fatal(err)
	}
	begin(t, j, Record{Kind: KindOpen, Path: "log"})
	for i := range 3000 {
		begin(t, j, Record{Kind: KindCreate, Path: fmt.Sprintf("f%d", i)}).End(nil)
		if i%10 == 9 {
			j.Clear("r", j.Snapshot("r"))
		}
	}
	total := 0
	for _, f := range d.names {
		total += len(f.data)
	}
	if total > 30_000 {
		t.Fatalf("the journal takes %d bytes", total)
	}
	wantMarks(t, mustOpen(t, d.restart(false)), "log")
	for i := range 20_000 { // nothing is cleared: Begin itself must shrink it
		begin(t, j, Record{Kind: KindAttr, Path: fmt.Sprintf("g%d", i%10)}).End(nil)
	}
	total = 0
	for _, f := range d.names {
		total += len(f.data)
	}
	if total > (hardFactor+2)*10_000 {
		t.Fatalf("without a Clear the journal takes %d bytes", total)
	}
}

// TestConcurrent uses everything at once, for the race detector, and loses
// nothing.
func TestConcurrent(t *testing.T) {
	dir := t.TempDir()
	j, err := Open(dir, Options{SegmentSize: 20_000})
	if err != nil {
		t.Fatal(err)
	}
	var work, engine sync.WaitGroup
	for w := range 6 {
		work.Go(func() {
			for i := range 200 {
				r := Record{Resource: "r", Kind: KindCreate, Path: fmt.Sprintf("d%d/%d", w, i%7)}
				if i%5 == 0 {
					r = Record{Resource: "r", Kind: KindRename, Path: fmt.Sprintf("d%d", w), To: fmt.Sprintf("d%d", (w+1)%6)}
				}
				op, err := j.Begin(r)
				if err != nil {
					t.Error(err)
					return
				}
				op.End(nil)
				if i%50 == 0 {
					if err := errors.Join(j.Sync(), j.Found("s", r.Path)); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	stop := make(chan struct{})
	engine.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-j.Wait("r"):
				j.Clear("r", j.Snapshot("r"))
				j.Clear("s", j.Snapshot("s"))
			}
		}
	})
	work.Wait()
	close(stop)
	engine.Wait()
	begin(t, j, Record{Kind: KindUnlink, Path: "last"}).End(nil)
	want := list(j)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j, err = Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if rec := j.Recovery(); rec.Damaged {
		t.Fatal(rec.Problem)
	}
	got := " " + list(j) + " "
	for _, p := range strings.Fields(want) {
		if !strings.Contains(got, " "+p+" ") {
			t.Fatalf("mark %q is lost", p)
		}
	}
}

// gateFiles lets a test hold up fdatasync.
type gateFiles struct {
	files
	syncing chan struct{} // told when one begins
	proceed chan struct{}
	mu      sync.Mutex
	n       int
}

type gateFile struct {
	file
	g *gateFiles
}

func (g *gateFiles) create(name string) (file, error) {
	f, err := g.files.create(name)
	return gateFile{f, g}, err
}

func (f gateFile) Datasync() error {
	f.g.mu.Lock()
	f.g.n++
	first := f.g.n == 1
	f.g.mu.Unlock()
	if first {
		f.g.syncing <- struct{}{}
		<-f.g.proceed
	}
	return f.file.Datasync()
}

// TestGroupCommit has 20 callers wait for a sync under way: the next one
// serves them all.
func TestGroupCommit(t *testing.T) {
	g := &gateFiles{files: osFiles{t.TempDir()}, syncing: make(chan struct{}), proceed: make(chan struct{})}
	j := mustOpen(t, g)
	defer j.Close()
	begin(t, j, Record{Kind: KindCreate, Path: "f"}).End(nil)
	var wg sync.WaitGroup
	wg.Go(func() { _ = j.Sync() })
	<-g.syncing
	begin(t, j, Record{Kind: KindCreate, Path: "g"}).End(nil)
	for range 20 {
		wg.Go(func() {
			if err := j.Sync(); err != nil {
				t.Error(err)
			}
		})
	}
	close(g.proceed)
	wg.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.n != 2 {
		t.Fatalf("%d syncs for 21 callers, want 2", g.n)
	}
}

func BenchmarkBegin(b *testing.B) {
	dir := b.TempDir()
	j, err := Open(dir, Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer j.Close()
	names := make([]string, 4096)
	for i := range names {
		names[i] = fmt.Sprintf("src/dir%d/file%d.go", i%64, i)
	}
	actor := Actor{UID: 1000, PID: 4711, Command: "tar"}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		op, err := j.Begin(Record{Kind: KindCreate, Resource: "docs", Path: names[i%len(names)], Actor: actor})
		if err != nil {
			b.Fatal(err)
		}
		op.End(nil)
	}
}

// TestCloseIsNotRecorded: the end of writing takes no room in the journal where
// the beginning is marked still, and is not forgotten where it is not.
func TestCloseIsNotRecorded(t *testing.T) {
	d := newSimFiles(nil)
	j := mustOpen(t, d)
	begin(t, j, Record{Kind: KindCreate, Path: "f"}).End(nil)
	before, shot := j.bytes, j.Snapshot("r")
	begin(t, j, Record{Kind: KindClose, Path: "f"}).End(nil)
	if j.bytes != before {
		t.Errorf("a close took %d bytes", j.bytes-before)
	}
	j.Clear("r", shot) // it has changed since
	if m := j.Snapshot("r"); len(m) != 1 || !m[0].Kinds.Has(KindClose) {
		t.Fatalf("after a close: %+v", m)
	}
	wantMarks(t, mustOpen(t, d.restart(false)), "f")
	j.Clear("r", j.Snapshot("r"))
	begin(t, j, Record{Kind: KindClose, Path: "f"}).End(nil)
	wantMarks(t, mustOpen(t, d.restart(false)), "f")
}
