package store

import (
	"crypto/sha1"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"sync"
)

// flushAt is how many bytes of a pack wait in memory. Small packs are written
// by one write.
const flushAt = 1 << 20

// packWriter appends objects to a new pack. Appending is for one goroutine at
// a time; find and ReadAt may run beside it.
//
// The header of a pack holds its number of objects and the trailer the SHA-1 of
// all bytes, the header's included; the number is known at the end. So a pack
// that left memory is read once more to be hashed, which costs less than half
// of what hashing its objects did.
type packWriter struct {
	disk disk
	path string // temporary

	mu      sync.RWMutex // guards the rest against readers
	file    diskFile     // nil as long as all is in buf
	flushed int64        // bytes in file
	buf     []byte       // bytes behind them
	entries []idxEntry   // in the order of their offsets
	byID    map[[20]byte]int32
	failed  error // of the disk; the pack cannot be finished after it
}

func newPackWriter(d disk, path string) *packWriter {
	return &packWriter{disk: d, path: path, buf: packHeader(0), byID: map[[20]byte]int32{}}
}

func (w *packWriter) find(id [20]byte) (idxEntry, bool) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	i, ok := w.byID[id]
	if !ok {
		return idxEntry{}, false
	}
	return w.entries[i], true
}

func (w *packWriter) count() int {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return len(w.entries)
}

// end is the offset behind the last byte.
func (w *packWriter) end() int64 {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.flushed + int64(len(w.buf))
}

// ReadAt sees what was appended so far.
func (w *packWriter) ReadAt(b []byte, off int64) (n int, err error) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if off < w.flushed {
		if w.file == nil {
			return 0, os.ErrClosed
		}
		part := b[:min(int64(len(b)), w.flushed-off)]
		if n, err = w.file.ReadAt(part, off); err != nil || n == len(b) {
			return n, err
		}
	}
	at := off + int64(n) - w.flushed
	if at >= int64(len(w.buf)) {
		return n, io.EOF
	}
	n += copy(b[n:], w.buf[at:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// Write appends raw bytes.
func (w *packWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.buf)+len(b) < flushAt {
		w.buf = append(w.buf, b...)
		return len(b), nil
	}
	if err := w.flush(w.buf); err != nil {
		return len(b), err
	}
	w.buf = w.buf[:0]
	return len(b), w.flush(b)
}

// flush writes b to the file, behind what is there.
func (w *packWriter) flush(b []byte) error {
	if w.failed == nil {
		w.failed = w.tryFlush(b)
	}
	return w.failed
}

func (w *packWriter) tryFlush(b []byte) error {
	if w.file == nil {
		f, err := w.disk.create(w.path)
		if err != nil {
			return err
		}
		w.file = f
	}
	if _, err := w.file.Write(b); err != nil {
		return fmt.Errorf("write pack: %w", err)
	}
	w.flushed += int64(len(b))
	return nil
}

// add appends one whole entry.
func (w *packWriter) add(id [20]byte, raw []byte) error {
	off := w.end()
	if _, err := w.Write(raw); err != nil {
		return err
	}
	w.record(idxEntry{id, off, crc32.ChecksumIEEE(raw)})
	return nil
}

// record makes an entry whose bytes were written known to readers.
func (w *packWriter) record(e idxEntry) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.byID[e.id] = int32(len(w.entries))
	w.entries = append(w.entries, e)
}

// finish completes the pack, makes it durable and closes it.
func (w *packWriter) finish() (sum [20]byte, size int64, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := len(w.entries)
	h := sha1.New()
	if w.file == nil {
		binary.BigEndian.PutUint32(w.buf[8:], uint32(n))
	} else if err := w.rehash(h, n); err != nil {
		return sum, 0, err
	}
	h.Write(w.buf)
	sum = [20]byte(h.Sum(nil))
	w.buf = append(w.buf, sum[:]...)
	if err := w.flush(w.buf); err != nil {
		return sum, 0, err
	}
	w.buf = w.buf[:0]
	if err := w.file.Sync(); err != nil {
		return sum, 0, err
	}
	return sum, w.flushed, w.close()
}

// rehash writes the true header and hashes what is in the file.
func (w *packWriter) rehash(h hash.Hash, n int) error {
	if _, err := w.file.WriteAt(packHeader(n), 0); err != nil {
		return fmt.Errorf("write pack header: %w", err)
	}
	buf := make([]byte, flushAt)
	if _, err := io.CopyBuffer(h, io.NewSectionReader(w.file, 0, w.flushed), buf); err != nil {
		return fmt.Errorf("hash pack: %w", err)
	}
	return nil
}

func (w *packWriter) close() error {
	if w.file == nil {
		return nil
	}
	f := w.file
	w.file = nil
	return f.Close()
}

// discard removes what was written.
func (w *packWriter) discard() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.file != nil {
		w.close()
	}
	w.disk.remove(w.path)
}

// syncIdxAbove is the size of a pack from which on its index is made durable
// too: making it again at Open would take long.
const syncIdxAbove = 16 << 20

// install moves a finished, durable temporary pack to its name, with its
// index, and adds it to the store. When it returns the pack survives power
// loss. The pack goes first: without an index git does not see it, and Open
// makes a missing index again.
func (s *Store) install(temp string, x *idx, size int64) error {
	name := filepath.Join(s.packDir(), "pack-"+hex.EncodeToString(x.mem.PackfileChecksum[:]))
	if _, err := os.Lstat(name + ".pack"); err == nil && s.hasPack(name) {
		return s.disk.remove(temp) // the same objects were packed before
	}
	tempIdx := temp + ".idx"
	if err := writeFile(s.disk, tempIdx, x.encode(), size > syncIdxAbove); err != nil {
		s.disk.remove(tempIdx)
		return fmt.Errorf("write index: %w", err)
	}
	for _, ext := range []string{".pack", ".idx"} {
		from := temp
		if ext == ".idx" {
			from = tempIdx
		}
		if err := s.disk.rename(from, name+ext); err != nil {
			return err
		}
	}
	if err := s.disk.syncDir(s.packDir()); err != nil {
		return err
	}
	p, err := openPack(s.codec, name, x)
	if err != nil {
		return err
	}
	s.addPack(p)
	return nil
}

func (s *Store) hasPack(name string) bool {
	for _, p := range s.packs() {
		if p.name == name {
			return true
		}
	}
	return false
}

var errNotOpen = errors.New("batch is already committed or discarded")
