package main

import (
	"context"
	"fmt"

	"github.com/silvermirror/smfs/backend"
	"github.com/silvermirror/smfs/backend/control"
	"github.com/spf13/cobra"
)

func (a *app) logCommand() *cobra.Command {
	var o backend.LogOptions
	c := &cobra.Command{
		Use:   "log [PATH]",
		Short: "List the versions of a file, a directory or the mirror",
		Long: `List the versions of PATH, or of the whole mirror, newest first: commit, time,
node, resource, what happened and by which program, and for a PATH where it was
then and its size. Files and directories are followed over their renames. Merges
are left out: what they unite is listed. With --json, one object a line: time,
node, program, commit, subject, body (if any), path, kind, size, deleted, resource.`,
		Example: `  smfs log report.txt
  smfs log -n 10
  smfs log --json docs | jq -r .commit`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.Limit < 0 {
				return usagef("--limit %d: negative", o.Limit)
			}
			return a.withEngine(cmd.Context(), args, func(m *mirror, c *control.Client) error {
				for _, arg := range args {
					path, err := a.rel(m.base, arg)
					if err != nil {
						return err
					}
					o.Path = path
				}
				return a.log(cmd.Context(), c, o)
			})
		},
	}
	c.Flags().IntVarP(&o.Limit, "limit", "n", 0, "at most `N` versions; 0: all")
	return a.withJSON(c)
}

func (a *app) log(ctx context.Context, c *control.Client, o backend.LogOptions) error {
	return c.Log(ctx, o, func(v backend.Version) error {
		if a.json {
			return a.printJSONLine(v)
		}
		_, err := fmt.Fprintln(a.stdout, versionLine(v))
		return err
	})
}

// versionLine is one version for people: commit, time, node, resource, subject
// and, where one file is asked for, its path and size then.
func versionLine(v backend.Version) string {
	line := fmt.Sprintf("%s  %s  %s  %s: %s", short(v.Commit), when(v.Time), clean(v.Node), clean(v.Resource), clean(v.Subject))
	switch {
	case v.Deleted:
		line += "  (deleted)"
	case v.Kind == "directory":
		line += fmt.Sprintf("  (%s/)", clean(v.Path))
	case v.Path != "":
		line += fmt.Sprintf("  (%s, %s)", clean(v.Path), size(v.Size))
	}
	return line
}
