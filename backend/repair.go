package backend

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/silvermirror/smfs/backend/index"
	"github.com/silvermirror/smfs/backend/object"
	"github.com/silvermirror/smfs/backend/store"
)

// What Open mends only if it was asked to repair: it goes on from less than what
// was recorded, which a person should know. What it replaces is kept aside.

// hasMended notes what Open did, for Fsck.
func (r *resource) hasMended(part, format string, args ...any) {
	r.opened = append(r.opened, Finding{Resource: r.name, Part: part, State: Mended, Text: fmt.Sprintf(format, args...)})
}

// mendHead puts the ref of the head aside that keeps a store from opening, and
// tells whether it did: findHead looks for the head then.
func (r *resource) mendHead(dir string, cause error) bool {
	if r.aside == "" {
		return false
	}
	aside := filepath.Join(r.aside, "store", filepath.Base(dir))
	if err := store.PutHeadAside(dir, aside); err != nil {
		r.log.Warn("cannot put the head aside", "resource", r.name, "error", err)
		return false
	}
	r.hasMended("store", "the head could not be used (%v): its ref was put into %s", cause, aside)
	return true
}

// mendPacks copies what is readable in damaged packs before the head is looked for.
func (r *resource) mendPacks() {
	if r.aside == "" {
		return
	}
	aside := filepath.Join(r.aside, "store", r.name+".git")
	err := r.store.Mend(context.Background(), aside, func(text string) { r.hasMended("store", "%s", text) })
	if err != nil {
		r.log.Warn("cannot mend the packs", "resource", r.name, "error", err)
	}
}

// goBack makes the newest commit of the packs whose directories can be read the
// head, where what the index knows to be committed is lost.
func (r *resource) goBack(file string, cause error) error {
	if r.aside == "" || !errors.Is(r.damaged(cause), ErrDamaged) {
		return cause
	}
	if head, err := r.bestHolding(); err != nil || head.IsZero() {
		return errors.Join(cause, err)
	}
	if err := r.dropIndex(file); err != nil {
		return err
	}
	var err error
	if r.index, err = index.Open(file); err != nil {
		return err
	}
	r.hasMended("store", "the newest commits are lost (%v): the history goes on from the newest that is left, and what the files have more is committed again", cause)
	return r.findHead()
}

// goBackToWhole makes an older commit the head where directories of the head are lost,
// and the index with them, which could make them up.
func (r *resource) goBackToWhole() error {
	if r.aside == "" || r.headC == nil {
		return nil
	}
	if disk, err := r.diskTree(); err != nil || !disk.IsZero() {
		return err
	}
	if (wholeTrees{r.store, map[object.TreeID]bool{}}).has(r.headC.Tree) {
		return nil
	}
	r.mendPacks()
	old := r.head
	head, err := r.bestHolding()
	if err != nil || head.IsZero() || head == old {
		return err // its reader tells what is not there
	}
	if err := r.goOnFromLess(); err != nil {
		return err
	}
	if err := r.store.UpdateRefs(store.RefUpdate{Name: headRef, Old: old, New: head}); err != nil {
		return err
	}
	r.hasMended("store", "directories of the newest commit %s are lost: the history goes on from %s, and what the files have more is committed again", old, head)
	return r.openHead()
}

// goOnFromLess is for a history that may have had newer commits than there are. The
// files stay as they are: what they have more is committed again, by a new writer,
// for others may have what was lost; and nothing of it is taken for the work of a
// power loss.
func (r *resource) goOnFromLess() error {
	if err := r.renew(); err != nil {
		return err
	}
	r.wentBack = true
	return r.synced.forget()
}

// distrustIndex looks at all of the index before it is believed.
func (r *resource) distrustIndex() error {
	faults, err := r.indexFaults(context.Background())
	if err != nil || len(faults) == 0 {
		return err
	}
	more := ""
	if len(faults) > 1 {
		more = fmt.Sprintf(", and %d things more", len(faults)-1)
	}
	return fmt.Errorf("%w: %s%s", index.ErrDamaged, faults[0], more)
}

// dropIndex closes the index and takes its file away.
func (r *resource) dropIndex(file string) error {
	if r.index != nil {
		if err := r.index.CloseUnsynced(); err != nil {
			return err
		}
		r.index = nil
	}
	if r.aside == "" {
		return index.Remove(file)
	}
	to := filepath.Join(r.aside, "index", r.name)
	err := os.MkdirAll(filepath.Dir(to), 0o700)
	if err == nil {
		err = os.Rename(file, to)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("put the index aside: %w", err)
	}
	return index.Remove(file) // what lies beside it
}
