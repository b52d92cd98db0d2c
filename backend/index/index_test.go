package index

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/silvermirror/smfs/backend/object"
	"github.com/silvermirror/smfs/journal"
	bolt "go.etcd.io/bbolt"
)

func open(t testing.TB, file string) *Index {
	t.Helper()
	ix, err := Open(file)
	check(t, err)
	return ix
}

// scratch is a directory in memory, where there is one: Open and Close sync.
func scratch(t testing.TB) string {
	t.Helper()
	if _, err := os.Stat("/dev/shm"); err != nil {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp("/dev/shm", "smfs-index-")
	check(t, err)
	t.Cleanup(func() { check(t, os.RemoveAll(dir)) })
	return dir
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// file is a node of the root directory.
func file(name string, i int) Node {
	n := Node{Key: journal.FileKey{Ino: uint64(i), Gen: 1}, Size: 4096, Ctime: 1}
	n.Name, n.Kind, n.Mode = name, object.File, 0o644
	binary.BigEndian.PutUint64(n.ID[:], uint64(i+1)*0x9e3779b97f4a7c15)
	n.Blob[0] = 1
	return n
}

// TestThroughADescriptor opens the index the way a daemon does that has
// mounted over the directory.
func TestThroughADescriptor(t *testing.T) {
	dir, err := os.Open(scratch(t))
	check(t, err)
	defer dir.Close()
	name := fmt.Sprintf("/proc/self/fd/%d/index/docs", dir.Fd())
	ix := open(t, name)
	check(t, ix.Update(func(tx *Tx) error { return tx.Put(file("f", 1)) }))
	check(t, ix.Close())
	ix = open(t, name)
	check(t, ix.View(func(tx *Tx) error {
		if n, ok := tx.Lookup("f"); !ok || n.Size != 4096 {
			t.Errorf("found %+v, %v", n, ok)
		}
		return nil
	}))
	check(t, ix.Close())
	check(t, Remove(name))
	check(t, Remove(name)) // idempotent
}

func TestLocked(t *testing.T) {
	name := scratch(t) + "/index"
	ix := open(t, name)
	if _, err := Open(name); !errors.Is(err, ErrLocked) {
		t.Errorf("second Open: %v", err)
	}
	check(t, ix.Close())
}

// TestKilled kills a process that updates an index: whatever it said was done
// is there, whole transactions only, in the same boot.
func TestKilled(t *testing.T) {
	if name := os.Getenv("SMFS_INDEX_CHILD"); name != "" {
		updateForEver(t, name)
	}
	name := scratch(t) + "/index"
	sure := -1
	for round := range 5 {
		cmd := exec.Command("/proc/self/exe", "-test.run", "^TestKilled$")
		cmd.Env = append(os.Environ(), "SMFS_INDEX_CHILD="+name)
		out, err := cmd.StdoutPipe()
		check(t, err)
		check(t, cmd.Start())
		lines := bufio.NewScanner(out)
		for range 20 + 13*round {
			if !lines.Scan() {
				t.Fatalf("child ended: %v", cmd.Wait())
			}
			if _, err := fmt.Sscanf(lines.Text(), "done %d", &sure); err != nil {
				t.Fatalf("child said %q", lines.Text())
			}
		}
		check(t, cmd.Process.Kill())
		_ = cmd.Wait() // says that it was killed
		ix := open(t, name)
		check(t, ix.View(func(tx *Tx) error {
			if n := tx.Count(); n%10 != 0 || n < (sure+1)*10 {
				t.Errorf("%d nodes, %d transactions of 10 were done", n, sure+1)
			}
			return tx.All(func(Node) error { return nil })
		}))
		check(t, ix.Close())
	}
}

// TestCloseUnsynced: the file is trusted while the page cache that it was written
// to is there.
func TestCloseUnsynced(t *testing.T) {
	name := scratch(t) + "/index"
	ix := open(t, name)
	check(t, ix.Update(func(tx *Tx) error { return tx.Put(file("f", 1)) }))
	check(t, ix.CloseUnsynced())
	ix = open(t, name)
	check(t, ix.View(func(tx *Tx) error {
		if tx.Count() != 1 {
			t.Errorf("%d nodes", tx.Count())
		}
		return nil
	}))
	check(t, ix.CloseUnsynced())
	check(t, os.WriteFile(name+markerSuffix, []byte("another boot\n"), 0o600))
	if _, err := Open(name); !errors.Is(err, ErrDamaged) {
		t.Errorf("after another boot: %v", err)
	}
}

func updateForEver(t *testing.T, name string) {
	ix := open(t, name)
	var from int
	check(t, ix.View(func(tx *Tx) error { from = tx.Count() / 10; return nil }))
	for i := from; ; i++ {
		check(t, ix.Update(func(tx *Tx) error {
			for j := range 10 {
				if err := tx.Put(file(fmt.Sprint(i*10+j), i*10+j)); err != nil {
					return err
				}
			}
			return nil
		}))
		fmt.Println("done", i)
	}
}

func filled(t *testing.T, name string) {
	t.Helper()
	ix := open(t, name)
	check(t, ix.Update(func(tx *Tx) error {
		for i := range 2000 {
			if err := tx.Put(file(fmt.Sprint(i), i)); err != nil {
				return err
			}
		}
		return nil
	}))
	check(t, ix.Close())
}

func TestOpenDetectsDamage(t *testing.T) {
	for what, damage := range map[string]func(name string) error{
		"another boot": func(name string) error {
			return os.WriteFile(name+markerSuffix, []byte("00000000-0000-0000-0000-000000000000 1\n"), 0o600)
		},
		"empty marker": func(name string) error { return os.WriteFile(name+markerSuffix, nil, 0o600) },
		"truncated":    func(name string) error { return os.Truncate(name, 3*4096) },
		"half":         func(name string) error { return os.Truncate(name, size(name)/2/4096*4096) },
		"not an index": func(name string) error { return os.WriteFile(name, []byte(strings.Repeat("no ", 50000)), 0o600) },
		"short":        func(name string) error { return os.WriteFile(name, []byte("no"), 0o600) },
		"zeros":        func(name string) error { return os.WriteFile(name, make([]byte, 1<<20), 0o600) },
		"newer format": func(name string) error { return setFormat(name, format+1) },
	} {
		t.Run(what, func(t *testing.T) {
			name := scratch(t) + "/index"
			filled(t, name)
			check(t, damage(name))
			if ix, err := Open(name); !errors.Is(err, ErrDamaged) {
				t.Fatalf("Open: %v, %v", ix, err)
			}
			check(t, Remove(name))
			filled(t, name)
		})
	}
}

func size(name string) int64 {
	st, err := os.Stat(name)
	if err != nil {
		return 0
	}
	return st.Size()
}

func setFormat(name string, n uint32) error {
	db, err := bolt.Open(name, 0o600, nil)
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bolt.Tx) error {
		return tx.Bucket([]byte(bucketMeta)).Put([]byte(metaFormat), binary.BigEndian.AppendUint32(nil, n))
	})
	return errors.Join(err, db.Close())
}

// TestFlippedBytes damages pages at random: every node read is right or
// ErrDamaged is returned, and nothing panics.
func TestFlippedBytes(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	dir := scratch(t)
	filled(t, dir+"/good")
	good, err := os.ReadFile(dir + "/good")
	check(t, err)
	found := 0
	for i := range 30 {
		bad := append([]byte(nil), good...)
		page := rnd.IntN(len(bad) / 4096)
		for range 1 + rnd.IntN(40) {
			bad[page*4096+rnd.IntN(4096)] ^= byte(1 + rnd.IntN(255))
		}
		name := fmt.Sprint(dir, "/", i)
		check(t, os.WriteFile(name, bad, 0o600))
		if useAll(t, name) != nil {
			found++
			if _, err := Open(name); !errors.Is(err, ErrDamaged) {
				t.Errorf("opened again after damage: %v", err)
			}
		}
		check(t, Remove(name))
	}
	if found == 0 {
		t.Error("no damage was noticed")
	}
	t.Logf("damage noticed in %d of 30", found)
}

func useAll(t *testing.T, name string) error {
	ix, err := Open(name)
	if err == nil {
		err = ix.View(func(tx *Tx) error {
			return tx.All(func(n Node) error {
				var i int
				if _, err := fmt.Sscan(n.Name, &i); err == nil && fmt.Sprint(i) == n.Name {
					if want := file(n.Name, i); n.ID != want.ID && n.Parent == want.Parent {
						t.Errorf("%s: node %q is another's", name, n.Name)
					}
				}
				return nil
			})
		})
		if err == nil {
			err = ix.Update(func(tx *Tx) error {
				for i := range 300 {
					if err := tx.Put(file(fmt.Sprint(i*7), i*7)); err != nil {
						return err
					}
				}
				return nil
			})
		}
		if e := ix.Close(); e != nil && err == nil {
			err = e
		}
	}
	if err != nil && !errors.Is(err, ErrDamaged) {
		t.Errorf("%s: %v, want ErrDamaged", name, err)
	}
	return err
}

// TestFailedUpdate leaves no trace of a transaction that fails or panics, and
// passes the error through as it is.
func TestFailedUpdate(t *testing.T) {
	ix := open(t, scratch(t)+"/index")
	check(t, ix.Update(func(tx *Tx) error { return tx.Put(file("f", 1)) }))
	no := errors.New("no")
	for name, do := range map[string]func(tx *Tx) error{
		"unchanged": func(*Tx) error { return nil },
		"changed": func(tx *Tx) error {
			_, err := tx.DeleteTree(object.FileID{}, "f")
			return errors.Join(err, tx.Put(file("g", 2)))
		},
	} {
		err := ix.Update(func(tx *Tx) error {
			check(t, do(tx))
			return no
		})
		if err != no {
			t.Errorf("%s: %v", name, err)
		}
		func() {
			defer func() {
				if r := recover(); r != no {
					t.Errorf("%s: recovered %v", name, r)
				}
			}()
			_ = ix.Update(func(tx *Tx) error {
				check(t, do(tx))
				panic(no)
			})
		}()
		check(t, ix.View(func(tx *Tx) error {
			_, f := tx.Lookup("f")
			_, g := tx.Lookup("g")
			if !f || g || tx.Count() != 1 {
				t.Errorf("%s: f %v, g %v, count %d", name, f, g, tx.Count())
			}
			return nil
		}))
	}
	check(t, ix.Close())
}

func TestViewsBesideUpdates(t *testing.T) {
	ix := open(t, scratch(t)+"/index")
	done := make(chan error, 2)
	stop := make(chan struct{})
	for range 2 {
		go func() {
			for {
				select {
				case <-stop:
					done <- nil
					return
				default:
				}
				err := ix.View(func(tx *Tx) error {
					n := 0
					err := tx.All(func(Node) error { n++; return nil })
					if n != tx.Count() || n%5 != 0 {
						return fmt.Errorf("%d nodes, count %d", n, tx.Count())
					}
					return err
				})
				if err != nil {
					done <- err
					return
				}
			}
		}()
	}
	for i := range 100 {
		check(t, ix.Update(func(tx *Tx) error {
			for j := range 5 {
				if err := tx.Put(file(fmt.Sprint(i*5+j), i*5+j)); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	close(stop)
	check(t, errors.Join(<-done, <-done))
	check(t, ix.Close())
}

func BenchmarkUpdateOne(b *testing.B) {
	ix := open(b, b.TempDir()+"/index")
	bulk(b, ix, 0, 100_000)
	for i := 0; b.Loop(); i++ {
		n := file(fmt.Sprintf("file %08d", i*7919%100_000), i*7919%100_000)
		n.Size = int64(i)
		check(b, ix.Update(func(tx *Tx) error { return tx.Put(n) }))
	}
	check(b, ix.Close())
}

func BenchmarkBulk10k(b *testing.B) {
	ix := open(b, b.TempDir()+"/index")
	for i := 0; b.Loop(); i++ {
		bulk(b, ix, i*10_000, 10_000)
	}
	b.ReportMetric(float64(size(ix.file))/float64(10_000*b.N), "bytes/node")
	check(b, ix.Close())
}

func bulk(b *testing.B, ix *Index, from, n int) {
	check(b, ix.Update(func(tx *Tx) error {
		for i := from; i < from+n; i++ {
			if err := tx.Put(file(fmt.Sprintf("file %08d", i), i)); err != nil {
				return err
			}
		}
		return nil
	}))
}

// TestDiedWhileOpening: a file that a process died over is not opened again.
func TestDiedWhileOpening(t *testing.T) {
	name := filepath.Join(t.TempDir(), "index")
	ix := open(t, name)
	check(t, ix.CloseUnsynced())
	died := exec.Command("true")
	check(t, died.Run())
	check(t, os.WriteFile(name+".opening", []byte(fmt.Sprint(died.Process.Pid)), 0o600))
	if _, err := Open(name); !errors.Is(err, ErrDamaged) {
		t.Errorf("opening it: %v", err)
	}
	check(t, Remove(name))
	ix = open(t, name)
	check(t, ix.Close())
}

// TestWeighsOldIndex: a file from a version that did not count bytes is counted at
// Open.
func TestWeighsOldIndex(t *testing.T) {
	file := filepath.Join(t.TempDir(), "index")
	ix, err := Open(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := ix.Update(func(tx *Tx) error {
		for i := range 3 {
			n := Node{Size: 100}
			n.Name, n.Kind, n.ID = fmt.Sprint(i), object.File, object.FileID{0: byte(i + 1)}
			if err := tx.Put(n); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := ix.db.Update(func(b *bolt.Tx) error {
		return b.Bucket([]byte(bucketMeta)).Put([]byte(metaCounts), []byte{3, 0})
	}); err != nil {
		t.Fatal(err)
	}
	if err := ix.Close(); err != nil {
		t.Fatal(err)
	}
	if ix, err = Open(file); err != nil {
		t.Fatal(err)
	}
	defer ix.Close()
	if err := ix.View(func(tx *Tx) error {
		if tx.Count() != 3 || tx.Bytes() != 300 {
			t.Errorf("%d files of %d bytes", tx.Count(), tx.Bytes())
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}
