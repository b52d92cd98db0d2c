package fstest

import (
	"bytes"
	"encoding/binary"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// Watcher is a program that watches files and directories by inotify.
type Watcher struct {
	t     testing.TB
	fd    int
	names map[int32]string
	heard []string
}

// Watch watches names in a directory until the end of the test.
func Watch(t testing.TB, dir string, names ...string) *Watcher {
	t.Helper()
	w := &Watcher{t: t, names: map[int32]string{}}
	var err error
	if w.fd, err = unix.InotifyInit1(unix.IN_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	for _, name := range names {
		wd, err := unix.InotifyAddWatch(w.fd, filepath.Join(dir, name), unix.IN_ALL_EVENTS)
		if err != nil {
			t.Fatalf("watch %s: %v", name, err)
		}
		w.names[int32(wd)] = name
	}
	return w
}

// Close ends all watches.
func (w *Watcher) Close() {
	if w.fd >= 0 {
		unix.Close(w.fd)
		w.fd = -1
	}
}

// Hears waits until the program has been told of all that, in this order; it may
// hear of more in between. "d create f" is the creation of f in the watched
// directory d, "d create f/" that of a directory, "f attrib" a change of what is
// watched itself.
func (w *Watcher) Hears(want ...string) {
	w.t.Helper()
	for _, event := range want {
		for !slices.Contains(w.heard, event) {
			w.read()
		}
		w.heard = w.heard[slices.Index(w.heard, event)+1:]
	}
}

// eventNames are those that Hears knows.
var eventNames = map[uint32]string{
	unix.IN_CREATE: "create", unix.IN_MODIFY: "modify", unix.IN_CLOSE_WRITE: "close_write", unix.IN_ATTRIB: "attrib",
	unix.IN_DELETE: "delete", unix.IN_DELETE_SELF: "delete_self", unix.IN_MOVED_FROM: "moved_from", unix.IN_MOVED_TO: "moved_to",
}

// read waits for events.
func (w *Watcher) read() {
	w.t.Helper()
	buf := make([]byte, 16<<10)
	n, err := unix.Read(w.fd, buf)
	if err == unix.EINTR {
		return
	}
	if err != nil {
		w.t.Fatalf("read events: %v", err)
	}
	for buf = buf[:n]; len(buf) > 0; {
		word := func(i int) uint32 { return binary.NativeEndian.Uint32(buf[4*i:]) }
		wd, mask, size := int32(word(0)), word(1), word(3)
		name := string(bytes.TrimRight(buf[16:16+size], "\x00"))
		buf = buf[16+size:]
		event := w.names[wd] + " " + eventNames[mask&^unix.IN_ISDIR]
		if name != "" {
			event += " " + name
		}
		if name != "" && mask&unix.IN_ISDIR != 0 {
			event += "/"
		}
		w.heard = append(w.heard, event)
	}
}
