package fs

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// mountFlag is what a generic option of mount(8) does to the flags of mount(2).
type mountFlag struct{ set, clear uintptr }

// mountFlags are the generic options that mean something here.
var mountFlags = map[string]mountFlag{
	"ro":            {set: unix.MS_RDONLY},
	"rw":            {clear: unix.MS_RDONLY},
	"nosuid":        {set: unix.MS_NOSUID},
	"suid":          {clear: unix.MS_NOSUID},
	"nodev":         {set: unix.MS_NODEV},
	"dev":           {clear: unix.MS_NODEV},
	"noexec":        {set: unix.MS_NOEXEC},
	"exec":          {clear: unix.MS_NOEXEC},
	"sync":          {set: unix.MS_SYNCHRONOUS},
	"async":         {clear: unix.MS_SYNCHRONOUS},
	"dirsync":       {set: unix.MS_DIRSYNC},
	"noatime":       {set: unix.MS_NOATIME},
	"atime":         {clear: unix.MS_NOATIME},
	"nodiratime":    {set: unix.MS_NODIRATIME},
	"diratime":      {clear: unix.MS_NODIRATIME},
	"relatime":      {set: unix.MS_RELATIME},
	"norelatime":    {clear: unix.MS_RELATIME},
	"strictatime":   {set: unix.MS_STRICTATIME},
	"nostrictatime": {clear: unix.MS_STRICTATIME},
	"lazytime":      {set: unix.MS_LAZYTIME},
	"nolazytime":    {clear: unix.MS_LAZYTIME},
}

// IsMountFlag tells whether name is a generic option that [Options].Flags takes.
func IsMountFlag(name string) bool {
	_, ok := mountFlags[name]
	return ok
}

// mountFlagBits are the flags for mount(2). Later options win; by default
// nothing setuid and no device is taken from the files.
func mountFlagBits(names []string) uintptr {
	bits := uintptr(unix.MS_NOSUID | unix.MS_NODEV)
	for _, name := range names {
		f := mountFlags[name]
		bits = bits&^f.clear | f.set
	}
	return bits
}

// Remount gives the mount at dir other generic options, see [Options].Flags: all
// that are to hold. It takes root.
func Remount(dir string, flags []string) error {
	err := unix.Mount("", dir, "", unix.MS_REMOUNT|mountFlagBits(flags), "")
	if err == unix.EPERM {
		return fmt.Errorf("remount %s: %w: only root may; unmount it and mount it with the other options", dir, ErrRefused)
	}
	if err != nil {
		return fmt.Errorf("remount %s: %w", dir, err)
	}
	return nil
}

// fuseOptionText is the data for mount(2), or what fusermount3 takes after -o.
func fuseOptionText(o Options, list []string) string {
	if o.AllowOther {
		list = append(list, "allow_other")
	}
	return strings.Join(list, ",")
}
