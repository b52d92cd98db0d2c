package backend

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/google/renameio/v2"

	"github.com/silvermirror/smfs/backend/index"
	"github.com/silvermirror/smfs/backend/object"
)

// syncEvery is how often the filesystem below is synced while files change.
const syncEvery = 30 * time.Second

// syncedSuffix is after the name of an index that of its file with the mark.
const syncedSuffix = ".synced"

// syncMark remembers which tree of the disk is on stable storage. What has been
// committed or applied since, a power loss may take back: a file may be empty,
// gone, or again at the name that it had. The mark tells where to look. An older
// one than could be is no harm. The worker's alone.
type syncMark struct {
	file   string
	tree   object.TreeID // zero: nothing is known to be
	lost   bool          // there is a mark, and what it says is of no use
	next   time.Time     // not before
	active bool          // a sync is under way
}

// openSyncMark reads the mark. Where there is none nothing was synced yet.
func openSyncMark(file string) syncMark {
	m := syncMark{file: file}
	data, err := os.ReadFile(file)
	if err == nil {
		m.tree, err = object.ParseTreeID(strings.TrimSpace(string(data)))
	}
	if err != nil {
		m.tree, m.lost = object.TreeID{}, !errors.Is(err, os.ErrNotExist)
	}
	return m
}

func (m *syncMark) set(tree object.TreeID) error {
	if err := m.write(tree.String()); err != nil {
		return err
	}
	m.tree, m.lost = tree, false
	return nil
}

// forget says that the mark is not of the history any more, also to the next start.
func (m *syncMark) forget() error {
	m.tree, m.lost = object.TreeID{}, true
	return m.write("lost")
}

func (m *syncMark) write(text string) error {
	if err := renameio.WriteFile(m.file, []byte(text+"\n"), 0o600); err != nil {
		return fmt.Errorf("note what is synced: %w", err)
	}
	return nil
}

// diskTree is the tree of the disk as the index has it.
func (r *resource) diskTree() (tree object.TreeID, err error) {
	err = r.index.View(func(tx *index.Tx) error {
		tree = tx.Disk()
		return nil
	})
	return tree, err
}

// keepSynced syncs what was committed and applied, beside the worker and not all
// the time. It returns when the next sync is due.
func (r *resource) keepSynced(ctx context.Context, now time.Time) time.Time {
	tree, err := r.diskTree()
	if err != nil || tree == r.synced.tree || r.synced.active {
		return time.Time{} // a damaged index shows elsewhere
	}
	if r.synced.next.IsZero() {
		r.synced.next = now.Add(syncEvery)
	}
	if now.Before(r.synced.next) {
		return r.synced.next
	}
	r.synced.active = true
	r.background.Go(func() {
		err := r.tree.SyncFS()
		finish := func() {
			if err == nil {
				err = r.synced.set(tree)
			}
			if err != nil {
				r.report("", err)
				r.retrySoon() // or status would show it for ever
			}
			r.synced.active, r.synced.next = false, r.now().Add(syncEvery)
		}
		select {
		case r.calls <- finish:
		case <-ctx.Done():
		}
	})
	return time.Time{}
}

// closeIndex syncs what is not yet, and closes the index: then it is believed,
// also after a power loss. Where the sync fails it is not.
func (r *resource) closeIndex() error {
	if err := r.syncAtEnd(); err != nil {
		return errors.Join(err, r.index.CloseUnsynced())
	}
	return r.index.Close()
}

func (r *resource) syncAtEnd() error {
	tree, err := r.diskTree()
	if errors.Is(err, index.ErrDamaged) || err == nil && tree == r.synced.tree {
		return nil // what is damaged is not believed anyway
	}
	if err == nil {
		err = r.tree.SyncFS()
	}
	if err == nil {
		err = r.synced.set(tree)
	}
	return err
}
