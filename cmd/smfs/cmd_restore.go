package main

import (
	"context"
	"io"

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
history. With --to the version is written there instead: a file to a file, which
it replaces, a directory with all that was in it to a new or empty one; "-" is
standard output, for a file only. What was renamed since is found by its present
name, what is gone by its last.

Where files are missing that nobody is known to have deleted ("smfs status" tells),
these come back as they were last, and nothing is removed.

--at takes
` + pointForms + `.
A path below @history/TIME in the mirror is the version of that time.`,
		Example: `  smfs restore report.txt
  smfs restore report.txt --at 2h
  smfs restore @history/2026-05-01/report.txt
  smfs restore report.txt --at 3fb2c1 --to /tmp/old.txt
  smfs restore docs --at yesterday --to /tmp/docs`,
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
	c.Flags().StringVar(&to, "to", "", "write to `FILE` or directory instead")
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
		o.Archive = true
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

// restoreTo writes a version elsewhere.
func (a *app) restoreTo(ctx context.Context, c *control.Client, o backend.RestoreOptions, to string) (*backend.Restored, error) {
	path, err := a.abs(to)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type answer struct {
		out *backend.Restored
		err error
	}
	r, w := io.Pipe()
	done := make(chan answer, 1)
	go func() {
		out, err := c.Restore(ctx, o, w)
		w.CloseWithError(err)
		done <- answer{out, err}
	}()
	err = unpackTo(path, r)
	r.CloseWithError(err)
	got := <-done
	if err != nil {
		return nil, err
	}
	return got.out, got.err
}
