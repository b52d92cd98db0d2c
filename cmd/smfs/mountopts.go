package main

import (
	"path/filepath"
	"strings"

	"github.com/silvermirror/smfs/backend"
	"github.com/silvermirror/smfs/fs"
)

// mountOptions are the options of `smfs mount` that the filesystem looks at.
type mountOptions struct {
	noPassthrough bool
	allowOther    bool
	remount       bool
	source        string
	flags         []string // generic ones, as fs.Options has them
}

// otherOptions are what fstab says to mount(8) and service managers, and what
// is so anyway.
var otherOptions = map[string]bool{
	"defaults": true, "auto": true, "noauto": true, "user": true, "nouser": true, "users": true, "owner": true, "group": true,
	"nofail": true, "_netdev": true, "default_permissions": true,
}

// kernelOptions are what tables of mounts show of a mount: mount(8) repeats it when
// it remounts.
var kernelOptions = map[string]bool{"user_id": true, "group_id": true, "max_read": true, "blksize": true, "rootmode": true, "fd": true, "subtype": true}

// parse takes the arguments of -o: a list of options each, separated by commas.
func (o *mountOptions) parse(lists []string) error {
	for _, list := range lists {
		for _, option := range strings.Split(list, ",") {
			name, value, _ := strings.Cut(option, "=")
			switch {
			case option == "no_passthrough":
				o.noPassthrough = true
			case option == "allow_other":
				o.allowOther = true
			case option == "remount":
				o.remount = true
			case name == "fsname" && value != "":
				o.source = value
			case fs.IsMountFlag(option):
				o.flags = append(o.flags, option)
			case option == "", otherOptions[option], kernelOptions[name], strings.HasPrefix(option, "x-"), name == "comment":
			default:
				return backend.WithHint(usagef("unknown mount option %q", option), "`smfs help mount` lists them")
			}
		}
	}
	return nil
}

// checkSource refuses what looks as if another directory were mounted.
func (o *mountOptions) checkSource(dir string) error {
	if !filepath.IsAbs(o.source) || sameDir(o.source, dir) {
		return nil
	}
	return backend.WithHint(usagef("%s cannot be mounted at %s: a mirror is mounted over its own directory", clean(o.source), clean(dir)),
		"give the same directory twice: `mount -t smfs "+dir+" "+dir+"`")
}

// args are the arguments that make another process have the same options.
func (o *mountOptions) args() []string {
	var args []string
	add := func(option string) { args = append(args, "-o", option) }
	if o.noPassthrough {
		add("no_passthrough")
	}
	if o.allowOther {
		add("allow_other")
	}
	if o.source != "" {
		add("fsname=" + o.source)
	}
	for _, f := range o.flags {
		add(f)
	}
	return args
}

// commandLine is what the program is to do by its name and arguments: as
// mount.smfs it is called by mount(8), with a line of fstab or of its own. What
// mount(8) does not forbid, root's mount has, as with other filesystems.
func commandLine(argv []string, root bool) []string {
	if !strings.HasPrefix(filepath.Base(argv[0]), "mount.") {
		return argv[1:]
	}
	var named, options []string
	if root {
		options = []string{"suid", "dev"}
	}
	for rest := argv[1:]; len(rest) > 0; {
		arg := rest[0]
		rest = rest[1:]
		if !strings.HasPrefix(arg, "-") {
			named = append(named, arg)
			continue
		}
		if takes := arg == "-o" || arg == "-t" || arg == "-N"; takes && len(rest) > 0 {
			if arg == "-o" {
				options = append(options, rest[0])
			}
			rest = rest[1:]
			continue
		}
		if text, ok := strings.CutPrefix(arg, "-o"); ok {
			options = append(options, text)
		}
	}
	args := []string{"mount"}
	if len(named) > 0 && !strings.Contains(named[0], ",") {
		options = append([]string{"fsname=" + named[0]}, options...)
	}
	for _, o := range options {
		args = append(args, "-o", o)
	}
	args = append(args, "--")
	if len(named) > 1 {
		named = named[1:]
	}
	return append(args, named...)
}
