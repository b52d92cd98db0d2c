package conform

import (
	"bytes"
	"encoding/binary"
	"unsafe"

	"golang.org/x/sys/unix"
)

// become makes the calling thread alone another user's.
func become(who person) error {
	groups := append([]uint32{uint32(who.uid)}, who.groups...)
	if _, _, e := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(unsafe.Pointer(&groups[0])), 0); e != 0 {
		return e
	}
	id := uintptr(who.uid)
	for _, call := range []uintptr{unix.SYS_SETRESGID, unix.SYS_SETRESUID} {
		if _, _, e := unix.RawSyscall(call, id, id, id); e != 0 {
			return e
		}
	}
	return nil
}

// parseEntry takes the first struct linux_dirent64 off.
func parseEntry(b []byte) (e entry, rest []byte) {
	size := int(binary.NativeEndian.Uint16(b[16:]))
	name, _, _ := bytes.Cut(b[19:size], []byte{0})
	return entry{string(name), binary.NativeEndian.Uint64(b), b[18]}, b[size:]
}

func readahead(fd int) error {
	if _, _, e := unix.Syscall(unix.SYS_READAHEAD, uintptr(fd), 0, 4096); e != 0 {
		return e
	}
	return nil
}

// event is what inotify tells.
type event struct {
	wd           int32
	mask, cookie uint32
	name         string
}

// parseEvent takes the first struct inotify_event off.
func parseEvent(b []byte) (e event, rest []byte) {
	end := unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(b[12:]))
	name, _, _ := bytes.Cut(b[unix.SizeofInotifyEvent:end], []byte{0})
	return event{
		wd:     int32(binary.NativeEndian.Uint32(b)),
		mask:   binary.NativeEndian.Uint32(b[4:]),
		cookie: binary.NativeEndian.Uint32(b[8:]),
		name:   string(name),
	}, b[end:]
}
