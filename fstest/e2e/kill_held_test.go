package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	heldPages = 8
	pageSize  = 4096
)

// holder keeps one file open and mapped while the daemon dies and the next one
// starts, and writes all the time: with passthrough the kernel does not notice
// that nobody serves the mount any more. Each version fills all pages.
type holder struct {
	*load
	name     string
	outlives bool   // the kernel writes by itself: the daemon's death is no excuse
	begun    int    // the last version
	promised []byte // what is there at least: what msync has promised, or was found
	end      atomic.Bool
	ended    sync.WaitGroup
	states   states
	slow     bool // a version took so long that a part of it may be committed
	err      error
}

func (h *holder) path() string { return filepath.Join(h.dir, "held", h.name) }

// page is a page of a version.
func (h *holder) page(version int) []byte {
	line := fmt.Appendf(nil, "%s %d\n", h.name, version)
	return bytes.Repeat(line, pageSize/len(line)+1)[:pageSize]
}

// run writes until it is told to end, or until it fails, which it may once the
// daemon is killed.
func (h *holder) run() {
	opened, err := h.hold()
	if err != nil && (h.outlives && opened || !h.killed.Load()) {
		h.err = fmt.Errorf("held/%s, version %d: %w", h.name, h.begun, err)
	}
}

// release has it close its file and returns when it has.
func (h *holder) release() {
	h.end.Store(true)
	h.ended.Wait()
}

// hold reports whether it has got as far as to need the daemon no more.
func (h *holder) hold() (opened bool, err error) {
	f, err := os.OpenFile(h.path(), os.O_RDWR, 0)
	if err != nil {
		return false, err
	}
	m, err := mapShared(int(f.Fd()), heldPages*pageSize)
	if err != nil {
		return false, errors.Join(err, f.Close())
	}
	for err == nil && !h.end.Load() {
		err = h.write(f, m)
		time.Sleep(time.Millisecond)
	}
	// What a dead daemon does not answer to a close has no meaning.
	if e := errors.Join(f.Close(), unix.Munmap(m)); err == nil && !h.killed.Load() {
		err = e
	}
	return true, err
}

// write makes a version: half of it by the mapping, half by the descriptor.
func (h *holder) write(f *os.File, m []byte) error {
	began := time.Now()
	h.begun++
	page := h.page(h.begun)
	for i := range heldPages / 2 {
		if err := store(m, i*pageSize, page); err != nil {
			return err
		}
	}
	if _, err := f.WriteAt(bytes.Repeat(page, heldPages/2), heldPages/2*pageSize); err != nil {
		return err
	}
	h.slow = h.slow || time.Since(began) > steadyEnough
	if err := unix.Msync(m, unix.MS_SYNC); err != nil {
		return err
	}
	h.promised = bytes.Repeat(page, heldPages)
	return nil
}

// check wants each byte as it was promised or, where the daemon's death came
// between, of the version that was under way.
func (h *holder) check() error {
	if h.err != nil {
		return h.err
	}
	got, err := os.ReadFile(h.path())
	if err != nil {
		return err
	}
	next := bytes.Repeat(h.page(h.begun), heldPages)
	for i := range next {
		if i >= len(got) || got[i] != h.promised[i] && got[i] != next[i] {
			return fmt.Errorf("held/%s: at %d of %d neither what was there nor version %d: %.40q", h.name, i, len(got), h.begun, got[min(i, len(got)):])
		}
	}
	h.promised = got
	h.states.add(got)
	return nil
}

// newHolder makes the file, before anything is killed.
func newHolder(l *load, name string) (*holder, error) {
	h := &holder{load: l, name: name, states: states{}}
	h.promised = bytes.Repeat(h.page(0), heldPages)
	h.states.add(h.promised)
	return h, os.WriteFile(h.path(), h.promised, 0o644)
}
