package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"
	"github.com/silvermirror/smfs/backend"
	"github.com/silvermirror/smfs/backend/control"
	"github.com/silvermirror/smfs/backend/node"
	"golang.org/x/sys/unix"
)

// lockTime is how long an engine without a mount waits for the lock: a moment,
// for a look at it by another process is as short.
const lockTime = 500 * time.Millisecond

// gcPercent has the collector run when the heap has grown by half, not twofold: it
// is what the kernel knows of the mount, which is much where the mirror is large,
// and lives long. GOGC in the environment is stronger.
const gcPercent = 50

// daemon is one process that has a mirror.
type daemon struct {
	app    *app
	mirror *mirror
	mount  *mountOptions // nil: no mount
	idle   time.Duration // 0: never ends by itself
	check  bool          // backend.Options.Check
	repair bool          // backend.Options.Repair
	ready  readiness
	log    *slog.Logger

	tookOver bool // a dead daemon's mount was there until now
	service  bool // a service manager may have started it
}

// run takes the mirror, serves it until it is asked to end, and lets it go.
func (d *daemon) run(ctx context.Context) (err error) {
	defer func() { d.ready.report(err) }() // nothing is reported twice
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	allowFiles()
	// Opened before mounting: from then on the way to the plain files.
	base, err := unix.Open(d.mirror.base, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", d.mirror.base, err)
	}
	defer unix.Close(base)
	state := fmt.Sprintf("/proc/self/fd/%d/%s", base, node.StateDir)

	lock, err := d.takeLock(ctx, state)
	if err != nil {
		return err
	}
	err = d.serve(ctx, engineOptions{
		Base: base, Dir: d.mirror.base, State: state, Lock: lock, Mount: d.mount,
		TookOver: d.tookOver, Check: d.check, Repair: d.repair, Log: d.log,
	})
	if given := node.GiveToOwner(state); given != nil {
		d.log.Warn("root keeps files in the state directory", "error", given)
	}
	if err != nil {
		return errors.Join(err, lock.Abandon())
	}
	d.log.Info("ended")
	return lock.Release()
}

// allowFiles lets root's daemon open as many files as the kernel allows: what programs
// have open in the mount, it has open too. Go has raised that of users as far as may be.
func allowFiles() {
	data, err := os.ReadFile("/proc/sys/fs/nr_open")
	if err != nil {
		return
	}
	most, err := strconv.ParseUint(strings.TrimSpace(string(data)), 10, 64)
	if err == nil {
		_ = unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: most, Max: most}) // root alone may
	}
}

// takeLock takes the mirror; for a mount, from an engine without one. Who was
// faster at that has a mount of its own soon, or ends.
func (d *daemon) takeLock(ctx context.Context, state string) (*node.Lock, error) {
	for {
		if d.mount != nil {
			if err := d.app.handOver(ctx, d.mirror); err != nil {
				return nil, err
			}
		}
		lock, err := takeAtOnce(ctx, state)
		if d.mount == nil || !errors.Is(err, node.ErrLocked) || ctx.Err() != nil {
			return lock, err
		}
	}
}

func takeAtOnce(ctx context.Context, state string) (*node.Lock, error) {
	ctx, cancel := context.WithTimeout(ctx, lockTime)
	defer cancel()
	return node.Take(ctx, state)
}

// serve runs the engine and its control socket. It returns nil after an end
// that was asked for.
func (d *daemon) serve(ctx context.Context, o engineOptions) (err error) {
	if o.Node, err = node.Load(o.State); err != nil {
		return err
	}
	if o.Config, err = loadConfig(d.mirror.configFile()); err != nil {
		return err
	}
	listener, err := control.Listen(control.SocketDirs(o.Node.Mirror, unix.Geteuid(), d.app.env))
	if err != nil {
		return err
	}
	defer listener.Close()
	o.Socket = listener.Addr().String()
	eng, err := startEngine(o)
	if err != nil {
		return err
	}
	if err = o.Lock.Announce(o.Socket, d.mount != nil); err == nil {
		d.log.Info("serving", "mirror", o.Dir, "socket", o.Socket, "mounted", d.mount != nil)
		d.ready.report(nil)
		d.tellService(systemd.SdNotifyReady)
		s := &served{daemon: d, engine: eng}
		err = s.run(ctx, listenOptions{listener, o.Node.Mirror})
	}
	return errors.Join(err, eng.Close())
}

// tellService tells systemd, if it waits for that, how far the daemon is.
func (d *daemon) tellService(state string) {
	if !d.service {
		return
	}
	if _, err := systemd.SdNotify(false, state); err != nil {
		d.log.Warn("systemd was not told", "state", state, "error", err)
	}
}

// handOver asks an engine without a mount to end, and waits until it has.
func (a *app) handOver(ctx context.Context, m *mirror) error {
	for {
		c, err := a.connectRunning(ctx, m)
		if errors.Is(err, errNoEngine) {
			return nil
		}
		if err != nil {
			return err
		}
		pid := c.Hello().PID
		_, err = c.Shutdown(ctx, control.ShutdownOptions{Handover: true}) // what it leaves is this one's to commit
		c.Close()
		if err != nil && !control.Unavailable(err) {
			return err
		}
		limited, cancel := context.WithTimeout(ctx, connectTime)
		err = awaitEnd(limited, m, pid)
		cancel()
		if err != nil {
			return backend.WithHint(err, "close what is still open in the mount that was there; the log, "+m.state()+"/"+logName+", may say more")
		}
	}
}

// mountedError says that a mirror is mounted already.
func mountedError(m *mirror) error {
	return backend.WithHint(fmt.Errorf("%s is %w", m.base, errMounted), "`smfs status` shows it, `smfs umount` ends it")
}
