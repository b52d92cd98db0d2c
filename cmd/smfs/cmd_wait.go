package main

import (
	"time"

	"github.com/silvermirror/smfs/backend"
	"github.com/silvermirror/smfs/backend/control"
	"github.com/spf13/cobra"
)

func (a *app) waitCommand() *cobra.Command {
	var committed bool
	var o backend.WaitOptions
	c := &cobra.Command{
		Use:   "wait [--committed|--mirrored]",
		Short: "Wait until everything written before is safe",
		Long: `Wait until everything written before is committed, durable and visible to plain
git (--committed, the default), or is on every peer that can be reached
(--mirrored). With no peer in reach --mirrored fails. For scripts, instead of
sleeping.`,
		Example: `  make report && smfs wait --mirrored --timeout 1m`,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if committed && o.Mirrored {
				return usagef("--committed and --mirrored: choose one")
			}
			if o.Timeout < 0 {
				return usagef("--timeout %v: negative", o.Timeout)
			}
			return a.withEngine(cmd.Context(), nil, func(_ *mirror, c *control.Client) error {
				return c.Wait(cmd.Context(), o)
			})
		},
	}
	flags := c.Flags()
	flags.BoolVar(&committed, "committed", false, "until it is committed here (the default)")
	flags.BoolVar(&o.Mirrored, "mirrored", false, "until it is on every peer that can be reached")
	flags.DurationVar(&o.Timeout, "timeout", 10*time.Second, "give up after `DURATION`; 0: never")
	return c
}
