package main

import (
	"os"
	"os/exec"
	"runtime"

	"github.com/silvermirror/smfs/fs"
	"github.com/spf13/cobra"
)

const announceName = "announce"

// init keeps the announcer on its first thread: that one's number is the
// process's, which the daemon knows it by.
func init() {
	if len(os.Args) > 1 && os.Args[1] == announceName {
		runtime.LockOSThread()
	}
}

// announceCommand is what a daemon starts so that programs that watch hear of
// changes from elsewhere.
func (a *app) announceCommand() *cobra.Command {
	return &cobra.Command{
		Use:    announceName + " DIR",
		Short:  "Announce changes in a mount to programs that watch",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return fs.Announce(args[0], a.stdin, a.stdout)
		},
	}
}

// announcer is the command that runs it, this very program, wherever that is by now.
func announcer(dir string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", announceName, "--", dir)
	cmd.Args[0] = "smfs"
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	cmd.Stderr = os.Stderr
	return cmd
}
