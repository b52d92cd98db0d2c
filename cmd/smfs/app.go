package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

// app is one run of the program: its surroundings and the global flags.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	env            func(string) string
	getwd          func() (string, error)

	dir    string // -C
	config string // -c
	json   bool   // --json
	began  bool   // the arguments were understood, a command runs
}

func newApp() *app {
	return &app{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, env: os.Getenv, getwd: os.Getwd}
}

// run executes one command line and returns the exit code.
func run(ctx context.Context, a *app, args []string) int {
	root := newRoot(a)
	root.SetArgs(args)
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	err := root.ExecuteContext(ctx)
	if err != nil && !a.began {
		// cobra spreads its suggestions over several lines.
		err = usagef("%s", strings.Join(strings.Fields(err.Error()), " "))
	}
	if err == nil {
		return exitOK
	}
	if ctx.Err() != nil {
		err = fmt.Errorf("interrupted: %w", err)
	}
	a.printError(err)
	if ctx.Err() != nil {
		return exitInterrupted
	}
	return exitCode(err)
}

const rootLong = `smfs turns a directory into a mirror: every file in it stays an ordinary file,
every change is journaled as it happens, committed in the background to a
history that plain git reads, and carried to every peer over SSH.

The mirror a command is for: the one at or around DIR of -C DIR, else the one
that -c FILE configures, else the one that the PATH arguments are in, else
$SMFS_CONFIG, else the one around the working directory. PATH arguments are
absolute, or relative to the working directory; where that is outside of DIR of
-C, they are relative to DIR.`

const rootExample = `  smfs mount ~/mirror                       make a mirror and mount it
  smfs peer add nas ssh://nas.lan/home/me/mirror
  smfs tag report.txt work urgent
  ls ~/mirror/@tags/work,urgent/
  ls ~/mirror/@history/yesterday/           all as it was
  smfs log report.txt`

func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:           "smfs",
		Short:         "Mirrors: files that are journaled, versioned and the same everywhere",
		Long:          rootLong,
		Example:       rootExample,
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRun: func(*cobra.Command, []string) {
			a.began = true
		},
	}
	flags := root.PersistentFlags()
	flags.StringVarP(&a.dir, "directory", "C", "", "the mirror at or around `DIR`")
	flags.StringVarP(&a.config, "config", "c", "", "the mirror that `FILE` configures")
	root.AddCommand(
		a.initCommand(), a.mountCommand(), a.umountCommand(), a.statusCommand(),
		a.peerCommand(), a.serveCommand(), a.syncCommand(), a.waitCommand(),
		a.commitCommand(), a.logCommand(), a.diffCommand(), a.restoreCommand(), a.undoCommand(), a.conflictsCommand(), a.fsckCommand(),
		a.tagCommand(), a.untagCommand(), a.tagsCommand(),
		a.versionCommand(), a.engineCommand(), a.announceCommand(), exitCodeTopic(),
	)
	return root
}

// withJSON gives a command the --json flag.
func (a *app) withJSON(c *cobra.Command) *cobra.Command {
	c.Flags().BoolVar(&a.json, "json", false, "print JSON for programs")
	return c
}

// noArgs refuses arguments of a command that has none. cobra's own check takes
// them for misspelt commands.
func noArgs(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("%s takes no argument, and %q was given", c.CommandPath(), args[0])
	}
	return nil
}

// directories completes arguments with directories.
func directories(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveFilterDirs
}
