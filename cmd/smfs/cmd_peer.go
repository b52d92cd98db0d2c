package main

import (
	"context"
	"strings"

	"github.com/silvermirror/smfs/backend"
	"github.com/silvermirror/smfs/backend/control"
	"github.com/spf13/cobra"
)

func (a *app) peerCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "peer",
		Short: "Add, remove and list the mirrors this one shares its files with",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.AddCommand(a.peerAddCommand(), a.peerRemoveCommand(), a.peerListCommand())
	return c
}

func (a *app) peerAddCommand() *cobra.Command {
	var p backend.PeerSpec
	c := &cobra.Command{
		Use:   "add NAME URL",
		Short: "Share this mirror's files with another mirror",
		Long: `Share the files of this mirror with the one at URL, under the name NAME:

  ssh://[USER@]HOST[:PORT]/PATH
        a mirror on another machine, by way of your ssh settings, keys and
        agent; smfs must be installed there

It takes effect at once. A peer that answers is asked which resources both
have; a host key that is unknown or has changed is an error, and nothing is
added. A peer that cannot be reached is added with a warning.`,
		Example: `  smfs peer add nas ssh://nas.lan/home/me/mirror
  smfs peer add nas ssh://nas.lan/home/me/mirror --command /opt/smfs/bin/smfs`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			p.Name, p.URL = args[0], args[1]
			return a.addPeer(cmd.Context(), p)
		},
	}
	c.Flags().StringVar(&p.Command, "command", "", "`PATH` of smfs on the other machine")
	c.Flags().BoolVar(&p.Join, "join", false, "unite resources although both hold files and have never been one")
	return a.withJSON(c)
}

func (a *app) addPeer(ctx context.Context, p backend.PeerSpec) error {
	return a.withEngine(ctx, nil, func(_ *mirror, c *control.Client) error {
		added, err := c.AddPeer(ctx, p)
		if err != nil {
			return err
		}
		if added.Warning != "" {
			a.warn("%s", clean(added.Warning))
		}
		if a.json {
			return a.printJSON(added)
		}
		switch {
		case !added.Reachable:
			a.say("added %s; it is tried again from now on", clean(p.Name))
		default:
			a.say("added %s, shared: %s", clean(p.Name), clean(orDash(strings.Join(added.Resources, ", "))))
		}
		return nil
	})
}

func (a *app) peerRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "remove NAME",
		Aliases: []string{"rm"},
		Short:   "Stop sharing with a peer",
		Long: `Stop sharing with the peer NAME. No file is removed, here or there. The other
machine may still connect to this one: remove this one there as well.`,
		Example: `  smfs peer remove nas`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withEngine(cmd.Context(), nil, func(_ *mirror, c *control.Client) error {
				return c.RemovePeer(cmd.Context(), args[0])
			})
		},
	}
}

func (a *app) peerListCommand() *cobra.Command {
	return a.withJSON(&cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the peers and their states",
		Example: `  smfs peer list`,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withEngine(cmd.Context(), nil, func(_ *mirror, c *control.Client) error {
				peers, err := c.Peers(cmd.Context())
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(peers)
				}
				if len(peers) == 0 {
					a.warn("no peers; `smfs peer add NAME URL` adds one")
					return nil
				}
				return a.printPeers(peers)
			})
		},
	})
}
