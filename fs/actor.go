package fs

import (
	"bytes"
	"context"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"github.com/silvermirror/smfs/journal"
)

const (
	actorsKept = 256
	actorTTL   = 2 * time.Second // a process may call exec, and a number be used again
)

// actors tells who is behind a request. It remembers the names of the most
// recent callers: a program that writes many files is looked at once.
type actors struct {
	now func() time.Time

	mu   sync.Mutex // guards seen
	seen map[uint32]actorEntry
}

type actorEntry struct {
	pid     uint32
	command string
	until   time.Time
}

// of is the actor of a request.
func (a *actors) of(ctx context.Context) journal.Actor {
	c, ok := fuse.FromContext(ctx)
	if !ok {
		return journal.Actor{}
	}
	e := a.entry(c.Pid)
	return journal.Actor{UID: c.Uid, PID: e.pid, Command: e.command}
}

// entry looks a thread up: FUSE passes the thread's id, not the process's.
func (a *actors) entry(tid uint32) actorEntry {
	if tid == 0 {
		return actorEntry{}
	}
	now := a.now()
	a.mu.Lock()
	e, ok := a.seen[tid]
	a.mu.Unlock()
	if ok && now.Before(e.until) {
		return e
	}
	e = readActor(tid)
	e.until = now.Add(actorTTL)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.seen == nil || len(a.seen) >= actorsKept {
		a.seen = make(map[uint32]actorEntry)
	}
	a.seen[tid] = e
	return e
}

// readActor asks /proc for the process of a thread and the name of its program.
func readActor(tid uint32) actorEntry {
	e := actorEntry{pid: tid}
	status, err := os.ReadFile(procFile(tid, "status"))
	if err != nil {
		return e
	}
	e.command = statusField(status, "Name:")
	pid, err := strconv.ParseUint(statusField(status, "Tgid:"), 10, 32)
	if err != nil || uint32(pid) == tid {
		return e
	}
	e.pid = uint32(pid)
	if comm, err := os.ReadFile(procFile(e.pid, "comm")); err == nil {
		e.command = string(bytes.TrimSuffix(comm, []byte("\n")))
	}
	return e
}

func procFile(pid uint32, name string) string {
	return "/proc/" + strconv.FormatUint(uint64(pid), 10) + "/" + name
}

// statusField is the value of a line of /proc/PID/status.
func statusField(status []byte, field string) string {
	for line := range bytes.Lines(status) {
		if v, ok := bytes.CutPrefix(line, []byte(field)); ok {
			return string(bytes.TrimSpace(v))
		}
	}
	return ""
}
