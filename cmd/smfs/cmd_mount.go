package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/silvermirror/smfs/backend"
	"github.com/silvermirror/smfs/fs"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

func (a *app) mountCommand() *cobra.Command {
	var o mountOptions
	var list []string
	var foreground, tookOver bool
	c := &cobra.Command{
		Use:   "mount [DIR]",
		Short: "Mount a mirror over its own directory",
		Long: `Mount the mirror at DIR over its own directory, and return once it serves; a
daemon in the background goes on. From then on every change in it is journaled,
committed and carried to the peers. A DIR that is no mirror becomes one, as by
"smfs init". The mount of a daemon that died is cleaned up first.

The daemon writes its log to DIR/.silvermirror/smfs.log.

Options after -o, by commas: those of every filesystem (ro, noexec, suid, dev,
noatime ...) and
  allow_other      let other users in, within the permissions of the files; an
                   ordinary user needs user_allow_other in /etc/fuse.conf
  no_passthrough   move all data through the daemon, as is done without root
  fsname=NAME      what tables of mounts show as the device
  remount          give what is mounted other generic options, as root: all
                   that are to hold

After "make install", mount(8) and /etc/fstab know it, too:
  /srv/mirror  /srv/mirror  smfs  allow_other,nofail  0  0
and systemd mounts a user's mirror at login:
  systemctl --user enable --now smfs@$(systemd-escape --path ~/mirror)`,
		Example: `  smfs mount ~/mirror
  smfs mount -o allow_other /srv/mirror
  smfs mount --foreground /srv/mirror       for a service manager`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: directories,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.parse(list); err != nil {
				return err
			}
			if o.remount {
				return a.remount(args, &o)
			}
			if foreground {
				return a.mountForeground(cmd.Context(), args, &daemon{mount: &o, tookOver: tookOver})
			}
			return a.mountInBackground(cmd.Context(), args, &o)
		},
	}
	flags := c.Flags()
	flags.BoolVar(&foreground, "foreground", false, "stay in the foreground, log to standard error")
	flags.BoolVar(&tookOver, "took-over", false, "a dead daemon's mount was there until now")
	if err := flags.MarkHidden("took-over"); err != nil { // the flag is there
		panic(err)
	}
	flags.StringArrayVarP(&list, "options", "o", nil, "mount `OPTIONS`, separated by commas")
	flags.BoolVar(&o.noPassthrough, "no-passthrough", false, "as -o no_passthrough")
	flags.BoolVar(&o.allowOther, "allow-other", false, "as -o allow_other")
	return c
}

// mountInBackground starts a daemon that mounts.
func (a *app) mountInBackground(ctx context.Context, args []string, o *mountOptions) error {
	m, tookOver, err := a.prepareMount(args, o)
	if err != nil {
		return err
	}
	argv := append(m.flags(), "mount", "--foreground")
	if tookOver {
		argv = append(argv, "--took-over")
	}
	var base unix.Stat_t
	statErr := unix.Stat(m.base, &base)
	if err := a.spawn(ctx, m, append(append(argv, o.args()...), "--", m.base)); err != nil {
		return err
	}
	if statErr != nil {
		return nil // then it is somewhere else than the daemon thinks
	}
	if by := fs.Beneath(m.base, base.Dev); len(by) > 0 {
		a.warn("beneath the mount, where changes go unnoticed until the next mount: %s\nhint: `cd %s` there again, and open files anew",
			clean(strings.Join(by, ", ")), m.base)
	}
	return nil
}

// remount changes the options of the mount that is there.
func (a *app) remount(args []string, o *mountOptions) error {
	dir, err := a.mountDir(args)
	if err != nil {
		return err
	}
	socket, err := mountedSocket(dir)
	if err != nil {
		return err
	}
	if socket == "" {
		return backend.WithHint(fmt.Errorf("%s is %w", clean(dir), errNotMounted), "`smfs mount "+dir+"` mounts it")
	}
	return fs.Remount(dir, o.flags)
}

// mountForeground mounts in this process, be it the daemon or one that a
// service manager started.
func (a *app) mountForeground(ctx context.Context, args []string, d *daemon) error {
	d.app, d.ready, d.log = a, takeReadiness(), newLog(a.stderr)
	d.service = d.ready.pipe == nil
	m, tookOver, err := a.prepareMount(args, d.mount)
	if err != nil {
		d.ready.report(err)
		return err
	}
	d.mirror, d.tookOver = m, d.tookOver || tookOver
	return d.run(ctx)
}

// prepareMount finds or makes the mirror and sees that nothing is in the way.
// It reports whether it cleaned up the mount of a daemon that died.
func (a *app) prepareMount(args []string, o *mountOptions) (m *mirror, tookOver bool, err error) {
	dir, err := a.mountDir(args)
	if err != nil {
		return nil, false, err
	}
	if err := errors.Join(o.checkSource(dir), a.checkHome(dir)); err != nil {
		return nil, false, err
	}
	socket, err := mountedSocket(dir)
	if errors.Is(err, errStale) {
		tookOver = true
		a.warn("cleaning up the mount of a daemon that died at %s", clean(dir))
		err = fs.Detach(dir)
	}
	if err != nil {
		return nil, false, err
	}
	dir = resolve(dir)
	m = &mirror{base: dir}
	if socket != "" {
		return nil, false, mountedError(m)
	}
	n, created, err := a.createMirror(dir, "")
	if err != nil {
		return nil, false, err
	}
	if created {
		a.warn("made %s a mirror, node %s", clean(dir), n.Name)
	}
	m, err = a.withConfig(m)
	return m, tookOver, err
}

// resolve follows symbolic links: a mount point is best known by the name that
// the kernel has for it. The directory itself need not exist.
func resolve(dir string) string {
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		return real
	}
	if parent, err := filepath.EvalSymlinks(filepath.Dir(dir)); err == nil {
		return filepath.Join(parent, filepath.Base(dir))
	}
	return dir // what is wrong with it shows when it is opened
}

// mountDir is the directory to mount: the argument, or the mirror that the
// global flags or the working directory lead to.
func (a *app) mountDir(args []string) (string, error) {
	named := a.dir
	if len(args) > 0 {
		named = args[0]
	}
	if named != "" {
		return a.abs(named)
	}
	m, err := a.locate()
	if err != nil {
		return "", err
	}
	return m.base, nil
}

// checkHome refuses a mirror at the user's home directory or one above it:
// with a mount over it, sshd could not read authorized_keys, nor a shell its
// profile, when the daemon does not run.
func (a *app) checkHome(dir string) error {
	home := a.env("HOME")
	if home == "" {
		return nil
	}
	_, covers := below(dir, filepath.Clean(home))
	if !covers && !sameDir(dir, home) {
		return nil
	}
	return backend.WithHint(fmt.Errorf("a mirror at %s, the home directory or one above it: %w", dir, backend.ErrRefused),
		"choose a directory in it: `smfs mount "+filepath.Join(home, "mirror")+"`")
}
