package main

import (
	"context"
	"strings"

	"github.com/silvermirror/smfs/backend"
	"github.com/silvermirror/smfs/backend/control"
	"github.com/spf13/cobra"
)

func (a *app) commitCommand() *cobra.Command {
	var o backend.CommitOptions
	c := &cobra.Command{
		Use:   "commit -m TEXT [RESOURCE|PATH]...",
		Short: "Commit now, with a text of your own",
		Long: `Commit all that has changed, now, with TEXT as the subject; more text may come
after a blank line. That goes for the resources named, those that the paths are
in, without an argument the one of the working directory, else all.

smfs commits every change by itself within moments, so nothing may be left to
commit. The commit then carries TEXT alone, and marks this point of the history:
"smfs log" shows it, "smfs restore --at" and "smfs diff" take it. It returns when
the commit is durable.`,
		Example: `  smfs commit -m 'before the big cleanup'
  smfs commit -m 'release 1.2' docs`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if strings.TrimSpace(o.Message) == "" {
				return usagef("commit needs -m TEXT")
			}
			m, err := a.locateForSync(args)
			if err != nil {
				return err
			}
			if o.Resources, err = a.resources(m, args); err != nil {
				return err
			}
			c, err := a.connect(cmd.Context(), m)
			if err != nil {
				return err
			}
			defer c.Close()
			return a.commit(cmd.Context(), c, o)
		},
	}
	c.Flags().StringVarP(&o.Message, "message", "m", "", "the commit's `TEXT`")
	return a.withJSON(c)
}

func (a *app) commit(ctx context.Context, c *control.Client, o backend.CommitOptions) error {
	made, err := c.Commit(ctx, o)
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(made)
	}
	for _, m := range made {
		what := "committed"
		if !m.Changed {
			what = "nothing was left to commit: marked"
		}
		a.say("%s: %s %s", clean(m.Resource), what, short(m.Commit))
		if m.Pending > 0 {
			a.warn("%s: %d not committed yet: open for writing, or still changing", clean(m.Resource), m.Pending)
		}
	}
	return nil
}
