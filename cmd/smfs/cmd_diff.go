package main

import (
	"context"
	"strings"

	"github.com/silvermirror/smfs/backend"
	"github.com/silvermirror/smfs/backend/control"
	"github.com/spf13/cobra"
)

func (a *app) diffCommand() *cobra.Command {
	var stat, names bool
	c := &cobra.Command{
		Use:   "diff [PATH] [A..B|A]",
		Short: "Show what differs between two points of the history",
		Long: `Show what differs in PATH, or in the whole mirror, between A and B; with A alone,
between A and now. Each is
` + pointForms + `.
An argument that names something that exists is a PATH.

Without a range it shows what the last commit that touched PATH changed: smfs
commits everything at once, so that there is nothing uncommitted to compare with.

Text is shown as a unified diff. Files and directories that were renamed are shown
as renamed, whatever was edited in them. Of other files, and of those over 1 MiB,
which are kept in parts, it tells the sizes and how much is in new parts. With
--json, one object a line.`,
		Example: `  smfs diff report.txt
  smfs diff report.txt 2h
  smfs diff --stat yesterday..today
  smfs diff 3fb2c1^..3fb2c1`,
		Args: cobra.MaximumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if stat && names {
				return usagef("--stat and --name-only")
			}
			o := backend.DiffOptions{Detail: backend.DiffPatch}
			switch {
			case stat:
				o.Detail = backend.DiffStat
			case names:
				o.Detail = backend.DiffNames
			}
			paths, err := a.diffArgs(args, &o)
			if err != nil {
				return err
			}
			return a.withEngine(cmd.Context(), paths, func(m *mirror, c *control.Client) error {
				for _, p := range paths {
					if o.Path, err = a.rel(m.base, p); err != nil {
						return err
					}
				}
				return a.diff(cmd.Context(), c, o)
			})
		},
	}
	c.Flags().BoolVar(&stat, "stat", false, "show how many lines differ, by file")
	c.Flags().BoolVar(&names, "name-only", false, "show the names of what differs")
	return a.withJSON(c)
}

// diffArgs tells a range from a path, which it returns.
func (a *app) diffArgs(args []string, o *backend.DiffOptions) (paths []string, err error) {
	ranged := false
	for _, arg := range args {
		from, to, rerr := parseRange(arg)
		exists := a.exists(arg)
		if rerr != nil && !exists && strings.Contains(arg, "..") && !strings.Contains(arg, "../") {
			return nil, rerr
		}
		if exists || rerr != nil {
			if paths = append(paths, arg); len(paths) > 1 {
				return nil, usagef("more than one PATH: %q", args)
			}
			continue
		}
		if ranged {
			return nil, usagef("more than one range: %q", args)
		}
		ranged, o.From, o.To = true, from, to
	}
	return paths, nil
}

// parseRange reads A..B, or A, which is A..now.
func parseRange(s string) (from, to string, err error) {
	a, b, both := strings.Cut(s, "..")
	if a == "" && b == "" {
		return "", "", usagef("range %q: neither end", s)
	}
	if both && a == "" {
		a = "now"
	}
	if from, err = parsePoint("range", a); err == nil {
		to, err = parsePoint("range", b)
	}
	return from, to, err
}

func (a *app) diff(ctx context.Context, c *control.Client, o backend.DiffOptions) error {
	var show diffPrinter
	switch {
	case a.json:
		show = &jsonDiff{app: a, patch: o.Detail == backend.DiffPatch}
	case o.Detail == backend.DiffNames:
		show = &nameDiff{app: a}
	case o.Detail == backend.DiffStat:
		show = &statDiff{app: a}
	default:
		show = newTextDiff(a)
	}
	if err := c.Diff(ctx, o, show.part); err != nil {
		return err
	}
	return show.end()
}

// diffPrinter shows the parts of a diff as they come.
type diffPrinter interface {
	part(backend.DiffPart) error
	end() error
}

// jsonDiff prints one object a file.
type jsonDiff struct {
	app   *app
	patch bool
	file  *diffLine
	text  strings.Builder
}

// diffLine is one file of `smfs diff --json`.
type diffLine struct {
	*backend.FileDiff
	Patch *string `json:"patch,omitempty"` // "" where no lines differ; absent with --stat and --name-only
}

func (d *jsonDiff) part(p backend.DiffPart) error {
	d.text.WriteString(p.Patch)
	if p.File == nil {
		return nil
	}
	err := d.end()
	d.file = &diffLine{FileDiff: p.File}
	return err
}

func (d *jsonDiff) end() error {
	if d.file == nil {
		return nil
	}
	if d.patch {
		text := d.text.String()
		d.file.Patch = &text
	}
	d.text.Reset()
	return d.app.printJSONLine(*d.file)
}

// nameDiff prints paths alone.
type nameDiff struct{ app *app }

func (d *nameDiff) part(p backend.DiffPart) error {
	if p.File != nil {
		d.app.say("%s", quoteName(shownPath(p.File, p.File.Path)))
	}
	return nil
}

func (d *nameDiff) end() error { return nil }
