package main

import (
	"context"
	"fmt"
	"time"

	"github.com/silvermirror/smfs/backend"
	"github.com/silvermirror/smfs/backend/control"
	"github.com/silvermirror/smfs/config"
	"github.com/spf13/cobra"
)

func (a *app) undoCommand() *cobra.Command {
	var o backend.UndoOptions
	c := &cobra.Command{
		Use:   "undo [RESOURCE|PATH]",
		Short: "Undo the last change that was made here",
		Long: `Undo the last batch of this mirror's own changes in the resource of the working
directory, or in RESOURCE; with a PATH in a resource, the last batch that changed
something there. A batch is what one program did in one go: an rm -r that took
several commits comes back as a whole. Merges, and what came from peers, are never
undone; they are undone where they were made.

An undo is a commit like any other, and peers get it. It is itself a batch:
"smfs undo" again undoes the undo. To go further back instead, take --last N: the
last N batches that are in effect, without undos and what they have undone.

What has changed since, here or elsewhere, is not lost: a file that was edited since
the batch stays as it is, and is listed; where a name is in use by another file now,
both are kept. Where nothing of a batch can be undone, it is refused.`,
		Example: `  rm -r docs && smfs undo
  smfs undo --dry-run
  smfs undo --last 3 photos`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.Last < 1 && cmd.Flags().Changed("last") {
				return usagef("--last %d: less than 1", o.Last)
			}
			m, err := a.locateForSync(args)
			if err != nil {
				return err
			}
			if o.Path, err = a.undoPath(m, args); err != nil {
				return err
			}
			c, err := a.connect(cmd.Context(), m)
			if err != nil {
				return err
			}
			defer c.Close()
			return a.undo(cmd.Context(), c, o)
		},
	}
	c.Flags().BoolVarP(&o.DryRun, "dry-run", "n", false, "show what it would do, and change nothing")
	c.Flags().IntVar(&o.Last, "last", 0, "the last `N` batches that are in effect, to go further back")
	return a.withJSON(c)
}

// undoPath is where to undo: the path of the argument, or that of the resource
// that it names or that the working directory is in.
func (a *app) undoPath(m *mirror, args []string) (string, error) {
	cfg, err := loadConfig(m.configFile())
	if err != nil {
		return "", err
	}
	if len(args) == 1 {
		if r := cfg.Resource(args[0]); r != nil {
			return r.Path, nil
		}
		return a.rel(m.base, args[0])
	}
	r := onlyResource(cfg)
	if path, err := a.rel(m.base, "."); err == nil {
		if at, _ := cfg.At(path); at != nil {
			r = at
		}
	}
	if r == nil {
		return "", usagef("in which resource? name one, or a path in it")
	}
	return r.Path, nil
}

// onlyResource is the resource of a mirror that has one, else nil.
func onlyResource(cfg *config.Config) *config.Resource {
	if len(cfg.Resources) != 1 {
		return nil
	}
	return &cfg.Resources[0]
}

func (a *app) undo(ctx context.Context, c *control.Client, o backend.UndoOptions) error {
	u, err := c.Undo(ctx, o)
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(u)
	}
	did := "undid"
	if o.DryRun {
		did = "would undo"
	}
	for _, b := range u.Batches {
		a.say("%s", clean(did+" "+batchLine(b)))
	}
	shown := namesShown
	if o.DryRun {
		shown = len(u.Changes)
	}
	for i, ch := range u.Changes {
		if i == shown {
			a.say("  and %d more", len(u.Changes)-i)
			break
		}
		a.say("  %s", changeLine(ch))
	}
	for _, s := range u.Skipped {
		a.say("stays as it is: %s (%s)", clean(s.Path), clean(s.Reason))
	}
	for _, w := range u.Waiting {
		a.say("done as soon as it can be: %s (%s)", clean(w.Path), clean(w.Reason))
	}
	for _, path := range u.Conflicts {
		a.say("conflict, both versions are kept: %s", clean(path))
	}
	return nil
}

// batchLine is one batch for people: what it was, when, in how many commits.
func batchLine(b backend.Batch) string {
	line := fmt.Sprintf(`"%s" of %s`, b.What, whenShort(b.Time, time.Now()))
	if len(b.Commits) > 1 {
		line += fmt.Sprintf(" (%d commits)", len(b.Commits))
	}
	return line
}

func changeLine(c backend.Change) string {
	if c.From != "" {
		return fmt.Sprintf("%-6s  %s -> %s", c.Action, clean(c.From), clean(c.Path))
	}
	return fmt.Sprintf("%-6s  %s", c.Action, clean(c.Path))
}

// whenShort is the time of day of a time of today, else the date as well.
func whenShort(t, now time.Time) string {
	t, now = t.Local(), now.Local()
	if t.Year() == now.Year() && t.YearDay() == now.YearDay() {
		return t.Format("15:04")
	}
	return t.Format("2006-01-02 15:04")
}
