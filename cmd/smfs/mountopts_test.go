package main

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestMountOptions(t *testing.T) {
	var o mountOptions
	if err := o.parse([]string{"defaults,allow_other,noauto,user_id=0,group_id=0,max_read=1048576", "x-systemd.automount,fsname=a=b,,no_passthrough,comment=none,ro,suid"}); err != nil {
		t.Fatal(err)
	}
	want := mountOptions{noPassthrough: true, allowOther: true, source: "a=b", flags: []string{"ro", "suid"}}
	if !reflect.DeepEqual(o, want) {
		t.Errorf("parsed %+v, want %+v", o, want)
	}
	var again mountOptions
	args := o.args()
	for i := 0; i < len(args); i += 2 {
		if args[i] != "-o" {
			t.Fatalf("arguments %q", args)
		}
		if err := again.parse(args[i+1 : i+2]); err != nil {
			t.Fatal(err)
		}
	}
	if !reflect.DeepEqual(again, want) {
		t.Errorf("another process has %+v, want %+v", again, want)
	}
	for _, bad := range []string{"alow_other", "fsname=", "uid=3", "allow_other=1", "ro=1"} {
		if err := new(mountOptions).parse([]string{bad}); err == nil || exitCode(err) != exitUsage || !strings.Contains(err.Error(), bad) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// TestMountHelper has the command lines with which mount(8) calls its helper.
func TestMountHelper(t *testing.T) {
	asRoot := commandLine(strings.Fields("mount.smfs /m /m -o nosuid,ro"), true)
	if want := strings.Fields("mount -o fsname=/m -o suid -o dev -o nosuid,ro -- /m"); !slices.Equal(asRoot, want) {
		t.Errorf("as root: %q, want %q", asRoot, want)
	}
	for _, c := range []struct{ call, want string }{
		{"smfs status --json", "status --json"},
		{"/usr/bin/smfs mount x", "mount x"},
		{"/sbin/mount.smfs /m /m -o rw,allow_other", "mount -o fsname=/m -o rw,allow_other -- /m"},
		{"/sbin/mount.smfs /m /m -sv -n -N 3 -t fuse.smfs -oro", "mount -o fsname=/m -o ro -- /m"},
		{"mount.fuse.smfs name /m", "mount -o fsname=name -- /m"},
		{"mount.smfs /m,n /m,n", "mount -- /m,n"}, // a comma ends an option
		{"mount.smfs /m", "mount -o fsname=/m -- /m"},
	} {
		if got := commandLine(strings.Fields(c.call), false); !slices.Equal(got, strings.Fields(c.want)) {
			t.Errorf("%s: %q, want %q", c.call, got, c.want)
		}
	}
}
