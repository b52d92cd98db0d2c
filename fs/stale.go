package fs

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ErrHung says that what is mounted does not answer, though it has not died.
var ErrHung = errors.New("the mount does not answer")

// staleAfter is how long Stale waits for an answer.
const staleAfter = 5 * time.Second

// Stale reports whether a dead daemon's mount is attached at dir. A mount whose
// daemon lives, or no mount, is not stale. One that does not answer in 5 s is
// [ErrHung]: its daemon may be stopped.
func Stale(dir string) (bool, error) { return stale(dir, staleAfter) }

func stale(dir string, limit time.Duration) (bool, error) {
	ours, err := isOurs(mountIDOf(dir))
	if err != nil || !ours {
		return false, err
	}
	answer := make(chan error, 1)
	go func() { // ends with the answer: a mount that hangs may never give one
		var st unix.Statfs_t
		answer <- unix.Statfs(dir, &st)
	}()
	timeout := time.NewTimer(limit)
	defer timeout.Stop()
	select {
	case err := <-answer:
		if err == unix.ENOTCONN || err == unix.ECONNABORTED {
			return true, nil
		}
		return false, nil
	case <-timeout.C:
		return false, fmt.Errorf("look at %s: %w", dir, ErrHung)
	}
}

// Detach takes a mount of ours away from dir, whether its daemon lives or not;
// what is in use goes with its last user. No mount of ours: nothing happens.
func Detach(dir string) error {
	ours, err := isOurs(mountIDOf(dir))
	if err != nil || !ours {
		return err
	}
	id, err := newIdentity()
	if err != nil {
		return err
	}
	if err := id.detach(dir, true); err != nil {
		return fmt.Errorf("detach %s: %w", dir, err)
	}
	return nil
}

// isOurs reports whether a mount is one of smfs.
func isOurs(id uint64) (bool, error) {
	if id == 0 {
		return false, nil
	}
	mounts, err := readMounts()
	if err != nil {
		return false, err
	}
	for _, m := range mounts {
		if m.id == id {
			return m.fsType == fsType, nil
		}
	}
	return false, nil
}

// mountInfo is a line of /proc/self/mountinfo.
type mountInfo struct {
	id     uint64
	parent uint64 // the mount that holds the point
	dev    uint64 // of the filesystem, as the kernel has it
	point  string
	fsType string
}

func readMounts() ([]mountInfo, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("read the mounts: %w", err)
	}
	defer f.Close()
	var mounts []mountInfo
	s := bufio.NewScanner(f)
	for s.Scan() {
		if m, ok := parseMount(s.Text()); ok {
			mounts = append(mounts, m)
		}
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("read the mounts: %w", err)
	}
	return mounts, nil
}

// parseMount reads "36 35 98:0 /root /point opts - type source opts".
func parseMount(line string) (mountInfo, bool) {
	head, tail, ok := strings.Cut(line, " - ")
	fields, rest := strings.Fields(head), strings.Fields(tail)
	if !ok || len(fields) < 5 || len(rest) < 1 {
		return mountInfo{}, false
	}
	id, err := strconv.ParseUint(fields[0], 10, 64)
	parent, perr := strconv.ParseUint(fields[1], 10, 64)
	m := mountInfo{id: id, parent: parent, dev: parseDevice(fields[2]), point: unescape(fields[4]), fsType: rest[0]}
	return m, err == nil && perr == nil
}

// parseDevice reads "98:0"; 0: it is none.
func parseDevice(text string) uint64 {
	major, minor, _ := strings.Cut(text, ":")
	a, errA := strconv.ParseUint(major, 10, 12)
	b, errB := strconv.ParseUint(minor, 10, 20)
	if errA != nil || errB != nil {
		return 0
	}
	return a<<20 | b
}

// deviceOf is the device number of a mount's filesystem; 0: it is not known.
func deviceOf(id uint64) uint64 {
	mounts, _ := readMounts() // without them nothing is known
	for _, m := range mounts {
		if m.id == id {
			return m.dev
		}
	}
	return 0
}

// unescape undoes the kernel's \040 for a space and the like.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if c, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(c))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
