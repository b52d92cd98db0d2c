package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"
)

// engineCommand is what other commands start when no engine runs.
func (a *app) engineCommand() *cobra.Command {
	d := &daemon{}
	c := &cobra.Command{
		Use:    "engine DIR",
		Short:  "Run the mirror's engine without a mount",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.runDaemon(cmd.Context(), args[0], d)
		},
	}
	c.Flags().DurationVar(&d.idle, "idle", time.Minute, "end after so long without a call")
	c.Flags().BoolVar(&d.check, "check", false, "start although no resource can be used")
	c.Flags().BoolVar(&d.repair, "repair", false, "mend what can be while it is opened")
	return c
}

// runDaemon runs d on the mirror at dir in this process.
func (a *app) runDaemon(ctx context.Context, dir string, d *daemon) error {
	d.app, d.ready = a, takeReadiness()
	d.log = newLog(a.stderr)
	m, err := a.mirrorAt(dir)
	if err != nil {
		d.ready.report(err)
		return err
	}
	d.mirror = m
	return d.run(ctx)
}
