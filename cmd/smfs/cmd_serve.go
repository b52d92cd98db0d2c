package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/silvermirror/smfs/backend"
	"github.com/silvermirror/smfs/backend/control"
	"github.com/silvermirror/smfs/backend/peer"
	"github.com/spf13/cobra"
)

func (a *app) serveCommand() *cobra.Command {
	var stdio bool
	c := &cobra.Command{
		Use:   "serve --stdio [DIR]",
		Short: "Speak with a peer over standard input and output",
		Long: `Speak with a peer over standard input and output. A peer's ssh starts this; the
mirror at DIR may be mounted or not.`,
		Example:           `  ssh nas.lan smfs serve --stdio /home/me/mirror`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: directories,
		RunE: func(cmd *cobra.Command, args []string) error {
			if !stdio {
				return usagef("serve needs --stdio")
			}
			if len(args) > 0 {
				a.dir = args[0]
			}
			return a.withEngine(cmd.Context(), nil, func(_ *mirror, c *control.Client) error {
				return a.serveStdio(cmd.Context(), c)
			})
		},
	}
	c.Flags().BoolVar(&stdio, "stdio", false, "serve the one peer at standard input and output")
	return c
}

// serveStdio joins standard input and output with a session of the engine. It
// returns when the engine has ended the session, which it does after the end
// of the input, and fails if that did not come from a peer.
func (a *app) serveStdio(ctx context.Context, c *control.Client) error {
	session, err := c.Session(ctx)
	if err != nil {
		return err
	}
	defer session.Close()
	stop := context.AfterFunc(ctx, func() { session.Close() })
	defer stop()
	// Not waited for: a read of standard input cannot be cancelled, and when
	// the session has ended the process does, too.
	said := &beginning{}
	go func() {
		_, err := io.Copy(session, io.TeeReader(a.stdin, said))
		if err != nil || session.CloseWrite() != nil {
			session.Close()
		}
	}()
	if _, err := io.Copy(a.stdout, session); err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	if err := peer.CheckGreeting(said.bytes()); err != nil {
		return backend.WithHint(fmt.Errorf("serve standard input: %w", err),
			"a peer's ssh starts this; `smfs peer add` on the other machine makes one")
	}
	return nil
}

// beginning keeps the first bytes of what is written to it: enough for a
// peer's greeting.
type beginning struct {
	mu   sync.Mutex
	kept []byte
}

func (b *beginning) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.kept = append(b.kept, p[:min(len(p), peer.GreetingSize-len(b.kept))]...)
	return len(p), nil
}

func (b *beginning) bytes() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.kept)
}
