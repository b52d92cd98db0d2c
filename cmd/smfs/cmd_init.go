package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/silvermirror/smfs/backend"
	"github.com/silvermirror/smfs/backend/node"
	"github.com/silvermirror/smfs/backend/object"
	"github.com/silvermirror/smfs/config"
	"github.com/spf13/cobra"
)

func (a *app) initCommand() *cobra.Command {
	var name string
	c := &cobra.Command{
		Use:   "init DIR",
		Short: "Make a directory a mirror",
		Long: `Make DIR a mirror: give it a state directory .silvermirror with a config file
of one resource that holds all of DIR, and a device key. DIR is created if it
does not exist; the files in it stay where they are. A mirror that is already
there only gets what it lacks.`,
		Example: `  smfs init ~/mirror
  smfs init --name laptop ~/mirror
  smfs -c /etc/silvermirror init /srv/mirror`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: directories,
		RunE: func(_ *cobra.Command, args []string) error {
			dir, err := a.abs(args[0])
			if err != nil {
				return err
			}
			return a.initMirror(dir, name)
		},
	}
	c.Flags().StringVar(&name, "name", "", "the node's `NAME` in history (default: the host name)")
	return c
}

// initMirror makes dir a mirror and says so.
func (a *app) initMirror(dir, name string) error {
	if err := a.checkHome(dir); err != nil {
		return err
	}
	if socket, err := mountedSocket(dir); err != nil {
		return err
	} else if socket != "" {
		return mountedError(&mirror{base: dir})
	}
	n, created, err := a.createMirror(dir, name)
	if err != nil {
		return err
	}
	if !created {
		if name != "" && name != n.Name {
			return fmt.Errorf("%s is a mirror already, and its node is %s: %w", dir, n.Name, backend.ErrRefused)
		}
		a.say("%s is a mirror already, node %s", clean(dir), n.Name)
		return nil
	}
	a.say("made %s a mirror, node %s, key %s", clean(dir), n.Name, object.Fingerprint(n.Signer.PublicKey()))
	return nil
}

// createMirror makes dir a mirror, or completes it.
func (a *app) createMirror(dir, name string) (*node.Node, bool, error) {
	if name == "" {
		name = hostName()
	}
	o := node.New{Name: name}
	cfg, err := a.configFor(dir)
	if err != nil {
		return nil, false, err
	}
	if cfg.File == filepath.Join(dir, node.StateDir, node.ConfigName) {
		o.Config = cfg.Encode()
	} else {
		o.ConfigFile = cfg.File
	}
	if err := a.checkNested(dir); err != nil {
		return nil, false, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, false, err
	}
	n, created, err := node.Create(filepath.Join(dir, node.StateDir), o)
	if errors.Is(err, node.ErrName) {
		err = backend.WithHint(err, "--name NAME sets another one")
	}
	if err != nil { // another process may have mounted it since: a mount hides the key
		if socket, merr := mountedSocket(dir); merr == nil && socket != "" {
			err = mountedError(&mirror{base: dir})
		}
	}
	return n, created, err
}

// configFor is the config of the mirror at dir: the one named by -c, its own,
// the user's if that is for dir, else a new one.
func (a *app) configFor(dir string) (*config.Config, error) {
	file, err := config.Find(a.config, dir, dir, a.env)
	if a.config != "" {
		if file, err = a.abs(a.config); err != nil {
			return nil, err
		}
	}
	if errors.Is(err, config.ErrNotFound) {
		return config.Default(dir), nil
	}
	if err != nil {
		return nil, err
	}
	cfg, err := loadConfig(file)
	if err != nil {
		return nil, err
	}
	if sameDir(cfg.Base, dir) {
		return cfg, nil
	}
	if own := filepath.Join(dir, node.StateDir, node.ConfigName); a.config != "" || file == own {
		return nil, backend.WithHint(
			fmt.Errorf("%s is for the mirror %s, not for %s: %w", file, cfg.Base, dir, backend.ErrInvalid),
			"change `directory` in its main section, or name the other directory")
	}
	return config.Default(dir), nil
}

// sameDir reports whether two paths name one directory.
func sameDir(a, b string) bool {
	if a == b {
		return true
	}
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(infoA, infoB)
}

// checkNested refuses a mirror in a mirror: its files would belong to both.
func (a *app) checkNested(dir string) error {
	outer, err := a.mirrorAround(filepath.Dir(dir))
	if errors.Is(err, errNoMirror) {
		return nil
	}
	if err != nil {
		return err
	}
	return backend.WithHint(fmt.Errorf("%s is inside of the mirror %s: %w", dir, outer.base, backend.ErrRefused),
		"add a resource for it to "+outer.configFile()+" instead")
}

// hostName is the default name of a node.
func hostName() string {
	if h, err := os.Hostname(); err == nil && node.CheckName(h) == nil {
		return h
	}
	return "node"
}
