package fs

import (
	"bytes"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// watched are the inodes of a mount that somebody watches, as far as this user
// may see it: by inotify, or by fanotify.
type watched struct {
	all    bool // fanotify, of the mount or its filesystem
	inodes map[uint64]bool
}

func (w watched) any() bool { return w.all || len(w.inodes) > 0 }

// has tells whether one of the inodes is watched.
func (w watched) has(inodes ...uint64) bool {
	for _, ino := range inodes {
		if w.inodes[ino] {
			return true
		}
	}
	return w.all
}

// scanWatched asks /proc for all processes' descriptors that watch something. dev
// is the filesystem's device number as mountinfo has it, mount the mount's id there.
func scanWatched(dev, mount uint64) watched {
	w := watched{inodes: make(map[uint64]bool)}
	if dev == 0 {
		return w
	}
	marks := marks{dev: dev, mount: mount}
	procs, err := os.Open("/proc")
	if err != nil {
		return w
	}
	defer procs.Close()
	names, _ := procs.Readdirnames(-1) // without them nothing is watched
	for _, name := range names {
		if name[0] >= '1' && name[0] <= '9' {
			marks.process(name, &w)
		}
	}
	return w
}

// marks reads what a process watches of one filesystem.
type marks struct{ dev, mount uint64 }

// process looks at the descriptors of one process. Link texts are read, none is
// followed.
func (m marks) process(pid string, w *watched) {
	dir, err := os.Open("/proc/" + pid + "/fd")
	if err != nil {
		return // it is gone, or another user's
	}
	defer dir.Close()
	fds, _ := dir.Readdirnames(-1)
	link := make([]byte, 32)
	for _, fd := range fds {
		n, err := unix.Readlinkat(int(dir.Fd()), fd, link)
		if err != nil || !bytes.HasPrefix(link[:n], []byte("anon_inode:")) {
			continue
		}
		if kind := link[len("anon_inode:"):n]; string(kind) != "inotify" && string(kind) != "[fanotify]" {
			continue
		}
		if info, err := os.ReadFile("/proc/" + pid + "/fdinfo/" + fd); err == nil {
			m.parse(string(info), w)
		}
	}
}

// parse reads the lines of a fdinfo: "inotify wd:1 ino:9e sdev:2c mask:fff ...",
// "fanotify ino:9e sdev:2c ...", "fanotify sdev:2c ...", "fanotify mnt_id:1f ...".
func (m marks) parse(info string, w *watched) {
	for line := range strings.Lines(info) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] != "inotify" && fields[0] != "fanotify" {
			continue
		}
		ino, hasIno := hexField(fields, "ino:")
		dev, hasDev := hexField(fields, "sdev:")
		mount, hasMount := hexField(fields, "mnt_id:")
		switch {
		case hasMount && mount == m.mount:
			w.all = true
		case hasDev && dev == m.dev && !hasIno:
			w.all = true
		case hasDev && dev == m.dev:
			w.inodes[ino] = true
		}
	}
}

func hexField(fields []string, key string) (uint64, bool) {
	for _, f := range fields {
		if v, ok := strings.CutPrefix(f, key); ok {
			n, err := strconv.ParseUint(v, 16, 64)
			return n, err == nil
		}
	}
	return 0, false
}
