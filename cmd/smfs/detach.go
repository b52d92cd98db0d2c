package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/silvermirror/smfs/backend"
	"golang.org/x/sys/unix"
)

// detach removes the mount of a daemon that died. What still has files open in
// it keeps getting errors for them.
func detach(dir string) error {
	if os.Geteuid() == 0 {
		if err := unix.Unmount(dir, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
			return fmt.Errorf("detach the dead mount at %s: %w", dir, err)
		}
		return nil
	}
	cmd := exec.Command("fusermount3", "-u", "-z", "--", dir)
	cmd.Dir = "/"
	out, err := cmd.CombinedOutput()
	if err != nil {
		return backend.WithHint(
			fmt.Errorf("detach the dead mount at %s: %w: %s", dir, err, strings.TrimSpace(string(out))),
			"as root: umount -l "+dir)
	}
	return nil
}
