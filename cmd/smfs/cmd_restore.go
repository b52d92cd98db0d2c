package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/silvermirror/smfs/backend"
	"github.com/silvermirror/smfs/backend/control"
	"github.com/spf13/cobra"
)

func (a *app) restoreCommand() *cobra.Command {
	var at, to string
	c := &cobra.Command{
		Use:   "restore PATH",
		Short: "Bring back an earlier version of a file or directory",
		Long: `Bring back an earlier version of PATH: the newest one that differs from what is
there, or the one of --at. What one program removed or added in one go, as by
rm -r, is one change: the state before it comes back. Files in a directory that
the version did not have are removed from it. What is there now stays in
history. With --to FILE the version is written there instead, for a file only;
"-" is standard output.

Where files are missing that nobody is known to have deleted ("smfs status" tells),
these come back as they were last, and nothing is removed.

--at takes ` + pointForms + `.`,
		Example: `  smfs restore report.txt
  smfs restore report.txt --at 2h
  smfs restore report.txt --at 3fb2c1 --to /tmp/old.txt`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			point, err := parsePoint("--at", at)
			if err != nil {
				return err
			}
			return a.withEngine(cmd.Context(), args, func(m *mirror, c *control.Client) error {
				path, err := a.rel(m.base, args[0])
				if err != nil {
					return err
				}
				return a.restore(cmd.Context(), c, backend.RestoreOptions{Path: path, At: point}, to)
			})
		},
	}
	c.Flags().StringVar(&at, "at", "", "the version of `COMMIT|TIME`")
	c.Flags().StringVar(&to, "to", "", "write to `FILE` instead")
	return a.withJSON(c)
}

func (a *app) restore(ctx context.Context, c *control.Client, o backend.RestoreOptions, to string) error {
	if to == "-" {
		_, err := c.Restore(ctx, o, a.stdout)
		return err
	}
	var out *backend.Restored
	var err error
	if to != "" {
		out, err = a.restoreTo(ctx, c, o, to)
	} else {
		out, err = c.Restore(ctx, o, nil)
	}
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(out)
	}
	if out.Removed > 0 {
		a.say("restored %d and removed %d as of %s", out.Files, out.Removed, short(out.Commit))
	} else {
		a.say("restored %d from %s", out.Files, short(out.Commit))
	}
	return nil
}

// restoreTo writes a version to a file, which appears complete or not at all.
func (a *app) restoreTo(ctx context.Context, c *control.Client, o backend.RestoreOptions, to string) (*backend.Restored, error) {
	path, err := a.abs(to)
	if err != nil {
		return nil, err
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("write to %s: not a regular file: %w", to, backend.ErrInvalid)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return nil, err
	}
	defer os.Remove(tmp.Name())
	out, err := c.Restore(ctx, o, tmp)
	if err = errors.Join(err, tmp.Chmod(newFileMode(path)), tmp.Close()); err != nil {
		return nil, err
	}
	return out, os.Rename(tmp.Name(), path)
}

// newFileMode is the mode of the file to be replaced, or a new file's.
func newFileMode(path string) os.FileMode {
	if info, err := os.Stat(path); err == nil {
		return info.Mode().Perm()
	}
	return 0o644
}
