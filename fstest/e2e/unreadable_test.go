package e2e

import (
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/silvermirror/smfs/fstest"
)

// TestUnreadableFile has one file whose blocks the disk cannot read, and one whose
// inode is damaged: both are named, neither is deleted, and all else is committed.
func TestUnreadableFile(t *testing.T) {
	forRoot(t)
	t.Parallel()
	const size = 64 << 20
	d := newDisk(t, size)
	check(t, os.Mkdir(d.dir+"/M", 0o755))
	m := fstest.MirrorAt(t, fstest.Program{Path: fstest.Build(t)}, d.dir+"/M")
	m.Mount()
	text := strings.Repeat("text ", 4000) // 5 blocks
	for _, name := range []string{"bad", "worse", "good"} {
		check(t, put(m, name, text))
	}
	m.Run("wait", "--committed")
	m.Umount()
	d.umount()
	d.moveToEnd("M/bad", size/4096-8)
	d.mount()
	check(t, os.Truncate(d.image, size-8*4096)) // a read beyond the end is an error
	m.Mount()
	if _, err := os.ReadFile(m.Path("bad")); !errors.Is(err, unix.EIO) {
		t.Fatalf("reading bad: %v", err)
	}
	now := unix.NsecToTimeval(1e18)
	check(t, errors.Join(put(m, "good", "other"), unix.Utimes(m.Path("bad"), []unix.Timeval{now, now})))
	exitsWith(t, m, exitFailure, "bad: read \"bad\": input/output error", "wait", "--committed")
	contains(t, m.Status().Resources[0].Problem, "bad", "input/output error")
	if got := m.Git("show", "main:good"); got != "other" {
		t.Errorf("good is %.20q in the head", got)
	}
	if got := m.Git("show", "main:bad"); got != strings.TrimSpace(text) {
		t.Errorf("bad is %.20q in the head", got)
	}
	check(t, put(m, "bad", "written anew"))
	m.Run("wait", "--committed")
	eventually(t, "a status without a problem", func() bool { return m.Status().Resources[0].Problem == "" })
	m.Umount()
	d.umount()
	check(t, os.Truncate(d.image, size))
	d.debug("set_inode_field M/worse block[0] 0")
	d.mount()
	m.Mount()
	if _, err := os.ReadFile(m.Path("worse")); !errors.Is(err, unix.EUCLEAN) {
		t.Fatalf("reading worse: %v", err)
	}
	check(t, put(m, "good", "another"))
	m.Run("wait", "--committed")
	contains(t, m.Status().Resources[0].Problem, "worse", "structure needs cleaning")
	if got := m.Git("show", "main:worse") + m.Git("show", "main:good"); got != strings.TrimSpace(text)+"another" {
		t.Errorf("worse and good are %.20q in the head", got)
	}
}
