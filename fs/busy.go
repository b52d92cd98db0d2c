package fs

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Holder is a process that keeps a mount busy.
type Holder struct {
	PID     int
	Command string
	Path    string // of what it holds
	How     string // "open", "cwd", "root", "program" or "mapped"
}

const (
	// passingTime is how long an unmount waits for who is about to be done.
	passingTime = 2 * time.Second
	passingPoll = 10 * time.Millisecond
)

// maxNamed is how many processes a BusyError's text names.
const maxNamed = 8

// BusyError says that a mount is in use, and by whom as far as this user may
// see. It matches syscall.EBUSY.
type BusyError struct {
	Dir     string
	Holders []Holder
	Mounts  []string // mount points inside
}

func (e *BusyError) Error() string {
	by := named(e.Holders)
	for _, m := range e.Mounts {
		by = append(by, "a mount at "+m)
	}
	if len(by) == 0 {
		by = []string{"a process that this user may not see"}
	}
	return fmt.Sprintf("unmount %s: in use by %s", e.Dir, strings.Join(by, ", "))
}

// named names processes, by one thing that each holds: that tells enough.
func named(holders []Holder) (by []string) {
	last := 0
	for _, h := range holders {
		if h.PID == last {
			continue
		}
		last = h.PID
		by = append(by, fmt.Sprintf("%s (process %d: %s %s)", h.Command, h.PID, h.How, h.Path))
	}
	if n := len(by) - maxNamed; n > 0 {
		by = append(by[:maxNamed], fmt.Sprintf("%d more processes", n))
	}
	return by
}

// Beneath names who may go on changing what a new mount at dir covers, as far as
// this user may see: those who stand in it or have a file of it open for writing,
// from before. dev is the device beneath; the state directory and other commands
// of this program do not count.
func Beneath(dir string, dev uint64) []string {
	self, _ := os.Readlink("/proc/self/exe")
	var found []Holder
	procs, _ := os.ReadDir("/proc")
	for _, p := range procs {
		pid, err := strconv.Atoi(p.Name())
		if err != nil {
			continue
		}
		if exe, err := os.Readlink(procFile(uint32(pid), "exe")); err != nil || exe == self {
			continue
		}
		comm, _ := os.ReadFile(procFile(uint32(pid), "comm"))
		add := func(how, link string) {
			path, ok := coveredBy(dir, dev, link)
			if ok {
				found = append(found, Holder{PID: pid, Command: strings.TrimSpace(string(comm)), Path: path, How: how})
			}
		}
		add("cwd", procFile(uint32(pid), "cwd"))
		fds, _ := os.ReadDir(procFile(uint32(pid), "fd"))
		for _, fd := range fds {
			if opensToWrite(procFile(uint32(pid), "fdinfo/"+fd.Name())) {
				add("open", procFile(uint32(pid), "fd/"+fd.Name()))
			}
		}
	}
	return named(found)
}

// coveredBy tells whether a process's link leads to what the mount at dir covers.
func coveredBy(dir string, dev uint64, link string) (path string, ok bool) {
	path, err := os.Readlink(link)
	in, below := strings.CutPrefix(path, dir+"/")
	if err != nil || path != dir && !below || in == stateDirName || strings.HasPrefix(in, stateDirName+"/") {
		return "", false
	}
	var st unix.Statx_t
	err = unix.Statx(unix.AT_FDCWD, link, unix.AT_STATX_DONT_SYNC, unix.STATX_TYPE, &st)
	return path, err == nil && unix.Mkdev(st.Dev_major, st.Dev_minor) == dev
}

// opensToWrite reads how a descriptor was opened.
func opensToWrite(fdinfo string) bool {
	data, err := os.ReadFile(fdinfo)
	_, rest, ok := strings.Cut(string(data), "flags:")
	if err != nil || !ok {
		return false
	}
	rest, _, _ = strings.Cut(rest, "\n")
	flags, err := strconv.ParseUint(strings.TrimSpace(rest), 8, 64)
	return err == nil && flags&unix.O_PATH == 0 && flags&unix.O_ACCMODE != unix.O_RDONLY
}

// passes tells whether the mount is likely to be free in a moment: nobody who can
// be seen has it, or only commands of this very program, which look into it to
// find the daemon.
func (e *BusyError) passes() bool {
	self, err := os.Readlink("/proc/self/exe")
	if err != nil || len(e.Mounts) > 0 {
		return false
	}
	for _, h := range e.Holders {
		exe, err := os.Readlink(procFile(uint32(h.PID), "exe"))
		if err == nil && exe != self || h.How != "open" {
			return false
		}
	}
	return true
}

// Unwrap is syscall.EBUSY.
func (e *BusyError) Unwrap() error { return syscall.EBUSY }

func newBusyError(dir string, id uint64) *BusyError {
	e := &BusyError{Dir: dir}
	mounts, _ := readMounts() // without them the message says less
	for _, m := range mounts {
		switch id {
		case m.id:
			dir = m.point // without symlinks, as processes' links show it
		case m.parent: // not one that was there before, and is covered
			e.Mounts = append(e.Mounts, m.point)
		}
	}
	procs, _ := os.ReadDir("/proc")
	for _, p := range procs {
		// The daemon's own descriptors are of the directory below the mount.
		if pid, err := strconv.Atoi(p.Name()); err == nil && pid != os.Getpid() {
			e.Holders = append(e.Holders, holds(pid, dir)...)
		}
	}
	return e
}

// MountsBelow lists, as paths in dir, where filesystems are mounted in it.
func MountsBelow(dir string) []string {
	mounts, _ := readMounts() // without them status says less
	return below(mounts, dir)
}

func below(mounts []mountInfo, dir string) []string {
	var paths []string
	for _, m := range mounts {
		if p, ok := strings.CutPrefix(m.point, dir+"/"); ok && !slices.Contains(paths, p) {
			paths = append(paths, p)
		}
	}
	return paths
}

// holds lists what a process has of dir, each path once. It reads link texts
// and never follows one, so nothing of this asks the daemon.
func holds(pid int, dir string) []Holder {
	var found []Holder
	comm, _ := os.ReadFile(procFile(uint32(pid), "comm"))
	add := func(how, path string) {
		path = strings.TrimSuffix(path, " (deleted)")
		if path != dir && !strings.HasPrefix(path, dir+"/") {
			return
		}
		if slices.ContainsFunc(found, func(h Holder) bool { return h.Path == path }) {
			return
		}
		found = append(found, Holder{PID: pid, Command: strings.TrimSpace(string(comm)), Path: path, How: how})
	}
	link := func(how, name string) {
		if to, err := os.Readlink(procFile(uint32(pid), name)); err == nil {
			add(how, to)
		}
	}
	link("cwd", "cwd")
	link("root", "root")
	link("program", "exe")
	fds, _ := filepath.Glob(procFile(uint32(pid), "fd/*"))
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err == nil {
			add("open", to)
		}
	}
	for _, path := range mapped(pid) {
		add("mapped", path)
	}
	return found
}

// mapped lists the files in a process's memory.
func mapped(pid int) []string {
	f, err := os.Open(procFile(uint32(pid), "maps"))
	if err != nil {
		return nil
	}
	defer f.Close()
	var paths []string
	s := bufio.NewScanner(f)
	for s.Scan() {
		if i := strings.IndexByte(s.Text(), '/'); i >= 0 {
			paths = append(paths, s.Text()[i:])
		}
	}
	return paths
}
