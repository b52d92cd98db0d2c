package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/silvermirror/smfs/backend"
	"github.com/silvermirror/smfs/backend/control"
	"github.com/spf13/cobra"
)

func (a *app) fsckCommand() *cobra.Command {
	var o backend.FsckOptions
	c := &cobra.Command{
		Use:   "fsck [--repair]",
		Short: "Check the journal, the history, the index and the tags",
		Long: `Check what the mirror keeps in .silvermirror, and say in plain words what is
wrong: whether the journal is readable, whether everything that the history
names is there and unchanged and its commits are signed, whether the index
agrees with itself, with the history and with the files, and the tags with the
index. It works beside a mount, and takes as long as reading the history does.

With --repair, what can be mended is: lost objects come back from the files or
from a peer, what is readable of a damaged pack is kept, indexes are made anew.
The index, and a history that cannot be used at all, are mended only while the
mirror is not mounted. What is replaced is kept in .silvermirror/damaged. No file
is changed but as at every start, which brings what is behind to the newest
version; where newer versions than the history has may be lost, none is, and
what the files have more is committed again.

What every start mends by itself (an index after a power loss, a torn journal)
is told by the first fsck after it.

It exits with 0 if nothing is damaged, 14 if what was is mended, 11 if something
is left. Files that were changed while nothing was mounted are told, and are no
damage.`,
		Example: `  smfs fsck
  smfs umount && smfs fsck --repair
  smfs fsck --json | jq '.findings[].text'`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			m, err := a.locate()
			if err != nil {
				return err
			}
			return a.fsck(cmd.Context(), m, o)
		},
	}
	c.Flags().BoolVar(&o.Repair, "repair", false, "mend what can be mended")
	return a.withJSON(c)
}

func (a *app) fsck(ctx context.Context, m *mirror, o backend.FsckOptions) error {
	c, err := a.connectToCheck(ctx, m, o.Repair)
	if err != nil {
		return err
	}
	defer c.Close()
	out := struct {
		Findings []backend.Finding `json:"findings"`
	}{}
	err = c.Fsck(ctx, o, func(n backend.FsckNews) error {
		if n.Looking != "" {
			a.warn("looking at %s", clean(n.Looking))
		}
		if n.Finding != nil {
			out.Findings = append(out.Findings, *n.Finding)
			if !a.json {
				a.printFinding(n.Finding)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if a.json {
		if err := a.printJSON(out); err != nil {
			return err
		}
	}
	return a.verdict(out.Findings)
}

// connectToCheck reaches an engine that says even of a mirror of which nothing
// can be used why that is. What is mended as an engine opens the mirror takes a
// new one, unless there is a mount.
func (a *app) connectToCheck(ctx context.Context, m *mirror, repair bool) (*control.Client, error) {
	flags := []string{"--check"}
	if repair {
		flags = append(flags, "--repair")
		if err := a.handOver(ctx, m); err != nil && !errors.Is(err, errMounted) {
			return nil, err
		}
	}
	return a.reach(ctx, m, func() error { return a.spawnEngine(ctx, m, flags...) })
}

// printFinding prints "RESOURCE: PART: STATE: what it is; what to do".
func (a *app) printFinding(f *backend.Finding) {
	line := []string{f.Part, f.State, f.Text}
	if f.Resource != "" {
		line = append([]string{f.Resource}, line...)
	}
	text := strings.Join(line, ": ")
	if f.Hint != "" {
		text += "; " + f.Hint
	}
	a.say("%s", clean(text))
}

// verdict is what all findings come to.
func (a *app) verdict(list []backend.Finding) error {
	states := map[string]int{}
	for _, f := range list {
		states[f.State]++
	}
	switch damaged, mended := states[backend.Damaged], states[backend.Mended]; {
	case damaged > 0:
		return fmt.Errorf("findings: %d, of which %d are mended: something is %w", damaged+mended, mended, backend.ErrDamaged)
	case mended > 0:
		return fmt.Errorf("findings: %d, and %w", mended, errMended)
	}
	if !a.json {
		a.say("nothing is damaged")
	}
	return nil
}
