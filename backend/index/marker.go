package index

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	markerSuffix  = ".open"
	openingSuffix = ".opening"
)

// beginOpening reports ErrDamaged if a process died while it opened the file. What
// checkFile has missed would end each one.
func beginOpening(file string) error {
	was, err := os.ReadFile(file + openingSuffix)
	if err == nil && !isAlive(string(was)) {
		return fmt.Errorf("a process died while it opened the file: %w", ErrDamaged)
	}
	return os.WriteFile(file+openingSuffix, []byte(strconv.Itoa(os.Getpid())), 0o600)
}

func endOpening(file string) { _ = os.Remove(file + openingSuffix) }

// isAlive tells whether there is a process of that number, other than this one.
func isAlive(pid string) bool {
	n, err := strconv.Atoi(pid)
	return err == nil && n != os.Getpid() && unix.Kill(n, 0) == nil
}

// checkMarker reports ErrDamaged if file was not closed and the page cache it
// was written to is gone: another boot, or its filesystem mounted anew.
func checkMarker(file string) error {
	was, err := os.ReadFile(file + markerSuffix)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) {
		return nil // there is nothing to distrust
	}
	now, err := cacheID(filepath.Dir(file))
	if err != nil {
		return err
	}
	if now == "" || string(was) != now {
		return fmt.Errorf("not closed before the machine or its filesystem went down: %w", ErrDamaged)
	}
	return nil
}

// writeMarker makes the marker durable before anything is written unsynced.
func writeMarker(file string) error {
	id, err := cacheID(filepath.Dir(file))
	if err != nil {
		return err
	}
	f, err := os.OpenFile(file+markerSuffix, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(id)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return syncDir(filepath.Dir(file))
}

// distrust makes the next Open report ErrDamaged.
func distrust(file string) error {
	return os.WriteFile(file+markerSuffix, []byte("damaged\n"), 0o600)
}

func removeMarker(file string) error {
	if err := os.Remove(file + markerSuffix); err != nil {
		return fmt.Errorf("close index: %w", err)
	}
	return syncDir(filepath.Dir(file))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// cacheID names the page cache that writes below dir go to: the boot, and the
// mount where the kernel numbers mounts uniquely. "" where it cannot be told.
func cacheID(dir string) (string, error) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return "", err
	}
	defer d.Close()
	var st unix.Statx_t
	err = unix.Statx(int(d.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID_UNIQUE, &st)
	if err != nil || st.Mask&unix.STATX_MNT_ID_UNIQUE == 0 {
		return strings.TrimSpace(string(boot)) + "\n", nil
	}
	return fmt.Sprintf("%s %d\n", strings.TrimSpace(string(boot)), st.Mnt_id), nil
}
