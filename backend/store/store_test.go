package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/silvermirror/smfs/backend/chunk"
	"github.com/silvermirror/smfs/backend/object"
)

func sampleFiles() map[string]string {
	return map[string]string{
		"a.txt": "hello\n", "docs/b.txt": strings.Repeat("text ", 10_000), "docs/deep/er/c": "", "docs/empty/": "", "link": "-> docs/b.txt",
		"random": string(randomBytes(1, chunk.Threshold+5000)), "zero": strings.Repeat("\x00", chunk.Threshold+1), ".git": "a file of that name", "docs/.smfs/meta": "mine", "%41": "x",
	}
}

func TestCommitAndRead(t *testing.T) {
	s := newTestStore(t)
	w := newWriter(t, s, 1)
	w.files = sampleFiles()
	id := w.commit()
	for range 2 {
		if s.Head() != id {
			t.Fatalf("head is %s, want %s", s.Head(), id)
		}
		wantFiles(t, s, id, w.files)
		wantSound(t, s)
		wantGitClean(t, s)
		s = reopen(t, s)
	}
	if out := git(t, s, "log", "--format=%an|%s", "main"); out != "laptop|change 1\n" {
		t.Errorf("git log says %q", out)
	}
}

// asPointerSays runs the command that stands in a pointer.
func asPointerSays(file string) ([]byte, error) {
	pointer, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	_, command, ok := strings.Cut(string(pointer), "\n    find ")
	if !ok {
		return nil, fmt.Errorf("no command in %q", pointer)
	}
	cmd := exec.Command("sh", "-c", "find "+strings.ReplaceAll(command, "NAME", filepath.Base(file)))
	cmd.Dir = filepath.Dir(file)
	return cmd.Output()
}

func TestGitClone(t *testing.T) {
	s := newTestStore(t)
	w := newWriter(t, s, 1)
	w.files = sampleFiles()
	w.commit()
	dir := filepath.Join(t.TempDir(), "clone")
	git(t, s, "-c", "transfer.fsckObjects=true", "clone", "--quiet", s.dir, dir)
	for _, name := range []string{"random", "zero"} {
		if got, err := asPointerSays(filepath.Join(dir, name)); err != nil || string(got) != w.files[name] {
			t.Errorf("%s, put together in the clone: %d bytes, %v; want %d", name, len(got), err, len(w.files[name]))
		}
	}
	for _, name := range []string{"a.txt", "docs/b.txt", "docs/deep/er/c"} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != w.files[name] {
			t.Errorf("%s in the clone: %d bytes, %v; want %d", name, len(got), err, len(w.files[name]))
		}
	}
	if got, err := os.ReadFile(filepath.Join(dir, "%2egit")); err != nil || string(got) != w.files[".git"] {
		t.Errorf("escaped .git in the clone: %q, %v", got, err)
	}
}

func TestVerifyCommit(t *testing.T) {
	s := newTestStore(t)
	w := newWriter(t, s, 1)
	w.files["a"] = "x"
	id := w.commit()
	signers := filepath.Join(t.TempDir(), "allowed")
	line := "k@smfs " + string(ssh.MarshalAuthorizedKey(w.key.PublicKey()))
	if err := os.WriteFile(signers, []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	out := git(t, s, "-c", "gpg.ssh.allowedSignersFile="+signers, "verify-commit", "-v", id.String())
	if !strings.Contains(out, `Good "git" signature for k@smfs`) {
		t.Errorf("git verify-commit says %s", out)
	}
	c, err := s.Commit(id)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := object.VerifySignature(c); err != nil {
		t.Error(err)
	}
}

func TestSameContentSameIDs(t *testing.T) {
	a, b := newTestStore(t), newTestStore(t)
	wa, wb := newWriter(t, a, 1), newWriter(t, b, 1)
	wa.files = sampleFiles()
	wa.commit()
	for name, text := range sampleFiles() { // by other steps
		wb.files[name] = text
		bat, err := b.NewBatch()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := wb.put(bat); err != nil {
			t.Fatal(err)
		}
		bat.Discard()
	}
	wb.commit()
	if wa.head != wb.head {
		t.Errorf("heads differ: %s, %s", wa.head, wb.head)
	}
}

func TestCreateTwice(t *testing.T) {
	s := newTestStore(t)
	if _, err := Create(s.dir, Meta{}); !errors.Is(err, os.ErrExist) {
		t.Errorf("create over a store: %v, want ErrExist", err)
	}
}

func TestMeta(t *testing.T) {
	s := newTestStore(t)
	want := Meta{Format: FormatVersion, ResourceIDs: []string{"a", "b"}, Incarnation: "i", MachineID: "m", StateInode: 7}
	if err := s.SetMeta(want); err != nil {
		t.Fatal(err)
	}
	s = reopen(t, s)
	if got := s.Meta(); got.Incarnation != "i" || got.StateInode != 7 || len(got.ResourceIDs) != 2 || got.Format != FormatVersion {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if err := os.WriteFile(filepath.Join(s.dir, metaName), []byte(`{"format": 99, "resource_ids": {"other": 1}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(s.dir); !errors.Is(err, ErrNewerFormat) {
		t.Errorf("newer format: %v", err)
	}
	if err := os.WriteFile(filepath.Join(s.dir, metaName), []byte(`{"form`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(s.dir); !errors.Is(err, ErrDamaged) {
		t.Errorf("torn description: %v", err)
	}
	if _, err := Open(s.dir + "x"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no store: %v", err)
	}
}

func TestPutFileSizes(t *testing.T) {
	s := newTestStore(t)
	b, err := s.NewBatch()
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 1, 512, chunk.Threshold - 1, chunk.Threshold, chunk.Threshold + 1, 3 << 20} {
		for _, data := range [][]byte{randomBytes(uint64(n), n), make([]byte, n)} {
			for _, wrong := range []int64{int64(n) + 1, int64(n) - 1, 0} {
				if wrong < 0 || wrong == int64(n) {
					continue
				}
				if _, err := b.PutFile(bytes.NewReader(data), wrong, object.TreeID{}); !errors.Is(err, chunk.ErrSizeChanged) {
					t.Errorf("%d bytes announced as %d: %v, want ErrSizeChanged", n, wrong, err)
				}
			}
			c, err := b.PutFile(bytes.NewReader(data), int64(n), object.TreeID{})
			if want, e := chunk.Hash(bytes.NewReader(data), int64(n)); err != nil || e != nil || c != want {
				t.Fatalf("%d bytes: %v, %v", n, c, err)
			}
			end := b.w.end()
			if _, err := b.PutFile(bytes.NewReader(data), int64(n), object.TreeID{}); err != nil || b.w.end() != end {
				t.Errorf("%d bytes put again took %d bytes, %v", n, b.w.end()-end, err)
			}
			if got, err := readFile(&b.view, c); err != nil || !bytes.Equal(got, data) {
				t.Errorf("%d bytes read from the batch: %d, %v", n, len(got), err)
			}
			if got, err := b.FileSize(c); err != nil || got != int64(n) {
				t.Errorf("%d bytes: the size is %d, %v", n, got, err)
			}
		}
	}
	if _, err := b.PutFile(io.MultiReader(strings.NewReader("ab"), errReader{}), 5, object.TreeID{}); !errors.Is(err, errRead) {
		t.Errorf("failing reader: %v", err)
	}
	if err := b.Commit(); err != nil {
		t.Fatal(err)
	}
	if _, err := b.WriteBlob([]byte("late")); err == nil {
		t.Error("a batch takes objects after Commit")
	}
	wantGitClean(t, s)
	wantSound(t, s)
}

func readFile(v *view, c chunk.Content) ([]byte, error) {
	r, _, err := v.OpenFile(c)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

var errRead = errors.New("cannot read")

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errRead }

func TestDiscardLeavesNothing(t *testing.T) {
	s := newTestStore(t)
	b, err := s.NewBatch()
	if err != nil {
		t.Fatal(err)
	}
	c, err := b.PutFile(bytes.NewReader(randomBytes(1, 5<<20)), 5<<20, object.TreeID{})
	if err != nil {
		t.Fatal(err)
	}
	b.Discard()
	if s.Has(c.Blob) || s.Has(c.List) {
		t.Error("store has a discarded file")
	}
	wantNoTemps(t, s)
}

func wantNoTemps(t testing.TB, s *Store) {
	t.Helper()
	for _, dir := range []string{s.packDir(), filepath.Join(s.dir, refTempDir)} {
		names, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range names {
			if !strings.HasPrefix(e.Name(), "pack-") {
				t.Errorf("left behind: %s", e.Name())
			}
		}
	}
}

// TestLargeFileMemory: the memory that a large file takes, in and out, does not
// depend on its size.
func TestLargeFileMemory(t *testing.T) {
	const most = 64 << 20
	size := int64(80 << 20)
	if os.Getenv("SMFS_TEST_LARGE") != "" {
		size = 4 << 30
	}
	s := newTestStore(t)
	peak := make(chan uint64)
	done := make(chan struct{})
	var before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	go func() {
		var top uint64
		var m runtime.MemStats
		for {
			runtime.ReadMemStats(&m)
			top = max(top, m.HeapAlloc)
			select {
			case <-done:
				peak <- top
				return
			case <-time.After(time.Millisecond):
			}
		}
	}()
	putAndRead(t, s, size)
	close(done)
	if got := <-peak - before.HeapAlloc; got > most {
		t.Errorf("a file of %d bytes took %d of memory, more than %d", size, got, most)
	}
}

func putAndRead(t *testing.T, s *Store, size int64) {
	t.Helper()
	b, err := s.NewBatch()
	if err != nil {
		t.Fatal(err)
	}
	c, err := b.PutFile(io.LimitReader(&noise{state: 1}, size), size, object.TreeID{})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Commit(); err != nil {
		t.Fatal(err)
	}
	r, n, err := s.OpenFile(c)
	if err != nil || n != size {
		t.Fatalf("%d bytes, %v", n, err)
	}
	defer r.Close()
	if n, err := io.Copy(io.Discard, r); err != nil || n != size {
		t.Fatalf("%d bytes, %v", n, err)
	}
}

// noise is incompressible and endless.
type noise struct{ state uint64 }

func (n *noise) Read(b []byte) (int, error) {
	for i := range b {
		n.state ^= n.state << 13
		n.state ^= n.state >> 7
		n.state ^= n.state << 17
		b[i] = byte(n.state)
	}
	return len(b), nil
}

// TestLookupOften: whoever looks up many names of one directory has it decoded, and
// finds the same.
func TestLookupOften(t *testing.T) {
	s := newTestStore(t)
	w := newWriter(t, s, 1)
	for i := range 30 {
		w.files[fmt.Sprint("file", i)] = fmt.Sprint("text ", i)
	}
	id := w.commit()
	s = reopen(t, s)
	c, err := s.Commit(id)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 30 {
		name := fmt.Sprint("file", i)
		e, err := s.Lookup(c.Tree, name)
		if err != nil || e == nil || e.Name != name {
			t.Fatalf("%s is %+v, %v", name, e, err)
		}
		if _, decoded := s.dirs.get(c.Tree); decoded != (i >= fewLookups) {
			t.Fatalf("after %d look-ups the directory is decoded: %v", i+1, decoded)
		}
	}
	if e, err := s.Lookup(c.Tree, "absent"); e != nil || err != nil {
		t.Errorf("what is not there: %+v, %v", e, err)
	}
}
