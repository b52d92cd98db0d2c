package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"syscall"

	"github.com/silvermirror/smfs/backend"
	"github.com/silvermirror/smfs/backend/node"
	"golang.org/x/sys/unix"
)

const (
	logName  = "smfs.log"
	logLimit = 8 << 20 // bytes after which a log is put aside at the next start

	// readyVariable names, in a daemon's environment, the descriptor on which
	// it reports that it serves.
	readyVariable = "SMFS_READY_FD"
)

// spawn starts this program as a daemon of the mirror and returns when it
// serves, or with the reason why it does not. The daemon has a session of its
// own, "/" as its working directory, and none of the caller's descriptors.
func (a *app) spawn(ctx context.Context, m *mirror, args []string) error {
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find the smfs program: %w", err)
	}
	log, err := openLog(m.state())
	if err != nil {
		return err
	}
	defer log.Close()
	ready, report, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("make the readiness pipe: %w", err)
	}
	defer ready.Close()
	// What the caller's shell left open must not live on in the daemon.
	if err := unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC); err != nil && !errors.Is(err, unix.ENOSYS) {
		report.Close()
		return fmt.Errorf("keep descriptors from the daemon: %w", err)
	}
	cmd := exec.Command(exe, args...)
	cmd.Args[0] = "smfs"
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), readyVariable+"=3")
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{report}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	report.Close()
	if err != nil {
		return fmt.Errorf("start the daemon: %w", err)
	}
	return awaitReady(ctx, cmd, ready, m)
}

// awaitReady reads the daemon's report. If ctx ends first the daemon is told
// to end.
func awaitReady(ctx context.Context, cmd *exec.Cmd, ready *os.File, m *mirror) error {
	stop := context.AfterFunc(ctx, func() { cmd.Process.Signal(syscall.SIGTERM) })
	defer stop()
	data, err := io.ReadAll(ready)
	if err == nil && string(data) == "ok" {
		return cmd.Process.Release()
	}
	waitErr := cmd.Wait() // it has closed the pipe, so it ends
	var failed childError
	if json.Unmarshal(data, &failed) == nil && failed.Message != "" {
		return &failed
	}
	return backend.WithHint(fmt.Errorf("the daemon ended during its start: %w", errors.Join(waitErr, err)),
		"look into "+m.state()+"/"+logName)
}

// openLog opens the daemon's log for appending; a large one is put aside.
func openLog(state string) (*os.File, error) {
	path := state + "/" + logName
	if info, err := os.Stat(path); err == nil && info.Size() > logLimit {
		if err := os.Rename(path, path+".1"); err != nil {
			return nil, fmt.Errorf("put the log aside: %w", err)
		}
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the log: %w", err)
	}
	return f, nil
}

// readiness is a daemon's end of the pipe. The zero value, of a daemon that
// nobody waits for, drops what it is told.
type readiness struct{ pipe *os.File }

// takeReadiness takes the pipe out of the environment, so that no child of the
// daemon gets it.
func takeReadiness() readiness {
	fd, err := strconv.Atoi(os.Getenv(readyVariable))
	os.Unsetenv(readyVariable)
	if err != nil {
		return readiness{}
	}
	unix.CloseOnExec(fd)
	return readiness{os.NewFile(uintptr(fd), "ready")}
}

// report tells the parent that the daemon serves, or why not, once.
func (r *readiness) report(err error) {
	if r.pipe == nil {
		return
	}
	data := []byte("ok")
	if err != nil {
		e := childError{exitCode(err), err.Error(), hintFor(err), errors.Is(err, node.ErrLocked)}
		data, _ = json.Marshal(e) // strings, a number, a bool
	}
	_, _ = r.pipe.Write(data) // a parent that is gone does not matter
	r.pipe.Close()
	r.pipe = nil
}

// spawnEngine starts an engine without a mount, which ends when idle. flags are
// those of the command engine.
func (a *app) spawnEngine(ctx context.Context, m *mirror, flags ...string) error {
	if _, err := node.Load(m.state()); err != nil {
		if errors.Is(err, node.ErrNotMirror) {
			return backend.WithHint(fmt.Errorf("%s: %w", m.base, err), "`smfs init "+m.base+"` completes it")
		}
		return err
	}
	return a.spawn(ctx, m, slices.Concat(m.flags(), []string{"engine", m.base}, flags))
}

// flags are the global flags that lead another process to the mirror.
func (m *mirror) flags() []string {
	if m.config == "" {
		return nil
	}
	return []string{"-c", m.config}
}
