package main

import (
	"github.com/silvermirror/smfs/backend/control"
	"github.com/spf13/cobra"
)

func (a *app) conflictsCommand() *cobra.Command {
	return a.withJSON(&cobra.Command{
		Use:   "conflicts",
		Short: "List the versions that a merge put aside",
		Long: `List the files that were changed on two machines at once: the copy that was put
aside, and the file it belongs to. Nothing is lost: both versions are files. Keep
the one you want and delete the other.`,
		Example: `  smfs conflicts`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withEngine(cmd.Context(), nil, func(_ *mirror, c *control.Client) error {
				list, err := c.Conflicts(cmd.Context())
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(list)
				}
				if len(list) == 0 {
					a.warn("no conflicts")
					return nil
				}
				rows := [][]string{{"PUT ASIDE", "CONFLICTS WITH", "MODIFIED", "RESOURCE"}}
				for _, f := range list {
					rows = append(rows, []string{f.Path, orDash(f.Of), when(f.Time), f.Resource})
				}
				return a.table(rows)
			})
		},
	})
}
