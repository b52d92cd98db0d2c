package store

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/silvermirror/smfs/backend/chunk"
	"github.com/silvermirror/smfs/backend/object"
)

// Batch collects new objects in one pack. Objects that the store has are not
// written again. Its methods are safe for concurrent use. A batch ends with Commit or Discard; until then nothing of
// it can be seen in the store.
//
// Invariant of the store: an object that is there is there with all that it
// refers to. So whatever is put into a directory or commit must be in the
// batch or the store before.
type Batch struct {
	view
	store *Store
	w     *packWriter
	own   *pack

	mu   sync.Mutex  // held to append, and to end the batch
	done atomic.Bool // set under mu
}

// NewBatch starts a batch. It does not write to the disk yet.
func (s *Store) NewBatch() (*Batch, error) {
	s.dropVanished() // no object may count as stored that git gc removed
	w := newPackWriter(s.disk, s.tempPath("batch"))
	b := &Batch{store: s, w: w, own: &pack{codec: s.codec, r: w, end: w.end, dir: w}}
	b.view = s.view
	b.packs = func() []*pack {
		if b.done.Load() {
			return s.packs()
		}
		return append([]*pack{b.own}, s.packs()...)
	}
	return b, nil
}

// PutFile stores a file of size bytes that r yields; was is the list of chunks that
// it had before, or zero. If it yields fewer or more bytes the error is
// chunk.ErrSizeChanged; chunks of it may stay, which nothing refers to. Memory is
// bounded whatever the size. An error of r comes back as it is.
func (b *Batch) PutFile(r io.Reader, size int64, was object.TreeID) (chunk.Content, error) {
	return chunk.Put(r, size, b, b.store.prints, was)
}

// rawBuffers are for objects as a pack holds them.
var rawBuffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// put appends an object unless it is there already.
func (b *Batch) put(kind object.Type, id [20]byte, data []byte) error {
	return b.append(kind, id, data, b.store.codec.deflateObject)
}

func (b *Batch) append(kind object.Type, id [20]byte, data []byte, encode func(*bytes.Buffer, object.Type, []byte)) error {
	if b.Has(id) {
		return nil
	}
	raw := rawBuffers.Get().(*bytes.Buffer)
	defer rawBuffers.Put(raw)
	raw.Reset()
	encode(raw, kind, data)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.done.Load() {
		return errNotOpen
	}
	if _, ok := b.w.find(id); ok {
		return nil
	}
	return b.w.add(id, raw.Bytes())
}

// WriteTree and WriteBlob make a Batch an object.Sink.
func (b *Batch) WriteTree(data []byte) (object.TreeID, error) {
	id := object.TreeID(object.Hash(object.TypeTree, data))
	return id, b.put(object.TypeTree, id, data)
}

// WriteBlob stores a blob that is in memory, as a file's content is not: see
// PutFile.
func (b *Batch) WriteBlob(data []byte) (object.BlobID, error) {
	id, err := safeID(object.TypeBlob, data)
	if err != nil {
		return object.BlobID{}, err
	}
	return object.BlobID(id), b.put(object.TypeBlob, id, data)
}

// edited is a Batch as the sink of a directory that is edited: what it consists of
// is read again for the next edit, and is an older version then.
type edited struct{ *Batch }

func (b edited) WriteTree(data []byte) (object.TreeID, error) {
	id := object.TreeID(object.Hash(object.TypeTree, data))
	return id, b.put(object.TypeTree, id, data)
}

func (b edited) WriteBlob(data []byte) (object.BlobID, error) {
	id, err := safeID(object.TypeBlob, data)
	if err != nil {
		return object.BlobID{}, err
	}
	return object.BlobID(id), b.put(object.TypeBlob, id, data)
}

func (b edited) put(kind object.Type, id [20]byte, data []byte) error {
	if len(data) < minStored {
		return b.Batch.put(kind, id, data)
	}
	err := b.append(kind, id, data, storeObject)
	if err == nil {
		b.raw.put(rawKey{kind, id}, bytes.Clone(data), len(data))
	}
	return err
}

// PutDirectory stores a directory. What its entries refer to must be in the
// batch or the store. d is not kept.
func (b *Batch) PutDirectory(d *object.Directory) (object.TreeID, error) {
	id, err := object.EncodeDirectory(d, b)
	if err != nil {
		return id, fmt.Errorf("put directory: %w", err)
	}
	own := &object.Directory{Entries: slices.Clone(d.Entries), Options: bytes.Clone(d.Options)}
	b.dirs.put(id, own, dirCost(own))
	return id, nil
}

// fewChanges is up to how many changes a directory is edited in its bytes.
const fewChanges = 64

// EditDirectory stores the directory that base becomes by changes, of which no
// two have one name. What their entries refer to must be in the batch or the
// store. A few changes cost much less than the directory is large.
func (b *Batch) EditDirectory(base object.TreeID, changes []object.Change) (object.TreeID, error) {
	if len(changes) <= fewChanges {
		raw, err := object.OpenRaw(b, base)
		if err != nil {
			return object.TreeID{}, fmt.Errorf("directory %s: %w", base, err)
		}
		id, ok, err := raw.Edit(edited{b}, changes)
		if err != nil {
			return id, fmt.Errorf("edit directory %s: %w", base, err)
		}
		if ok {
			return id, nil
		}
	}
	d, err := b.Directory(base)
	if err != nil {
		return object.TreeID{}, err
	}
	return b.PutDirectory(d.With(changes))
}

// PutCommit stores a commit, whose tree and parents must be in the batch or
// the store. c is not kept.
func (b *Batch) PutCommit(c *object.Commit) (object.CommitID, error) {
	data, err := object.EncodeCommit(c)
	if err != nil {
		return object.CommitID{}, fmt.Errorf("put commit: %w", err)
	}
	id := object.Hash(object.TypeCommit, data)
	return object.CommitID(id), b.put(object.TypeCommit, id, data)
}

// ReadCommit is Store.Commit for commits of the batch and the store.
func (b *Batch) ReadCommit(id object.CommitID) (*object.Commit, error) { return b.view.Commit(id) }

// Commit makes the objects durable and then moves the refs, each durably and
// only from its Old value (ErrRefChanged: the objects stay, no ref moved). It
// ends the batch, also when it fails.
func (b *Batch) Commit(updates ...RefUpdate) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.done.Load() {
		return fmt.Errorf("commit batch: %w", errNotOpen)
	}
	b.done.Store(true)
	if err := b.seal(); err != nil {
		b.w.discard()
		return fmt.Errorf("commit batch: %w", err)
	}
	return b.store.UpdateRefs(updates...)
}

// seal puts the pack in its place, if there is anything in it.
func (b *Batch) seal() error {
	if b.w.count() == 0 {
		b.w.discard()
		return nil
	}
	sum, size, err := b.w.finish()
	if err != nil {
		return err
	}
	return b.store.install(b.w.path, newIdx(b.w.entries, sum), size)
}

// Discard drops the batch. After Commit it does nothing.
func (b *Batch) Discard() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.done.Load() {
		b.done.Store(true)
		b.w.discard()
	}
}
