package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/silvermirror/smfs/backend"
	"github.com/silvermirror/smfs/backend/control"
	"github.com/silvermirror/smfs/fs"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

func (a *app) umountCommand() *cobra.Command {
	var lazy bool
	c := &cobra.Command{
		Use:     "umount [DIR]",
		Aliases: []string{"unmount"},
		Short:   "Unmount, commit what is journaled and end the daemon",
		Long: `Unmount the mirror at DIR, commit what is journaled and end its daemon; the
plain files stay at their paths. It returns when another process may have the
mirror, and fails, naming it, if something could not be committed: that stays
journaled for the next mount. Without a mount it ends an engine that runs in the
background.`,
		Example: `  smfs umount ~/mirror
  smfs umount --lazy ~/mirror               although files in it are open`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: directories,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.umount(cmd.Context(), args, lazy)
		},
	}
	c.Flags().BoolVar(&lazy, "lazy", false, "detach now, even from under open files")
	return c
}

func (a *app) umount(ctx context.Context, args []string, lazy bool) error {
	dir, err := a.mountDir(args)
	if err != nil {
		return err
	}
	if _, err := mountedSocket(dir); errors.Is(err, errStale) {
		a.warn("the daemon of %s had died; its mount is cleaned up", clean(dir))
		return fs.Detach(dir)
	}
	m, err := a.mirrorAt(dir)
	if err != nil {
		return err
	}
	if err := os.Chdir("/"); err != nil { // not to be what keeps it busy
		return err
	}
	mounted, err := a.endEngine(ctx, m, lazy)
	if errors.Is(err, errNoEngine) {
		return backend.WithHint(fmt.Errorf("%s is %w", m.base, errNotMounted), "the files there are plain files; `smfs mount "+m.base+"` mounts")
	}
	if err == nil && !mounted {
		a.warn("%s was not mounted; its engine in the background has ended", clean(m.base))
	}
	return err
}

// endEngine asks the engine to end and waits until it has. It reports whether
// there was a mount.
func (a *app) endEngine(ctx context.Context, m *mirror, lazy bool) (mounted bool, err error) {
	c, err := a.connectRunning(ctx, m)
	if err != nil {
		return false, err
	}
	defer c.Close()
	mounted = c.Hello().Mounted
	if lazy && mounted {
		return true, a.detach(ctx, m, c)
	}
	end, err := c.Shutdown(ctx, control.ShutdownOptions{})
	return mounted, hasEnded(ctx, m, c.Hello().PID, end, err)
}

// hasEnded waits, after a Shutdown, until the engine has ended. It fails with
// what the engine could not commit.
func hasEnded(ctx context.Context, m *mirror, pid int, end control.Ended, err error) error {
	if err != nil && !control.Unavailable(err) {
		return err
	}
	if err := awaitEnd(ctx, m, pid); err != nil {
		return err
	}
	awaitExit(pid)
	if end.Uncommitted != nil {
		return fmt.Errorf("the engine of %s has ended, but not all is committed: %w", m.base, end.Uncommitted)
	}
	return nil
}

// exitTime bounds the wait for the end of a process that has nothing left to do.
const exitTime = 2 * time.Second

// awaitExit waits for the end of a process that has given the mirror back. Until
// then its directory is open, and the disk beneath could not be unmounted.
func awaitExit(pid int) {
	if pid == os.Getpid() {
		return
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return // it is gone
	}
	defer unix.Close(fd)
	limit := time.Now().Add(exitTime)
	for err = unix.EINTR; err == unix.EINTR; {
		left := max(time.Until(limit), 0)
		_, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(left.Milliseconds()))
	}
}

// lazyTime is how long an umount --lazy waits for the daemon to end, once the
// mount is detached, before it leaves it to the last open file.
const lazyTime = time.Second

// detach takes the mount away, from under open files if need be. The daemon
// serves those until the last is closed; that is not waited for.
func (a *app) detach(ctx context.Context, m *mirror, c *control.Client) error {
	ended := make(chan error, 1) // the engine commits and ends even when we have left
	go func() {
		end, err := c.Shutdown(ctx, control.ShutdownOptions{Lazy: true})
		ended <- hasEnded(ctx, m, c.Hello().PID, end, err)
	}()
	tick := time.NewTicker(connectPoll)
	defer tick.Stop()
	var left <-chan time.Time // runs from the detachment on
	for {
		select {
		case err := <-ended:
			return err
		case <-left:
			a.warn("detached; daemon %d ends when the last file it serves is closed", c.Hello().PID)
			return nil
		case <-tick.C:
			if socket, err := mountedSocket(m.base); left == nil && (socket == "" || err != nil) {
				left = time.After(lazyTime)
			}
		}
	}
}
