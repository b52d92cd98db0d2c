// Command smfs turns directories into mirrors: journaled, versioned and kept
// the same on every machine that shares them.
//
// The commands are thin: each file parses one command, calls the engine of the
// mirror through package backend/control, and prints. The engine runs in a
// process of its own (daemon.go), one for each mirror: started by `smfs mount`,
// or, without a mount, by the first command that needs it.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	code := run(ctx, newApp(), commandLine(os.Args, os.Geteuid() == 0))
	stop()
	os.Exit(code)
}
