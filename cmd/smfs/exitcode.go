package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/silvermirror/smfs/backend"
	"github.com/silvermirror/smfs/backend/control"
	"github.com/silvermirror/smfs/backend/node"
	"github.com/silvermirror/smfs/config"
	"github.com/silvermirror/smfs/fs"
	"github.com/spf13/cobra"
)

// What smfs exits with. Scripts rely on these: numbers are never reused.
const (
	exitOK          = 0
	exitFailure     = 1
	exitUsage       = 2
	exitConfig      = 3
	exitNotFound    = 4
	exitMounted     = 5
	exitNotMounted  = 6
	exitRefused     = 7
	exitTimeout     = 8
	exitUnreachable = 9
	exitBusy        = 10
	exitDamaged     = 11
	exitMissing     = 12
	exitStale       = 13
	exitMended      = 14
	exitInterrupted = 130
)

// exitMeanings is the table that `smfs help exit-codes` prints.
func exitMeanings() []struct {
	code    int
	meaning string
} {
	return []struct {
		code    int
		meaning string
	}{
		{exitOK, "success"},
		{exitFailure, "failure of another kind than those below"},
		{exitUsage, "wrong arguments"},
		{exitConfig, "the config file is wrong"},
		{exitNotFound, "no such mirror, path, resource, peer or version"},
		{exitMounted, "already mounted"},
		{exitNotMounted, "not mounted"},
		{exitRefused, "refused: it would endanger files, or the other side is not trusted"},
		{exitTimeout, "the time was up before it was done"},
		{exitUnreachable, "no peer could be reached"},
		{exitBusy, "in use: open files under the mount, or another process has the mirror"},
		{exitDamaged, "stored data is damaged"},
		{exitMissing, "something is missing on this machine (fuse3, /dev/fuse)"},
		{exitStale, "the mount's daemon died or does not answer"},
		{exitMended, "stored data was damaged, and all of it is mended"},
		{exitInterrupted, "interrupted by a signal"},
	}
}

var (
	errMounted    = control.ErrMounted
	errNotMounted = errors.New("not mounted")
	errStale      = errors.New("the daemon of this mount has died")
	errNoMirror   = errors.New("no mirror")
	errMended     = errors.New("all of it is mended")
)

// usageError is about the arguments of a command.
type usageError struct{ error }

func (u *usageError) Unwrap() error { return u.error }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...)}
}

// configError is about a config file that could not be read at all; what is
// wrong in one is a config.Error.
type configError struct{ error }

func (c *configError) Unwrap() error { return c.error }

// loadConfig reads and checks a config file.
func loadConfig(file string) (*config.Config, error) {
	cfg, err := config.Load(file)
	if err != nil {
		return nil, &configError{err}
	}
	return cfg, nil
}

// childError is the failure of a daemon during its start.
type childError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
	Locked  bool   `json:"locked,omitempty"` // node.ErrLocked
}

func (c *childError) Error() string { return c.Message }

// Is keeps apart what the parent reacts to.
func (c *childError) Is(target error) bool { return c.Locked && target == node.ErrLocked }

// exitCode says what to exit with after err.
func exitCode(err error) int {
	var child *childError
	if errors.As(err, &child) {
		return child.Code
	}
	var usage *usageError
	var wrong *configError
	switch {
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &wrong):
		return exitConfig
	}
	for _, k := range []struct {
		err  error
		code int
	}{
		{errMounted, exitMounted},
		{errNotMounted, exitNotMounted},
		{errStale, exitStale},
		{fs.ErrHung, exitStale},
		{fs.ErrNoDevice, exitMissing},
		{fs.ErrNoHelper, exitMissing},
		{fs.ErrRefused, exitRefused},
		{errNoMirror, exitNotFound},
		{errMended, exitMended},
		{backend.ErrInvalid, exitUsage},
		{node.ErrName, exitUsage},
		{backend.ErrNotFound, exitNotFound},
		{node.ErrNotMirror, exitNotFound},
		{backend.ErrRefused, exitRefused},
		{control.ErrForeign, exitRefused},
		{backend.ErrTimeout, exitTimeout},
		{context.DeadlineExceeded, exitTimeout},
		{backend.ErrUnreachable, exitUnreachable},
		{backend.ErrBusy, exitBusy},
		{node.ErrLocked, exitBusy},
		{backend.ErrDamaged, exitDamaged},
		{node.ErrKey, exitDamaged},
	} {
		if errors.Is(err, k.err) {
			return k.code
		}
	}
	return exitFailure
}

// exitCodeTopic is a help text, no command.
func exitCodeTopic() *cobra.Command {
	var b strings.Builder
	b.WriteString("smfs exits with:\n\n")
	for _, m := range exitMeanings() {
		fmt.Fprintf(&b, "  %3d  %s\n", m.code, m.meaning)
	}
	return &cobra.Command{Use: "exit-codes", Short: "What smfs exits with", Long: strings.TrimRight(b.String(), "\n")}
}
