package node

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ErrLocked says that another process has the mirror.
var ErrLocked = errors.New("in use by another process")

// lockPoll is how often a held lock is tried again: flock(2) cannot be
// cancelled.
const lockPoll = 5 * time.Millisecond

// Holder is what the lock file says about the process that holds it.
type Holder struct {
	PID     int    `json:"pid"`
	BootID  string `json:"boot_id"`
	Socket  string `json:"socket,omitempty"` // "" until the engine listens
	Mounted bool   `json:"mounted,omitempty"`
}

// Lock is the right to run the engine of a mirror. The kernel drops it when
// the process ends, however it ends.
type Lock struct {
	file     *os.File
	boot     string
	previous Holder
}

// Take locks the mirror whose state directory is dir, waiting for its present
// holder until ctx ends; then it fails with ErrLocked. The file is opened at
// once and used through its descriptor from then on, so a mount over the
// directory does not matter.
func Take(ctx context.Context, dir string) (*Lock, error) {
	f, err := os.OpenFile(dir+"/"+lockName, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock: %w", err)
	}
	l := &Lock{file: f, boot: bootID()}
	if err = flock(ctx, f); err == nil {
		err = l.enter()
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return l, nil
}

// enter reads what the previous holder left and puts this one's word in its
// place, durably: an end by power loss must be seen as unclean, too.
func (l *Lock) enter() error {
	var err error
	if l.previous, err = readHolder(l.file); errors.Is(err, errTorn) {
		l.previous, err = Holder{PID: -1}, nil
	}
	if err != nil {
		return err
	}
	if err := l.Announce("", false); err != nil {
		return err
	}
	if err := l.file.Sync(); err != nil {
		return fmt.Errorf("sync the lock: %w", err)
	}
	return nil
}

func flock(ctx context.Context, f *os.File) error {
	tick := time.NewTicker(lockPoll)
	defer tick.Stop()
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, unix.EINTR):
			continue
		case !errors.Is(err, unix.EWOULDBLOCK):
			return fmt.Errorf("lock the mirror: %w", err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("lock the mirror: %w", ErrLocked)
		case <-tick.C:
		}
	}
}

// Previous is the holder before this one, the zero Holder if it ended cleanly
// or there was none. Its PID is -1 where the file's content was torn.
func (l *Lock) Previous() Holder { return l.previous }

// SameBoot reports whether the previous holder ran since the machine booted.
func (l *Lock) SameBoot() bool { return l.boot != "" && l.previous.BootID == l.boot }

// Announce writes into the lock file where the engine can be reached.
func (l *Lock) Announce(socket string, mounted bool) error {
	data, err := json.Marshal(Holder{PID: os.Getpid(), BootID: l.boot, Socket: socket, Mounted: mounted})
	if err != nil {
		return fmt.Errorf("encode the lock: %w", err)
	}
	data = append(data, '\n')
	// Never blank in between: that means a clean end.
	_, err = l.file.WriteAt(data, 0)
	if err == nil {
		err = l.file.Truncate(int64(len(data)))
	}
	if err != nil {
		return fmt.Errorf("write the lock: %w", err)
	}
	return nil
}

// Release gives the lock back after a clean end. Blanks take the place of this
// holder's word: the next one has its room even if the disk is full by then.
func (l *Lock) Release() error {
	info, err := l.file.Stat()
	if err == nil {
		_, err = l.file.WriteAt(bytes.Repeat([]byte(" "), int(info.Size())), 0)
	}
	if err = errors.Join(err, l.file.Close()); err != nil {
		return fmt.Errorf("release the lock: %w", err)
	}
	return nil
}

// Abandon gives the lock back and leaves the word of an unclean end.
func (l *Lock) Abandon() error { return l.file.Close() }

// ReadHolder returns who has the lock of the mirror whose state directory is
// dir, and false if nobody has. A holder without a socket is starting or
// ending. It must not be asked through a mount, where a second lock on the
// same file is granted.
func ReadHolder(dir string) (Holder, bool, error) {
	f, err := os.Open(dir + "/" + lockName)
	if errors.Is(err, os.ErrNotExist) {
		return Holder{}, false, nil
	}
	if err != nil {
		return Holder{}, false, fmt.Errorf("open the lock: %w", err)
	}
	defer f.Close()
	err = unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB)
	if err == nil {
		return Holder{}, false, nil // closing f drops it
	}
	if !errors.Is(err, unix.EWOULDBLOCK) {
		return Holder{}, false, fmt.Errorf("try the lock: %w", err)
	}
	h, err := readHolder(f)
	if errors.Is(err, errTorn) { // it is being written
		err = nil
	}
	return h, true, err
}

// errTorn says that the lock file holds something else than a Holder.
var errTorn = errors.New("torn lock file")

// readHolder reads the content of the lock file; blank is the zero Holder.
func readHolder(f *os.File) (Holder, error) {
	data, err := io.ReadAll(io.NewSectionReader(f, 0, 64<<10))
	if err != nil {
		return Holder{}, fmt.Errorf("read the lock: %w", err)
	}
	var h Holder
	if len(bytes.TrimSpace(data)) == 0 {
		return h, nil
	}
	if json.Unmarshal(data, &h) != nil {
		return Holder{}, errTorn
	}
	return h, nil
}

// bootID names this boot of the machine, "" where the kernel does not say.
func bootID() string {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}
