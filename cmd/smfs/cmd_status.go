package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/silvermirror/smfs/backend"
	"github.com/silvermirror/smfs/backend/control"
	"github.com/silvermirror/smfs/fs"
	"github.com/spf13/cobra"
)

// withEngine locates the mirror, reaches its engine and runs fn.
func (a *app) withEngine(ctx context.Context, paths []string, fn func(m *mirror, c *control.Client) error) error {
	m, err := a.locate(paths...)
	if err != nil {
		return err
	}
	c, err := a.connect(ctx, m)
	if err != nil {
		return err
	}
	defer c.Close()
	return fn(m, c)
}

func (a *app) statusCommand() *cobra.Command {
	return a.withJSON(&cobra.Command{
		Use:   "status",
		Short: "Show the mirror, its resources and its peers",
		Long: `Show whether the mirror is mounted, what waits to be committed, how large the files
and their history are, by how much that has grown in the last days, and how far each
peer is. A history that is more than ten times as large as the files is pointed out.
It waits for nothing.`,
		Example: `  smfs status
  smfs status --json | jq '.resources[].pending'`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withEngine(cmd.Context(), nil, func(m *mirror, c *control.Client) error {
				s, err := c.Status(cmd.Context())
				if err != nil {
					return err
				}
				s.Covered = fs.MountsBelow(m.base)
				if a.json {
					return a.printJSON(s)
				}
				return a.printStatus(m, s)
			})
		},
	})
}

func (a *app) printStatus(m *mirror, s *backend.Status) error {
	a.say("mirror  %s (%s)", clean(m.base), howServed(s))
	a.say("node    %s, key %s", clean(s.Node.Name), clean(s.Node.ID))
	a.say("start   %s", howStarted(s.LastStart))
	a.say("")
	rows := [][]string{{"RESOURCE", "FILES", "SIZE", "PENDING", "CONFLICTS", "HISTORY", "GROWTH", "HEAD"}}
	for _, r := range s.Resources {
		rows = append(rows, []string{r.Name, fmt.Sprint(r.Files), size(r.FilesBytes), fmt.Sprint(r.Pending), fmt.Sprint(r.Conflicts),
			size(r.StoreBytes), grown(r.StoreGrowth, time.Now()), orDash(short(r.Head))})
	}
	if err := a.table(rows); err != nil {
		return err
	}
	for _, r := range s.Resources {
		a.printNotes(r)
	}
	a.printNames("in no resource, stays on this machine", "stay on this machine", s.Outside)
	a.printNames("another filesystem is mounted there, what is in it stays on this machine", "hold other filesystems", s.Covered)
	if len(s.Peers) == 0 {
		return nil
	}
	a.say("")
	return a.printPeers(s.Peers)
}

// namesShown is how many names of a kind are printed; --json has them all.
const namesShown = 5

// printNames prints a line for each of the first names, and how many more there
// are.
func (a *app) printNames(what, more string, paths []string) {
	for i, p := range paths {
		if i == namesShown {
			a.say("and %d more %s", len(paths)-i, more)
			return
		}
		a.say("%s: %s", what, clean(p))
	}
}

// printNotes prints what a person should know about a resource.
func (a *app) printNotes(r backend.ResourceStatus) {
	if r.Problem != "" {
		a.say("%s: %s", clean(r.Name), clean(r.Problem))
	}
	if r.Outgrown {
		a.say("%s: its history is more than ten times as large as its files: %s, and %s; every version is kept", clean(r.Name), size(r.StoreBytes), size(r.FilesBytes))
	}
	a.printNames(clean(r.Name)+": stays on this machine", "stay on this machine", r.Local)
	waiting := make([]string, len(r.Waiting))
	for i, w := range r.Waiting {
		waiting[i] = w.Path + " (" + w.Reason + ")"
	}
	a.printNames(clean(r.Name)+": a newer version waits", "wait", waiting)
}

// grown is by how much a store has grown, and in what time.
func grown(g backend.Growth, now time.Time) string {
	if g.Since.IsZero() {
		return "-"
	}
	sign := "+"
	if g.Bytes < 0 {
		sign, g.Bytes = "-", -g.Bytes
	}
	hours := int(now.Sub(g.Since).Hours())
	if hours < 48 {
		return fmt.Sprintf("%s%s in %d h", sign, size(g.Bytes), max(hours, 1))
	}
	return fmt.Sprintf("%s%s in %d d", sign, size(g.Bytes), hours/24)
}

func (a *app) printPeers(peers []backend.PeerStatus) error {
	rows := [][]string{{"PEER", "STATE", "BEHIND", "URL"}}
	for _, p := range peers {
		rows = append(rows, []string{p.Name, p.State, behind(p.Resources), p.URL})
	}
	if err := a.table(rows); err != nil {
		return err
	}
	for _, p := range peers {
		if p.Error != "" {
			a.say("%s: %s", clean(p.Name), clean(p.Error))
		}
		for _, t := range p.Transfers {
			a.say("%s: %s  %s of %s, %s/s", clean(p.Name), clean(t.Path), size(t.Bytes), size(t.Total), size(t.Rate))
		}
	}
	return nil
}

// behind lists the resources in which a peer lacks something.
func behind(resources []backend.PeerResourceStatus) string {
	var late []string
	for _, r := range resources {
		if r.Behind > 0 {
			late = append(late, fmt.Sprintf("%s: %d", r.Name, r.Behind))
		}
	}
	return orDash(strings.Join(late, ", "))
}

func howServed(s *backend.Status) string {
	switch {
	case !s.Mounted:
		return fmt.Sprintf("not mounted, engine %d", s.PID)
	case s.Passthrough:
		return fmt.Sprintf("mounted with passthrough, daemon %d", s.PID)
	}
	return fmt.Sprintf("mounted, daemon %d", s.PID)
}

func howStarted(s backend.StartStatus) string {
	how := "after a clean end"
	if !s.Clean {
		how = "after an unclean end"
	}
	return fmt.Sprintf("%s; %d files scanned, %d journal records replayed", how, s.Scanned, s.Replayed)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
