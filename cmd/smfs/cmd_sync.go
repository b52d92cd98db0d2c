package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/silvermirror/smfs/backend"
	"github.com/silvermirror/smfs/config"
	"github.com/spf13/cobra"
)

func (a *app) syncCommand() *cobra.Command {
	var all bool
	var o backend.SyncOptions
	c := &cobra.Command{
		Use:   "sync [RESOURCE|PATH]...",
		Short: "Commit, and exchange with the peers now",
		Long: `Commit what has changed and exchange with the peers now, in both directions:
the resources named, those that the paths are in, without an argument the one of
the working directory, else all. A mounted mirror does this by itself.`,
		Example: `  smfs sync
  smfs sync docs -H nas -H laptop
  smfs sync --all`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if all && len(args) > 0 {
				return usagef("--all and %q", args[0])
			}
			m, err := a.locateForSync(args)
			if err != nil {
				return err
			}
			if !all {
				if o.Resources, err = a.resources(m, args); err != nil {
					return err
				}
			}
			return a.sync(cmd.Context(), m, o)
		},
	}
	c.Flags().BoolVar(&all, "all", false, "all resources")
	c.Flags().BoolVar(&o.AcceptDeletes, "accept-deletes", false, "commit that more than half of a large mirror's files are gone")
	c.Flags().StringArrayVarP(&o.Hosts, "host", "H", nil, "with the peer `NAME` only; may be repeated")
	return a.withJSON(c)
}

// locateForSync locates by those arguments that look like paths: a bare word
// is first of all a resource's name, but in no mirror it names none.
func (a *app) locateForSync(args []string) (*mirror, error) {
	m, err := a.locate()
	if errors.Is(err, errNoMirror) && len(args) > 0 {
		return a.locate(args...)
	}
	return m, err
}

// resources are the names of the resources that args mean; nil is all.
func (a *app) resources(m *mirror, args []string) ([]string, error) {
	cfg, err := loadConfig(m.configFile())
	if err != nil {
		return nil, err
	}
	if len(args) == 0 {
		path, err := a.rel(m.base, ".")
		if err != nil {
			return nil, nil // the working directory is elsewhere: all
		}
		if r, _ := cfg.At(path); r != nil {
			return []string{r.Name}, nil
		}
		return nil, nil
	}
	var names []string
	for _, arg := range args {
		name, err := a.resource(cfg, m, arg)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names, nil
}

// resource is the name of the resource that arg names or is in.
func (a *app) resource(cfg *config.Config, m *mirror, arg string) (string, error) {
	if r := cfg.Resource(arg); r != nil {
		return r.Name, nil
	}
	if !strings.Contains(arg, "/") && !a.exists(arg) {
		var names []string
		for _, r := range cfg.Resources {
			names = append(names, r.Name)
		}
		return "", backend.WithHint(fmt.Errorf("%s: no such resource or path: %w", arg, backend.ErrNotFound),
			"the resources are: "+strings.Join(names, ", "))
	}
	path, err := a.rel(m.base, arg)
	if err != nil {
		return "", err
	}
	if r, _ := cfg.At(path); r != nil {
		return r.Name, nil
	}
	return "", fmt.Errorf("%s: in no resource: %w", arg, backend.ErrNotFound)
}

func (a *app) sync(ctx context.Context, m *mirror, o backend.SyncOptions) error {
	c, err := a.connect(ctx, m)
	if err != nil {
		return err
	}
	defer c.Close()
	report, err := c.Sync(ctx, o)
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(report)
	}
	a.say("committed: %d", report.Committed)
	for _, r := range report.Resources {
		if r.Problem != "" {
			a.warn("%s: %s", clean(r.Name), clean(r.Problem))
		}
	}
	if len(report.Peers) == 0 {
		a.say("no peers")
		return nil
	}
	return a.printPeers(report.Peers)
}
