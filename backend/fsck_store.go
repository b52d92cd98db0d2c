package backend

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/silvermirror/smfs/backend/chunk"
	"github.com/silvermirror/smfs/backend/index"
	"github.com/silvermirror/smfs/backend/object"
	"github.com/silvermirror/smfs/backend/peer"
	"github.com/silvermirror/smfs/backend/store"
)

// store reads the store, and with repair makes it whole: what is readable of
// damaged packs is kept, and what was lost with them comes back from the files,
// from the index, and from peers.
func (f *fsck) store(r *resource) error {
	f.looking("%s: the history (%d MiB)", r.name, r.store.Size()>>20)
	if f.repair {
		defer f.e.sessions.sendAgain(r)
	}
	faults, err := f.storeFaults(r)
	if err != nil || len(faults) == 0 {
		return err
	}
	if f.repair {
		if faults, err = f.mendStore(r, faults); err != nil {
			return err
		}
		if len(faults) > 0 {
			if err := f.leaveOut(r, faults); err != nil {
				return err
			}
			if faults, err = f.storeFaults(r); err != nil {
				return err
			}
		}
	}
	for _, fault := range faults {
		f.found(Finding{Resource: r.name, Part: "store", State: Damaged, Text: fault.Text, Hint: f.storeHint(fault)})
	}
	return nil
}

func (f *fsck) storeHint(fault store.Fault) string {
	switch {
	case !f.repair:
		return "`smfs fsck --repair` mends what it can"
	case fault.Object == [20]byte{}:
		return "it cannot be mended by itself; a copy of the store does"
	}
	if f.unasked {
		return "the files do not have it, and not all peers in reach could be asked: run `smfs fsck --repair` again"
	}
	return "neither the files nor a peer in reach has it: with a peer that may, or a copy of the store in its place, run `smfs fsck --repair` again"
}

// progressEvery is how often Fsck tells how far it is.
const progressEvery = 2 * time.Second

func (f *fsck) storeFaults(r *resource) (faults []store.Fault, err error) {
	told := time.Now()
	err = r.store.Check(f.ctx, func(fault store.Fault) { faults = append(faults, fault) }, func(objects int) {
		if time.Since(told) >= progressEvery {
			told = time.Now()
			f.looking("%s: the history, %d objects so far", r.name, objects)
		}
	})
	return faults, err
}

// mendStore returns the faults that are left.
func (f *fsck) mendStore(r *resource, faults []store.Fault) ([]store.Fault, error) {
	f.looking("%s: what can be read in damaged packs", r.name)
	aside := filepath.Join(f.aside, "store", r.name+".git")
	err := r.store.Mend(f.ctx, aside, func(text string) { f.mended(r, text) })
	if err != nil {
		return faults, err
	}
	if faults, err = f.storeFaults(r); err != nil || len(faults) == 0 {
		return faults, err
	}
	f.looking("%s: the files, for objects that are missing", r.name)
	if faults, err = f.refill(r, faults, "the files", r.fromDisk); err != nil || len(faults) == 0 {
		return faults, err
	}
	f.looking("%s: the peers, for objects that are missing", r.name)
	return f.fromPeers(r, faults)
}

func (f *fsck) mended(r *resource, text string) {
	f.found(Finding{Resource: r.name, Part: "store", State: Mended, Text: text})
}

// refill puts what source has of the missing objects into the store, over and
// over: what is below a missing directory shows once that is back.
func (f *fsck) refill(r *resource, faults []store.Fault, from string, source func(*store.Batch, []store.Fault) error) ([]store.Fault, error) {
	for {
		batch, err := r.store.NewBatch()
		if err != nil {
			return faults, err
		}
		if err = source(batch, faults); err == nil {
			err = batch.Commit()
		}
		batch.Discard()
		if err != nil {
			return faults, err
		}
		got := 0
		for _, fault := range faults {
			if fault.Object != ([20]byte{}) && r.store.Has(fault.Object) {
				f.mended(r, fmt.Sprintf("%s: it is back, from %s", fault.Text, from))
				got++
			}
		}
		if got == 0 {
			return faults, nil
		}
		if faults, err = f.storeFaults(r); err != nil || len(faults) == 0 {
			return faults, err
		}
	}
}

// fromDisk puts the missing objects into a batch that the files hold, or that the
// index makes up.
func (r *resource) fromDisk(batch *store.Batch, faults []store.Fault) error {
	missing := map[[20]byte]bool{}
	for _, fault := range faults {
		missing[fault.Object] = true
	}
	return r.index.View(func(tx *index.Tx) error {
		if err := tx.All(func(n index.Node) error {
			if path, err := tx.Path(n.Slot()); err == nil && n.Kind != object.Dir && r.lacks(missing, chunk.Of(&n.Entry)) {
				if info, err := r.tree.Stat(path); err == nil {
					_ = r.keep(batch, path, info) // it may be open, or another by now: then it does not help
				}
			}
			return nil
		}); err != nil {
			return err
		}
		var options []byte
		if root, err := r.store.Directory(tx.Disk()); err == nil {
			options = root.Options
		}
		_, err := writeTree(tx, batch, object.FileID{}, options)
		return err
	})
}

// lacks tells whether a part of a file's content is among what is missing.
func (r *resource) lacks(missing map[[20]byte]bool, c chunk.Content) bool {
	if missing[c.Blob] || c.List.IsZero() {
		return missing[c.Blob]
	}
	_, err := chunk.Walk(r.store, c.List, lackedPart(missing))
	return err != nil
}

// lackedPart is a visitor of lists of chunks: its error is that one is missing.
type lackedPart map[[20]byte]bool

func (m lackedPart) Node(object.TreeID) (bool, error) { return true, nil }

func (m lackedPart) Chunk(id object.BlobID, _ int64) error {
	if m[id] {
		return store.ErrMissing
	}
	return nil
}

// fromPeers asks the peers, each once, for all that they have.
func (f *fsck) fromPeers(r *resource, faults []store.Fault) ([]store.Fault, error) {
	ctx, cancel := context.WithTimeout(f.ctx, f.e.o.Config.Main.Timeout)
	defer cancel()
	f.unasked = false
	asked := map[string]bool{}
	var failed error
	f.e.sessions.tryNow(nil)
	_ = f.e.sessions.await(ctx, nil, func(_ context.Context, l *link) (bool, error) {
		name, shared := l.nameOf(r)
		theirs, _ := l.state(r)
		if !shared || theirs.Head.IsZero() {
			return false, nil
		}
		if asked[l.node] || len(faults) == 0 {
			return true, nil
		}
		asked[l.node] = true
		err := l.session.Fetch(f.ctx, peer.Fetch{Resource: name, Want: theirs.Head}, func(pack io.Reader) (err error) {
			faults, err = f.fromPack(r, faults, "peer "+l.name, pack)
			return err
		})
		if err != nil {
			failed = err
			r.log.Warn("a peer could not help out", "resource", r.name, "peer", l.name, "error", err)
		}
		return true, nil
	})
	if f.ctx.Err() != nil {
		return faults, f.ctx.Err()
	}
	if f.unasked = failed != nil; f.unasked && len(faults) > 0 {
		f.found(Finding{Resource: r.name, Part: "store", State: Noted, Text: "a peer could not help out: " + failed.Error()})
	}
	return faults, nil
}

// fromPack takes the missing objects out of a pack, and no others. That they are
// those which our own history names is all that has to be believed.
func (f *fsck) fromPack(r *resource, faults []store.Fault, from string, pack io.Reader) ([]store.Fault, error) {
	in, err := r.store.Receive(f.ctx, pack, store.Limits{})
	if err != nil {
		return faults, err
	}
	defer in.Discard()
	return f.refill(r, faults, from, func(batch *store.Batch, faults []store.Fault) error {
		for _, fault := range faults {
			if fault.Object == ([20]byte{}) {
				continue
			}
			if _, err := in.Take(batch, fault.Kind, fault.Object); err != nil {
				return err
			}
		}
		return nil
	})
}
