package store

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/silvermirror/smfs/backend/object"
)

// ErrSizeChanged says that a file had not the length that was announced: it
// was written to while it was read.
var ErrSizeChanged = errors.New("file changed its size while it was read")

// smallBlob is up to which size PutBlob works in memory, beside other calls.
const smallBlob = 1 << 20

// Batch collects new objects in one pack. Objects that the store has are not
// written again. Its methods are safe for concurrent use; large blobs go one
// after the other. A batch ends with Commit or Discard; until then nothing of
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

// PutBlob stores the size bytes that r yields. If it yields fewer or more the
// error is ErrSizeChanged and nothing of it stays. Memory is bounded whatever
// the size. An error of r comes back wrapped.
func (b *Batch) PutBlob(r io.Reader, size int64) (object.BlobID, error) {
	if size < 0 {
		return object.BlobID{}, fmt.Errorf("put blob: %w: negative size", object.ErrInvalid)
	}
	var id object.BlobID
	var err error
	if size <= smallBlob {
		id, err = b.putSmall(r, size)
	} else {
		id, err = b.putLarge(r, size)
	}
	if err != nil {
		return object.BlobID{}, fmt.Errorf("put blob: %w", err)
	}
	return id, nil
}

func (b *Batch) putSmall(r io.Reader, size int64) (object.BlobID, error) {
	data := make([]byte, size+1) // one more, to see a file that grew
	n, err := io.ReadFull(r, data)
	switch {
	case err == nil || int64(n) < size && isEnd(err):
		return object.BlobID{}, ErrSizeChanged
	case !isEnd(err):
		return object.BlobID{}, err
	}
	data = data[:n]
	h := newSafeHash(object.TypeBlob, size)
	h.Write(data)
	id, err := h.id()
	if err == nil {
		err = b.put(object.TypeBlob, id, data)
	}
	return object.BlobID(id), err
}

func isEnd(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

// put appends an object unless it is there already.
func (b *Batch) put(kind object.Type, id [20]byte, data []byte) error {
	if b.Has(id) {
		return nil
	}
	raw := b.store.codec.deflated(kind, data)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.done.Load() {
		return errNotOpen
	}
	if _, ok := b.w.find(id); ok {
		return nil
	}
	return b.w.add(id, raw)
}

// putLarge streams into the pack and takes the bytes back if they turn out to
// be there already, or not to be what was announced.
func (b *Batch) putLarge(r io.Reader, size int64) (object.BlobID, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.done.Load() {
		return object.BlobID{}, errNotOpen
	}
	off := b.w.end()
	id, crc, err := b.stream(r, size)
	if err != nil || b.Has(id) {
		return object.BlobID(id), errors.Join(err, b.w.rollback(off))
	}
	b.w.record(idxEntry{id, off, crc})
	return object.BlobID(id), nil
}

func (b *Batch) stream(r io.Reader, size int64) (id [20]byte, crc uint32, err error) {
	sum := crc32.NewIEEE()
	out := io.MultiWriter(b.w, sum)
	if _, err := out.Write(appendEntryHeader(nil, object.TypeBlob, size)); err != nil {
		return id, 0, err
	}
	h := newSafeHash(object.TypeBlob, size)
	z := b.store.codec.deflater(out)
	n, err := io.CopyBuffer(besideWriter{z, h}, io.LimitReader(r, size), make([]byte, 256<<10))
	if e := b.store.codec.release(z); err == nil {
		err = e
	}
	if err != nil {
		return id, 0, err
	}
	if n != size || !atEnd(r) {
		return id, 0, ErrSizeChanged
	}
	id, err = h.id()
	return id, sum.Sum32(), err
}

// besideWriter writes to w and, at the same time, to a hash: for large blobs
// hashing costs more than all else.
type besideWriter struct {
	w io.Writer
	h safeHash
}

func (w besideWriter) Write(p []byte) (int, error) {
	hashed := make(chan struct{})
	go func() {
		w.h.Write(p)
		close(hashed)
	}()
	n, err := w.w.Write(p)
	<-hashed
	return n, err
}

// atEnd reports whether r has no further byte.
func atEnd(r io.Reader) bool {
	n, err := io.ReadFull(r, make([]byte, 1))
	return n == 0 && errors.Is(err, io.EOF)
}

// WriteTree and WriteBlob make a Batch an object.Sink.
func (b *Batch) WriteTree(data []byte) (object.TreeID, error) {
	id := object.Hash(object.TypeTree, data)
	return object.TreeID(id), b.put(object.TypeTree, id, data)
}

// WriteBlob stores a blob that is in memory.
func (b *Batch) WriteBlob(data []byte) (object.BlobID, error) {
	return b.PutBlob(bytes.NewReader(data), int64(len(data)))
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
