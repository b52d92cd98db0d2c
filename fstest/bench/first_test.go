package bench

import (
	"os/exec"
	"testing"
	"time"

	"github.com/silvermirror/smfs/fstest"
	"github.com/silvermirror/smfs/fstest/sshd"
)

// BenchmarkFirst measures the first commit of a source tree, and its first
// sync to a peer, beside `git add && git commit` of the same files.
func BenchmarkFirst(b *testing.B) {
	host := sshd.Start(b)
	p := fstest.Program{Path: fstest.Build(b), Env: host.Env()}
	source := goSource(b)
	for range b.N {
		from, to := fstest.NewMirror(b, p, "A"), fstest.NewMirror(b, p, "B")
		run(b, "cp", "-r", source, from.Path("src"))
		start := time.Now()
		from.Run("sync")
		commit := time.Since(start)
		from.Mount()
		to.Mount()
		from.Run("wait", "--timeout", "60s")
		start = time.Now()
		from.Run("peer", "add", "b", host.URL(to.Dir), "--command", p.Path)
		from.Run("wait", "--mirrored", "--timeout", "300s")
		sync := time.Since(start)
		git := gitCommit(b, from.Dir, "src")
		b.ReportMetric(commit.Seconds(), "s-commit")
		b.ReportMetric(sync.Seconds(), "s-sync")
		b.ReportMetric(git.Seconds(), "s-git")
		b.ReportMetric(git.Seconds()/commit.Seconds(), "x-git/commit")
	}
}

func goSource(b *testing.B) string {
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		b.Fatal(err)
	}
	return string(out[:len(out)-1]) + "/src"
}

func run(b *testing.B, name string, args ...string) {
	b.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		b.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}
