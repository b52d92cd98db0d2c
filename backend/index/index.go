package index

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"
)

var (
	// ErrDamaged: the file cannot be trusted or is of a newer format. Remove
	// it and build it anew.
	ErrDamaged = errors.New("index is damaged")
	// ErrLocked: another process has it open.
	ErrLocked = errors.New("index is in use by another process")
	// ErrInvalid: a name, id or kind that no node can have.
	ErrInvalid = errors.New("invalid node")
	// ErrExists: the slot, or the directory's id, is taken.
	ErrExists = errors.New("already in the index")
	// ErrNotFound: there is no such node.
	ErrNotFound = errors.New("not in the index")
	// ErrNotEmpty: the directory has children.
	ErrNotEmpty = errors.New("directory has children in the index")
	// ErrLoop: a directory cannot move below itself.
	ErrLoop = errors.New("directory would be below itself")
)

const format = 1

// mapSize is how much address space the file is mapped into at first: growing
// beyond it waits for every View to end.
const mapSize = 1 << 30

// lockWait is how long Open waits for another process to let go.
const lockWait = 2 * time.Second

// Index is an open index. It is safe for concurrent use.
type Index struct {
	file    string
	db      *bolt.DB
	raw     *os.File // db's own, to be closed where db cannot be
	damaged atomic.Bool

	accesses atomic.Uint64 // for trim
}

// trimEvery is after how many accesses the pages of the file that are mapped are
// let go. They stay in the kernel's cache, and cost nothing to map again; but all
// that were ever looked at would count as memory of the process.
const trimEvery = 1024

// accessed counts one access.
func (tx *Tx) accessed() {
	if tx.ix.accesses.Add(1)%trimEvery == 0 {
		tx.trim()
	}
}

// trim lets all go. A transaction that is not over keeps the mapping where it is.
func (tx *Tx) trim() {
	_, _, _ = unix.Syscall(unix.SYS_MADVISE, tx.ix.db.Info().Data, uintptr(tx.b.Size()), unix.MADV_DONTNEED)
}

// Open opens or makes the index in file, making its directory. ErrDamaged,
// ErrLocked.
func Open(file string) (*Index, error) {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return nil, fmt.Errorf("open index: %w", err)
	}
	if err := checkMarker(file); err != nil {
		return nil, fmt.Errorf("open index %s: %w", file, err)
	}
	ix := &Index{file: file}
	if err := beginOpening(file); err != nil {
		return nil, fmt.Errorf("open index %s: %w", file, err)
	}
	err := guard(ix.open)
	endOpening(file)
	if err == nil {
		err = writeMarker(file)
	}
	if err != nil {
		ix.abandon()
		return nil, fmt.Errorf("open index %s: %w", file, err)
	}
	return ix, nil
}

func (ix *Index) open() error {
	db, err := bolt.Open(ix.file, 0o600, &bolt.Options{
		Timeout:         lockWait,
		NoSync:          true,
		NoGrowSync:      true,
		NoFreelistSync:  true,
		NoStatistics:    true,
		FreelistType:    bolt.FreelistMapType,
		InitialMmapSize: mapSize,
		OpenFile:        ix.openFile,
	})
	switch {
	case errors.Is(err, ErrDamaged):
		return err
	case errors.Is(err, berrors.ErrTimeout):
		return ErrLocked
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrVersionMismatch), errors.Is(err, berrors.ErrChecksum):
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	case err != nil && isShort(ix.file):
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	case err != nil:
		return err
	}
	ix.db = db
	if err := ix.check(); err != nil {
		return err
	}
	return ix.weigh()
}

// weigh counts the bytes of the files where that was not done yet.
func (ix *Index) weigh() error {
	unweighed := false
	if err := ix.View(func(tx *Tx) error {
		unweighed = tx.unweighed
		return nil
	}); err != nil || !unweighed {
		return err
	}
	return ix.Update(func(tx *Tx) error {
		tx.counts.bytes, tx.dirty = 0, true
		return tx.All(func(n Node) error {
			tx.counts.bytes += uint64(weight(&n))
			return nil
		})
	})
}

// openFile opens, locks and checks the file for bbolt, which locks it again.
func (ix *Index) openFile(name string, flag int, mode os.FileMode) (*os.File, error) {
	f, err := os.OpenFile(name, flag, mode)
	if err != nil {
		return nil, err
	}
	ix.raw = f
	for begin := time.Now(); ; time.Sleep(lockWait / 40) {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			break
		}
		if errors.Is(err, unix.EWOULDBLOCK) && time.Since(begin) > lockWait {
			return nil, berrors.ErrTimeout
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return nil, fmt.Errorf("lock: %w", err)
		}
	}
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return f, checkFile(f, st.Size())
}

// isShort reports whether a file has bytes but not even bbolt's first pages.
func isShort(file string) bool {
	st, err := os.Stat(file) // bbolt has closed its own
	return err == nil && st.Size() > 0 && st.Size() < int64(4*os.Getpagesize())
}

// check makes the buckets of a new file, and looks at the format of an old one.
func (ix *Index) check() error {
	err := ix.db.View(checkFormat)
	if errors.Is(err, errNew) {
		return ix.db.Update(makeBuckets)
	}
	return err
}

// guard turns a panic of bbolt and a fault in its mapping into ErrDamaged:
// bbolt trusts the bytes it maps.
func guard(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", ErrDamaged, r)
		}
	}()
	return fn()
}

// Update calls fn with a writable transaction. If fn returns nil all of it
// takes effect at once, else nothing.
func (ix *Index) Update(fn func(*Tx) error) error { return ix.run(true, fn) }

// View calls fn with a transaction for reading.
func (ix *Index) View(fn func(*Tx) error) error { return ix.run(false, fn) }

func (ix *Index) run(writable bool, fn func(*Tx) error) error {
	if ix.damaged.Load() {
		return fmt.Errorf("index %s: %w", ix.file, ErrDamaged)
	}
	var tx *Tx
	err := guard(func() (err error) {
		tx, err = ix.begin(writable)
		return err
	})
	if err != nil {
		return ix.failed(err)
	}
	ended := false
	defer func() {
		if !ended { // fn panicked
			_ = ix.failed(guard(func() error { return tx.end(writable, false) }))
		}
	}()
	err = fn(tx)
	if tx.damage != nil {
		err = tx.damage
	}
	ended = true
	if e := guard(func() error { return tx.end(writable, err == nil) }); e != nil {
		err = errors.Join(err, e)
	}
	if err == nil && writable && tx.changed() >= trimEvery { // bbolt has looked at each page that was replaced
		_ = ix.View(func(after *Tx) error { after.trim(); return nil }) // the changes are there; damage is met again
	}
	return ix.failed(err)
}

// end commits or drops the changes. Rolling back makes bbolt walk over all pages to
// find the free ones again; it has seen none of what is dropped, and so commits
// that.
func (tx *Tx) end(writable, ok bool) error {
	switch {
	case !writable:
		return tx.b.Rollback()
	case ok:
		if err := tx.flush(); err != nil {
			return errors.Join(err, tx.b.Rollback())
		}
	}
	if err := tx.b.Commit(); err != nil {
		return fmt.Errorf("commit transaction of index: %w", err)
	}
	return nil
}

// failed remembers damage, also for the next Open: whatever comes after would
// make it worse.
func (ix *Index) failed(err error) error {
	if errors.Is(err, ErrDamaged) {
		if !ix.damaged.Swap(true) {
			_ = distrust(ix.file) // what found the damage now would find it again
		}
		return fmt.Errorf("index %s: %w", ix.file, err)
	}
	return err
}

// Close writes everything to stable storage, so that the next Open is fast and
// trusts the file even after a reboot. Call it once.
func (ix *Index) Close() error {
	if ix.damaged.Load() {
		ix.abandon()
		return nil
	}
	err := guard(func() error {
		ix.db.NoFreelistSync = false // saves the next Open a walk over all pages
		if err := ix.db.Update(func(*bolt.Tx) error { return nil }); err != nil {
			return err
		}
		return errors.Join(ix.db.Sync(), ix.db.Close())
	})
	if err != nil {
		ix.abandon()
		return fmt.Errorf("close index %s: %w", ix.file, err)
	}
	return removeMarker(ix.file)
}

// CloseUnsynced closes without a promise: the next Open trusts the file within
// this boot alone. Call it once, instead of Close.
func (ix *Index) CloseUnsynced() error {
	if ix.damaged.Load() {
		ix.abandon()
		return nil
	}
	if err := guard(ix.db.Close); err != nil {
		ix.abandon()
		return fmt.Errorf("close index %s: %w", ix.file, err)
	}
	return nil
}

// abandon closes the file under bbolt, which after a panic may never give its
// own locks back; the mapping stays until the process ends, and would keep the
// file locked.
func (ix *Index) abandon() {
	if ix.raw != nil {
		_ = unix.Flock(int(ix.raw.Fd()), unix.LOCK_UN)
		_ = ix.raw.Close()
	}
}

// Remove deletes an index that nobody has open; a missing one is no error.
func Remove(file string) error {
	for _, name := range []string{file, file + markerSuffix, file + openingSuffix} {
		if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove index: %w", err)
		}
	}
	return nil
}
