package e2e

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/silvermirror/smfs/fstest"
)

var workFull = flag.Bool("work.full", false, "work with the whole of Go's source tree, and build from it")

// job is a piece of real work: a shell script that runs in a directory of its
// own, once on the plain disk and once in the mount, where the jobs before it
// have run.
type job struct {
	name   string
	script string
	full   string // in place of script where the work is in full
}

func jobs() []job {
	return []job{
		{name: "unpack by tar",
			script: `mkdir src && tar -C "$GOROOT/src" -cf - net go errors | tar -C src -xf -`,
			full:   `tar -C "$GOROOT" -cf - src go.env VERSION pkg/include | tar -xf -`},
		{name: "cp -a", script: `cp -a src/net copy`},
		{name: "go build",
			script: `mkdir hello && cd hello && printf 'module hello\n\ngo 1.22\n' >go.mod &&
				printf 'package main\n\nimport "errors"\n\nfunc main() { println(errors.New("built").Error()) }\n' >main.go &&
				go build -trimpath -buildvcs=false -o hello . && ./hello 2>&1 | grep -qx built`,
			full: `cache=$PWD/.gocache && root=$PWD && cp -a "$GOROOT/pkg/tool" "$GOROOT/bin" . && mkdir -p pkg && mv tool pkg/ &&
				cd src/cmd/gofmt && GOROOT=$root GOCACHE=$cache GOTOOLCHAIN=local "$root/bin/go" build -trimpath -buildvcs=false -o "$root/gofmt" . &&
				cd "$root" && ./gofmt -l src/errors >/dev/null && rm -rf "$cache"`},
		{name: "git init, add, commit",
			script: `cd src && git init -q && git add . && git commit -qm all && test -z "$(git status --porcelain)" &&
				git fsck --strict --no-progress && git checkout -q -b other && git mv go gone && git commit -qm moved &&
				git checkout -q - && git rev-parse HEAD other >../revisions`},
		{name: "sqlite3 with WAL",
			script: `sqlite3 t.db 'pragma journal_mode=wal; create table t(x);' >/dev/null &&
				{ for i in $(seq 200); do echo "insert into t values($i);"; done | sqlite3 -bail -cmd '.timeout 60000' t.db & } &&
				for i in $(seq 20); do sqlite3 -bail -cmd '.timeout 60000' t.db 'select count(*) from t' >/dev/null || exit 1; done &&
				wait $! && sqlite3 t.db 'select count(*), sum(x) from t; pragma integrity_check; pragma wal_checkpoint(truncate)' >sqlite.out &&
				grep -qx '200|20100' sqlite.out && grep -qx ok sqlite.out`},
		{name: "hard links by rsync -aH and tar",
			script: `mkdir links && echo one >links/a && ln links/a links/b && ln -s a links/c && cp -a src/errors links/d && ln links/d/errors.go links/e &&
				rsync -aH links/ synced/ && mkdir untarred && tar -C links -cf links.tar . && tar -C untarred -xf links.tar && rm links.tar &&
				test "$(stat -c %h synced/a)" = 2 && test "$(stat -c %h untarred/e)" = 2`},
		{name: "rsync again", script: `echo more >>links/a && rsync -aH --delete links/ synced/ && rsync -aHc --delete --out-format=%n links/ synced/ >rsync.out && ! test -s rsync.out`},
		{name: "sed -i", script: `find copy -name '*.go' -print0 | xargs -0 sed -i 's/Copyright/copyright/' && ! grep -rq Copyright --include='*.go' copy`},
		{name: "editors",
			script: `cp src/errors/errors.go edited.go && chmod 750 edited.go && ln -s edited.go edited.link
				if command -v vim >/dev/null; then vim -es -u NONE -N -c 'normal ggOedited by vim' -c 'wq' edited.link; else sed -i --follow-symlinks '1i edited by vim' edited.link; fi
				head -n 1 edited.go | grep -qx 'edited by vim' && test -L edited.link`},
		{name: "rm -r", script: `cp -a links gone && rm -r gone && rm -r copy`},
	}
}

// run runs the job's script in a directory and says how long it took.
func (j job) run(t *testing.T, dir string) time.Duration {
	t.Helper()
	script := j.script
	if *workFull && j.full != "" {
		script = j.full
	}
	cmd := exec.Command("sh", "-c", script)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOROOT="+goroot(t), "GOFLAGS=", "GOWORK=off",
		"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null",
		"GIT_CONFIG_COUNT=2", "GIT_CONFIG_KEY_0=gc.auto", "GIT_CONFIG_VALUE_0=0", // nothing goes on in the background
		"GIT_CONFIG_KEY_1=maintenance.auto", "GIT_CONFIG_VALUE_1=false",
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.org", "GIT_AUTHOR_DATE=2020-01-01T00:00:00Z",
		"GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.org", "GIT_COMMITTER_DATE=2020-01-01T00:00:00Z")
	start := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s in %s: %v\n%s", j.name, dir, err, out)
	}
	return time.Since(start)
}

func goroot(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOROOT").Output()
	check(t, err)
	return strings.TrimSpace(string(out))
}

// unlike tells what two runs of the same work need not share: what git and
// sqlite keep for themselves.
func unlike(rel string) bool {
	base := filepath.Base(rel)
	return base == ".git" || strings.HasPrefix(base, "t.db")
}

// dotGit is what a mirror leaves out unless told otherwise.
func dotGit(rel string) bool { return filepath.Base(rel) == ".git" }

// TestWork does real work in the mount and on the plain disk, and compares what
// comes of it, and the head with the mount.
func TestWork(t *testing.T) {
	for name, args := range dataPaths {
		t.Run(name, func(t *testing.T) {
			native := t.TempDir()
			m := newMirror(t)
			m.Mount(args...)
			t.Logf("%-34s %10s %10s   %s %s/%s", "job", "native", "mount", runtime.Version(), runtime.GOOS, runtime.GOARCH)
			for _, j := range jobs() {
				plain, mounted := j.run(t, native), j.run(t, m.Dir)
				t.Logf("%-34s %10s %10s", j.name, plain.Round(time.Millisecond), mounted.Round(time.Millisecond))
			}
			start := time.Now()
			m.Run("wait", "--committed", "--timeout", "10m")
			t.Logf("%-34s %10s %10s", "committed after", "", time.Since(start).Round(time.Millisecond))
			check(t, sameWork(native, m))
			check(t, errors.Join(sameAsHead(m, dotGit), fsck(m)))
			m.Umount()
			check(t, sameAsHead(m, dotGit))
		})
	}
}

// sameWork compares what the work has left in the two directories.
func sameWork(native string, m *fstest.Mirror) error {
	want, err := fstest.Shown(native, false, unlike)
	if err != nil {
		return err
	}
	got, err := fstest.Shown(m.Dir, false, func(rel string) bool { return own(rel) || unlike(rel) })
	if err != nil {
		return err
	}
	if d := fstest.Differences(want, got); d != "" {
		return fmt.Errorf("on the plain disk (-) and in the mount (+):\n%s", d)
	}
	return nil
}
