package store

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/silvermirror/smfs/backend/object"
)

// A ref is locked, as git does it, by the file "<ref>.lock", which becomes the
// ref by rename. Ours is a hard link to a temporary in smfs-locks/ whose name
// tells the ref: so the next Open knows the locks of a process that died from
// those of a git that runs.

const (
	refTempDir = "smfs-locks"
	// gitLockAge is after how long a lock that is not ours is taken for one
	// that a dead git left: git holds a ref's lock for milliseconds.
	gitLockAge = time.Minute
	lockTries  = 40
	lockPause  = 25 * time.Millisecond
)

// ErrRefLocked says that another program holds a ref's lock.
var ErrRefLocked = errors.New("ref is locked")

type refLock struct {
	refs       *refStore
	path       string
	temp, lock string
	held       bool
}

// lock takes a ref's lock, with the new value already durable in it.
func (r *refStore) lock(name string, value object.CommitID) (*refLock, error) {
	path := r.path(name)
	if err := r.makeParent(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	r.tmp++
	temp := filepath.Join(r.dir, refTempDir, fmt.Sprintf("%s~%d", url.PathEscape(name), r.tmp))
	l := &refLock{refs: r, path: path, temp: temp, lock: path + ".lock"}
	if err := writeFile(r.disk, temp, []byte(value.String()+"\n"), true); err != nil {
		l.release()
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	for try := 0; ; try++ {
		err := r.disk.link(temp, l.lock)
		if err == nil {
			l.held = true
			return l, nil
		}
		if !errors.Is(err, os.ErrExist) || try == lockTries {
			l.release()
			return nil, fmt.Errorf("%w: %s: %w", ErrRefLocked, name, err)
		}
		if !r.breakGitLock(l.lock) {
			time.Sleep(lockPause)
		}
	}
}

// makeParent makes the directory of a ref, durably.
func (r *refStore) makeParent(dir string) error {
	if _, err := os.Lstat(dir); err == nil {
		return nil
	}
	if err := r.disk.mkdirAll(dir); err != nil {
		return err
	}
	for d := filepath.Dir(dir); len(d) > len(r.dir); d = filepath.Dir(d) {
		if err := r.disk.syncDir(d); err != nil {
			return err
		}
	}
	return nil
}

// breakGitLock removes a lock so old that its git must be dead.
func (r *refStore) breakGitLock(lock string) bool {
	info, err := os.Lstat(lock)
	return err == nil && time.Since(info.ModTime()) > gitLockAge && r.disk.remove(lock) == nil
}

// commit makes the lock the ref.
func (l *refLock) commit() error {
	if err := l.refs.disk.rename(l.lock, l.path); err != nil {
		return err
	}
	l.held = false
	return nil
}

// release gives up the lock where it is still held. What cannot be removed
// goes at the next Open.
func (l *refLock) release() {
	if l.held {
		l.refs.disk.remove(l.lock)
		l.held = false
	}
	l.refs.disk.remove(l.temp)
}

// breakStaleLocks removes the locks that a dead process of ours left.
func (r *refStore) breakStaleLocks() error {
	dir := filepath.Join(r.dir, refTempDir)
	if err := r.disk.mkdirAll(dir); err != nil {
		return err
	}
	temps, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("list stale ref locks: %w", err)
	}
	for _, e := range temps {
		temp := filepath.Join(dir, e.Name())
		if err := r.breakStaleLock(temp, e.Name()); err != nil {
			return fmt.Errorf("remove stale ref lock: %w", err)
		}
	}
	return nil
}

func (r *refStore) breakStaleLock(temp, name string) error {
	name, _, _ = strings.Cut(name, "~")
	ref, err := url.PathUnescape(name)
	if err == nil && (ref == packedRefs || checkRef(ref) == nil) {
		lock := r.path(ref) + ".lock"
		ours, err := os.Lstat(temp)
		if err != nil {
			return err
		}
		if held, err := os.Lstat(lock); err == nil && os.SameFile(ours, held) {
			if err := r.disk.remove(lock); err != nil {
				return err
			}
		}
	}
	return r.disk.remove(temp)
}
