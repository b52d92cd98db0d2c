package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/silvermirror/smfs/backend"
	"github.com/silvermirror/smfs/backend/control"
	"github.com/silvermirror/smfs/backend/node"
	"github.com/silvermirror/smfs/config"
)

// mirror is where a command's mirror is.
type mirror struct {
	base   string // the base directory, absolute
	config string // its config file, "" for the one in its state directory
}

func (m *mirror) state() string { return m.base + "/" + node.StateDir }

// configFile is where the mirror's config is read from, absolute.
func (m *mirror) configFile() string {
	if m.config != "" {
		return m.config
	}
	return m.state() + "/" + node.ConfigName
}

// locate finds the mirror of a command; args are its PATH arguments. Nothing
// is created.
func (a *app) locate(args ...string) (*mirror, error) {
	if a.dir != "" {
		return a.mirrorAt(a.dir)
	}
	if a.config != "" {
		return a.mirrorOf(a.config)
	}
	if a.env("SMFS_CONFIG") == "" { // which goes before the working directory
		args = append(slices.Clone(args), ".")
	}
	for _, arg := range args {
		m, err := a.mirrorAround(arg)
		if err == nil {
			return m, m.checkOwner()
		}
		if !errors.Is(err, errNoMirror) {
			return nil, err
		}
	}
	wd, err := a.abs(".")
	if err != nil {
		return nil, err
	}
	file, err := config.Find("", "", wd, a.env)
	if errors.Is(err, config.ErrNotFound) {
		return nil, backend.WithHint(fmt.Errorf("%w around %s", errNoMirror, wd),
			"`smfs mount DIR` makes one; -C DIR names one")
	}
	if err != nil {
		return nil, err
	}
	return a.mirrorOf(file)
}

// mirrorAt is the mirror at or above dir, which the user named.
func (a *app) mirrorAt(dir string) (*mirror, error) {
	m, err := a.mirrorAround(dir)
	if errors.Is(err, errNoMirror) {
		return nil, backend.WithHint(fmt.Errorf("%s: %w", dir, err), "`smfs mount "+dir+"` makes one")
	}
	return m, err
}

// mirrorOf is the mirror that a config file describes.
func (a *app) mirrorOf(file string) (*mirror, error) {
	file, err := a.abs(file)
	if err != nil {
		return nil, err
	}
	cfg, err := loadConfig(file)
	if err != nil {
		return nil, err
	}
	m := &mirror{base: cfg.Base, config: file}
	if file == m.state()+"/"+node.ConfigName {
		m.config = ""
	}
	return m, nil
}

// mirrorAround looks for a state directory in path and the directories above
// it.
func (a *app) mirrorAround(path string) (*mirror, error) {
	path, err := a.abs(path)
	if err != nil {
		return nil, err
	}
	return guarded(path, patience, func() (*mirror, error) {
		for dir := path; ; dir = filepath.Dir(dir) {
			switch ok, err := isMirror(dir); {
			case err != nil:
				return nil, err
			case ok:
				return a.withConfig(&mirror{base: dir})
			case dir == "/":
				return nil, errNoMirror
			}
		}
	})
}

// checkOwner refuses a mirror that was come across, not named, and belongs to
// another user: its config may run commands.
func (m *mirror) checkOwner() error {
	info, err := os.Stat(m.state())
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if ok && st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		return backend.WithHint(fmt.Errorf("%s belongs to uid %d: %w", m.base, st.Uid, backend.ErrRefused),
			"-C "+m.base+" names it, if that is what you mean")
	}
	return nil
}

// withConfig finds out whether the mirror's config is kept elsewhere.
func (a *app) withConfig(m *mirror) (*mirror, error) {
	if a.config != "" {
		file, err := a.abs(a.config)
		m.config = file
		return m, err
	}
	if _, err := os.Lstat(m.configFile()); err == nil {
		return m, nil
	}
	if n, err := node.Load(m.state()); err == nil {
		m.config = n.Config
		return m, nil
	}
	// A mount hides the state; its engine knows.
	if socket, err := mountedSocket(m.base); err == nil && socket != "" {
		if c, err := control.Dial(context.Background(), socket); err == nil {
			m.config = c.Hello().Config
			c.Close()
		}
	}
	return m, nil // what is wrong with the state shows when it is used
}

// isMirror reports whether dir is mounted, or has a state directory: one with a
// config file or a node in it. Behind the mount of a dead daemon it fails with
// errStale. A state directory that may not be looked into is an error: whose
// mirror that is shows only to those who may.
func isMirror(dir string) (bool, error) {
	for _, name := range []string{node.ConfigName, "node.json"} {
		info, err := os.Lstat(dir + "/" + node.StateDir + "/" + name)
		if stale(err) {
			return false, fmt.Errorf("%s: %w", dir, errStale)
		}
		if errors.Is(err, os.ErrPermission) {
			return false, backend.WithHint(fmt.Errorf("look for a mirror at %s: %w", dir, err), "it is another user's")
		}
		if err == nil && info.Mode().IsRegular() {
			return true, nil
		}
	}
	socket, err := mountedSocket(dir) // a mount shows neither where the config is kept elsewhere
	return err == nil && socket != "", nil
}
