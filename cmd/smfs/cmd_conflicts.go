package main

import (
	"github.com/silvermirror/smfs/backend/control"
	"github.com/spf13/cobra"
)

func (a *app) conflictsCommand() *cobra.Command {
	return a.withJSON(&cobra.Command{
		Use:   "conflicts",
		Short: "List what was changed on two machines at once",
		Long: `List the files that were changed on two machines at once. Nothing is lost.

  content   both changed what is in the file. Both versions are files: the copy
            that was put aside, and the file it conflicts with. Keep the one you
            want and delete the other.
  name      both renamed the file. There is one file, at PATH; the other name is
            the one it did not get. Delete neither.`,
		Example: `  smfs conflicts`,
		Args:    noArgs,
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
				rows := [][]string{{"PATH", "CONFLICTS WITH", "ABOUT", "TIME", "RESOURCE"}}
				for _, f := range list {
					rows = append(rows, []string{f.Path, orDash(f.Of), f.Kind, when(f.Time), f.Resource})
				}
				return a.table(rows)
			})
		},
	})
}
