package index

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/silvermirror/smfs/backend/object"
	"github.com/silvermirror/smfs/journal"
	"github.com/silvermirror/smfs/tags"
)

// sound is an index with all that a node can have.
func sound(t *testing.T) *Index {
	t.Helper()
	ix := open(t, scratch(t)+"/index")
	check(t, ix.Update(func(tx *Tx) error {
		for i := range 300 {
			dir := file(fmt.Sprint("dir", i), 1000+i)
			dir.Kind, dir.Blob = object.Dir, object.BlobID{}
			f, link := file(fmt.Sprint("file", i), i), file(fmt.Sprint("link", i), i)
			f.Parent = dir.ID
			if i%3 == 0 {
				f.Tags = tags.Set{}.With("work", tags.Dot{Writer: "w", Seq: 1})
				link.Tags = f.Tags
			}
			if i%7 == 0 {
				f.Conflict[0] = 1
			}
			check(t, errors.Join(tx.Put(dir), tx.Put(f), tx.Put(link)))
		}
		for i := range 100 {
			_, err := tx.DeleteTree(object.FileID{}, fmt.Sprint("dir", 3*i))
			check(t, err)
		}
		return tx.Move(Slot{Name: "link1"}, Slot{Name: "elsewhere"})
	}))
	return ix
}

func found(t *testing.T, ix *Index) []string {
	t.Helper()
	var all []string
	check(t, ix.Check(context.Background(), func(text string) { all = append(all, text) }))
	return all
}

func TestCheckSound(t *testing.T) {
	ix := sound(t)
	for range 3 {
		if all := found(t, ix); len(all) > 0 {
			t.Errorf("found in a sound index: %q", all)
		}
	}
	check(t, ix.Close())
}

// TestCheck breaks what holds the buckets together, one after the other.
func TestCheck(t *testing.T) {
	f := file("file1", 1)
	f.Parent = file("", 1001).ID
	for name, c := range map[string]struct {
		spoil func(tx *Tx)
		want  string
	}{
		"no id":          {func(tx *Tx) { tx.ids.delete(idKey(f.ID, f.Slot())) }, "not found by its id"},
		"no inode":       {func(tx *Tx) { tx.keys.delete(fileKey(f.Key, f.ID)) }, "not found by its inode"},
		"another inode":  {func(tx *Tx) { tx.keys.put(fileKey(journal.FileKey{Ino: 9999}, f.ID), nil) }, "no name has the inode"},
		"no such tagged": {func(tx *Tx) { tx.tagged.put(f.Slot().key(), nil) }, `list "tagged"`},
		"not tagged":     {func(tx *Tx) { tx.tagged.delete(Slot{Name: "link3"}.key()) }, "has tags and is not listed"},
		"no directory":   {func(tx *Tx) { _ = tx.drop(ptr(tx.Get(object.FileID{}, "dir1"))) }, "in no directory"},
		"a count":        {func(tx *Tx) { _ = tx.add(&tx.counts.files, 1) }, "it counts"},
		"two contents": {func(tx *Tx) {
			other := f
			other.Blob[0] = 2
			tx.nodes.put(f.Slot().key(), encodeNode(&other))
		}, "two contents"},
	} {
		t.Run(name, func(t *testing.T) {
			ix := sound(t)
			check(t, ix.Update(func(tx *Tx) error {
				c.spoil(tx)
				return nil
			}))
			if all := found(t, ix); !strings.Contains(strings.Join(all, "\n"), c.want) {
				t.Errorf("found %q, not %q", all, c.want)
			}
			check(t, ix.Close())
		})
	}
}

func ptr(n Node, _ bool) *Node { return &n }

// TestCheckTorn cuts the file of an open index, and fills a page with garbage:
// that is damage, and no crash.
func TestCheckTorn(t *testing.T) {
	for name, spoil := range map[string]func(file string) error{
		"cut": func(file string) error { return os.Truncate(file, 32<<10) },
		"garbage": func(file string) error {
			data, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			for i := 12 << 10; i < len(data); i++ {
				data[i] ^= 0x5a
			}
			return os.WriteFile(file, data, 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			ix := sound(t)
			check(t, spoil(ix.file))
			if err := ix.Check(context.Background(), func(string) {}); !errors.Is(err, ErrDamaged) {
				t.Errorf("check: %v", err)
			}
			check(t, ix.Close())
		})
	}
}
