package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/silvermirror/smfs/fstest"
)

// withFar makes a mirror with a resource whose directory is elsewhere.
func withFar(t *testing.T) (m *fstest.Mirror, outside string) {
	t.Helper()
	m = newMirror(t)
	outside = filepath.Join(t.TempDir(), "outside")
	check(t, os.Mkdir(outside, 0o755))
	configured(t, m, "[::SilverMirror::]", "[far]", "directory = "+outside, "ignore = *.tmp")
	return m, outside
}

// farHead lists the files of the resource's head with their contents. It asks
// no engine: most commands would look for changes.
func farHead(t *testing.T, m *fstest.Mirror) (files []string) {
	t.Helper()
	git := func(args ...string) string {
		out, err := exec.Command("git", append([]string{"--git-dir=" + m.Path(".silvermirror/store/far.git")}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("git %s: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	if git("for-each-ref", "refs/heads/main") == "" {
		return nil
	}
	head := git("rev-parse", "main")
	for line := range strings.Lines(git("ls-tree", "-r", "--format=%(objectname)%(path)", head)) {
		id, path := line[:40], strings.TrimSpace(line[40:])
		if !slices.Contains(strings.Split(path, "/"), ".smfs") {
			files = append(files, path+"="+git("cat-file", "blob", id))
		}
	}
	return files
}

// TestChangedBesideTheMount changes an external resource beside the mount: it is
// committed without a command, and `wait` counts it.
func TestChangedBesideTheMount(t *testing.T) {
	t.Parallel()
	m, outside := withFar(t)
	at := func(rel string) string { return filepath.Join(outside, rel) }
	write(t, at("before"), "the mount")
	m.Mount()
	for _, step := range []struct {
		do   func()
		want string
	}{
		{func() {}, "before=the mount"},
		{func() { write(t, at("f"), "created") }, "before=the mount f=created"},
		{func() { write(t, at("f"), "edited"); write(t, at("f.tmp"), "ignored") }, "before=the mount f=edited"},
		{func() { check(t, os.Rename(at("f"), at("g"))) }, "before=the mount g=edited"},
		{func() { check(t, os.Remove(at("before"))) }, "g=edited"},
		{func() { check(t, os.MkdirAll(at("a/b"), 0o755)); write(t, at("a/b/c"), "deep") }, "a/b/c=deep g=edited"},
		{func() { check(t, os.Rename(at("a"), at("z"))); write(t, at("z/b/d"), "moved") }, "g=edited z/b/c=deep z/b/d=moved"},
		{func() { check(t, put(m, "far/z/through", "the mount")) }, "g=edited z/b/c=deep z/b/d=moved z/through=the mount"},
		{func() {
			check(t, os.Rename(at("z"), outside+".away"))
			check(t, os.Mkdir(at("z"), 0o755))
			write(t, at("z/new"), "in its place")
		}, "g=edited z/new=in its place"},
		{func() {
			check(t, os.Rename(at("z"), outside+".away2"))
			write(t, at("z"), "a file")
		}, "g=edited z=a file"},
		{func() { check(t, os.RemoveAll(at("z"))) }, "g=edited"},
	} {
		step.do()
		eventually(t, "a head with "+step.want, func() bool { return strings.Join(farHead(t, m), " ") == step.want })
	}
	if got := content(t, m.Path("far/g")); got != "edited" {
		t.Errorf("the mount shows %q", got)
	}
	for i := range 5 {
		write(t, at("waited"), fmt.Sprint(i))
		m.Run("wait", "--committed")
		if got, want := strings.Join(farHead(t, m), " "), fmt.Sprint("g=edited waited=", i); got != want {
			t.Errorf("after wait the head has %q, want %q", got, want)
		}
	}
	if s := m.Status().Resources[0]; s.Problem != "" || s.Pending > 0 {
		t.Errorf("status: %+v", s)
	}
}

// TestLinkToTheMount: a link that leads from an external resource back into the
// mount is not followed.
func TestLinkToTheMount(t *testing.T) {
	t.Parallel()
	m, outside := withFar(t)
	check(t, os.Symlink(m.Dir, filepath.Join(outside, "back")))
	m.Mount()
	write(t, filepath.Join(outside, "f"), "x")
	want := "back=" + m.Dir + " f=x"
	eventually(t, want, func() bool { return strings.Join(farHead(t, m), " ") == want })
	if s := m.Status().Resources[0]; s.Problem != "" {
		t.Errorf("status: %+v", s)
	}
}

// TestWatchLimit: where the kernel lets no more directories be watched, status
// says what to do, and scans find the changes.
func TestWatchLimit(t *testing.T) {
	t.Parallel()
	m, outside := withFar(t)
	check(t, os.MkdirAll(filepath.Join(outside, "a/b/c"), 0o755))
	// A user namespace has a limit of its own.
	script := `echo 2 > /proc/sys/user/max_inotify_watches || exit 1
"$0" -C "$1" wait --committed && "$0" -C "$1" status --json || exit 1
while read command; do "$0" -C "$1" $command; done; "$0" umount "$1"`
	cmd := exec.Command("unshare", "--user", "--map-root-user", "sh", "-c", script, m.Program.Path, m.Dir)
	var failure bytes.Buffer
	cmd.Stderr = &failure
	stdin, err := cmd.StdinPipe()
	check(t, err)
	stdout, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	answers := json.NewDecoder(stdout)
	status := func() (s fstest.Status) {
		if err := answers.Decode(&s); err != nil {
			cmd.Wait()
			t.Fatalf("no status: %v\n%s", err, &failure)
		}
		return s
	}
	contains(t, status().Resources[0].Problem, "sysctl -w fs.inotify.max_user_watches=")
	write(t, filepath.Join(outside, "a/b/c/f"), "x")
	eventually(t, "the file, by a scan", func() bool {
		_, err := io.WriteString(stdin, "status --json\n") // keeps the engine
		check(t, err)
		status()
		return strings.Join(farHead(t, m), " ") == "a/b/c/f=x"
	})
	check(t, stdin.Close())
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, &failure)
	}
}

// TestMovedElsewhere moves the directory of an external resource away under its
// mount: status says so as long as it is.
func TestMovedElsewhere(t *testing.T) {
	t.Parallel()
	m := newMirror(t)
	outside := filepath.Join(t.TempDir(), "far")
	check(t, os.Mkdir(outside, 0o755))
	write(t, filepath.Join(outside, "f"), "text")
	configured(t, m, "[::SilverMirror::]", "[far]", "directory = "+outside)
	m.Mount()
	m.Run("wait", "--committed")
	check(t, os.Rename(outside, outside+".away"))
	check(t, os.Mkdir(outside, 0o755))
	says := func() bool { return strings.Contains(m.Status().Resources[0].Problem, "put it back") }
	eventually(t, "status to tell", says)
	check(t, errors.Join(os.Remove(outside), os.Rename(outside+".away", outside)))
	m.Run("sync")
	if says() || m.Status().Resources[0].Files != 1 {
		t.Errorf("after it is back: %+v", m.Status().Resources[0])
	}
}
