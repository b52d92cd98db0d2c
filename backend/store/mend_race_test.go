package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/silvermirror/smfs/backend/object"
)

// slowDisk gives others time between the steps of an installation.
type slowDisk struct{ osDisk }

func (d slowDisk) syncDir(path string) error {
	time.Sleep(2 * time.Millisecond)
	return d.osDisk.syncDir(path)
}

// TestMendBesideBatches mends a store that is whole while packs come: none of them
// is taken for damaged, nothing is lost.
func TestMendBesideBatches(t *testing.T) {
	s := newTestStore(t)
	s.disk = slowDisk{}
	var ids []object.BlobID
	written := make(chan error, 1)
	go func() {
		var err error
		for i := 0; i < 100 && err == nil; i++ {
			var b *Batch
			if b, err = s.NewBatch(); err != nil {
				break
			}
			text := fmt.Sprint(i)
			var id object.BlobID
			if id, err = b.WriteBlob([]byte(text)); err == nil {
				err = b.Commit()
			}
			ids = append(ids, id)
		}
		written <- err
	}()
	aside := filepath.Join(t.TempDir(), "aside")
	for done := false; !done; {
		select {
		case err := <-written:
			must(t, err)
			done = true
		default:
		}
		must(t, s.Mend(context.Background(), aside, func(text string) { t.Errorf("mended: %s", text) }))
	}
	must(t, s.Close())
	s, err := Open(s.dir)
	must(t, err)
	defer s.Close()
	for i, id := range ids {
		if !s.Has(id) {
			t.Errorf("the object of batch %d is lost", i)
		}
	}
}

// TestMendOutOfReach has a pack that cannot be opened for now: it stays.
func TestMendOutOfReach(t *testing.T) {
	s := newTestStore(t)
	pack := filepath.Join(s.packDir(), "pack-"+strings.Repeat("ab", 20)+".pack")
	must(t, os.Symlink(pack, pack))
	if err := s.Mend(context.Background(), t.TempDir(), func(text string) { t.Errorf("mended: %s", text) }); !errors.Is(err, unix.ELOOP) {
		t.Errorf("mend: %v", err)
	}
	_, err := os.Lstat(pack)
	must(t, err)
	must(t, s.Close())
}

// noIdx is a disk without room for the index of a pack.
type noIdx struct{ osDisk }

func (d noIdx) create(path string) (diskFile, error) {
	if strings.HasSuffix(path, ".idx") {
		return nil, unix.ENOSPC
	}
	return d.osDisk.create(path)
}

// TestMendFullDisk damages a pack in its trailer alone, and mends that where there
// is no room: all can be read as before.
func TestMendFullDisk(t *testing.T) {
	s := newTestStore(t)
	w := newWriter(t, s, 1)
	w.files = map[string]string{"a": "one", "b": strings.Repeat("two ", 100)}
	id := w.commit()
	p := onlyPack(t, s)
	must(t, flip(p.name+".pack", p.size-3))
	must(t, s.Close())
	s, err := Open(s.dir)
	must(t, err)
	aside := filepath.Join(t.TempDir(), "aside")
	s.disk = noIdx{}
	if err := s.Mend(context.Background(), aside, func(text string) { t.Errorf("mended: %s", text) }); err == nil {
		t.Error("mended on a full disk")
	}
	for range 2 {
		if !s.Has(id) {
			t.Error("the commit is lost")
		}
		must(t, s.Close())
		s, err = Open(s.dir)
		must(t, err)
	}
	must(t, s.Mend(context.Background(), aside, func(string) {}))
	if found := problems(t, s); len(found) > 0 || !s.Has(id) {
		t.Errorf("after it was mended with room: %v", found)
	}
	must(t, s.Close())
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
