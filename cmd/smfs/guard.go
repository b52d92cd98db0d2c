package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/silvermirror/smfs/fs"
	"golang.org/x/sys/unix"
)

// patience is how long a look at a file may take. A mount whose daemon is
// stopped answers nothing, and a system call that waits for it cannot be
// cancelled.
const patience = 5 * time.Second

// guarded runs a look at the filesystem at path and gives up, leaving it
// behind, when it does not come back.
func guarded[T any](path string, limit time.Duration, look func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		v, err := look()
		done <- result{v, err}
	}()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case r := <-done:
		return r.value, r.err
	case <-timer.C:
		var none T
		return none, fmt.Errorf("%s: no answer within %v: %w", path, limit, fs.ErrHung)
	}
}

// stale reports whether err is what a mount gives whose daemon has died.
func stale(err error) bool {
	return errors.Is(err, syscall.ENOTCONN) || errors.Is(err, syscall.ECONNABORTED)
}

// Locations in a mount, known without asking the engine.
const (
	controlFile = ".smfs/control"
	fuseMagic   = 0x65735546
)

// mountedSocket returns the socket of the engine mounted at base, "" if base
// is no mount of smfs, errStale if its daemon has died.
func mountedSocket(base string) (string, error) {
	return guarded(base, patience, func() (string, error) {
		var st unix.Statfs_t
		err := unix.Statfs(base, &st)
		if stale(err) {
			return "", fmt.Errorf("%s: %w", base, errStale)
		}
		if err != nil || st.Type != fuseMagic {
			return "", nil
		}
		data, err := os.ReadFile(filepath.Join(base, controlFile))
		if stale(err) {
			return "", fmt.Errorf("%s: %w", base, errStale)
		}
		if err != nil { // a foreign FUSE filesystem around an unmounted mirror
			return "", nil
		}
		return strings.TrimSpace(string(data)), nil
	})
}
