package bench

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// BenchmarkWork measures real work, on Go's source tree (11,500 files).
func BenchmarkWork(b *testing.B) {
	root := filepath.Dir(goSource(b))
	archive := filepath.Join(b.TempDir(), "go.tar")
	run(b, "tar", "-C", root, "-cf", archive, "src", "go.env", "VERSION", "pkg/include")
	script := func(text string) func(string) (time.Duration, error) {
		return timed(func(dir string) error {
			cmd := exec.Command("sh", "-ec", text)
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), "TOOLS="+root, "ARCHIVE="+archive, "GOFLAGS=", "GOWORK=off", "GOTOOLCHAIN=local",
				"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null", "GIT_CONFIG_COUNT=4",
				"GIT_CONFIG_KEY_0=gc.auto", "GIT_CONFIG_VALUE_0=0", "GIT_CONFIG_KEY_1=maintenance.auto", "GIT_CONFIG_VALUE_1=false",
				"GIT_CONFIG_KEY_2=user.name", "GIT_CONFIG_VALUE_2=x", "GIT_CONFIG_KEY_3=user.email", "GIT_CONFIG_VALUE_3=x@example.org")
			if out, err := cmd.CombinedOutput(); err != nil {
				return fmt.Errorf("%w\n%s", err, out)
			}
			return nil
		})
	}
	compare(b, inSeconds, []job{
		{name: "tar -x", do: script(`mkdir go && tar -C go -xf "$ARCHIVE"`)},
		{name: "grep -r, cold", cold: true, do: script(`! grep -rq no.such.word.anywhere go/src`)},
		{name: "grep -r", do: script(`! grep -rq no.such.word.anywhere go/src`)},
		{name: "go build", do: script(`cd go && ln -s "$TOOLS/pkg/tool" pkg/tool &&
			GOROOT=$PWD GOCACHE=$PWD/cache "$TOOLS/bin/go" build -trimpath -o gofmt cmd/gofmt`)},
		{name: "git add, commit", do: script(`cd go && git init -q && git add src && git commit -qm all`)},
		{name: "git status, cold", cold: true, do: script(`cd go && test -z "$(git status --porcelain src)"`)},
		{name: "git status", do: script(`cd go && test -z "$(git status --porcelain src)"`)},
		{name: "git clone", do: script(`git clone -q go clone`)},
		{name: "sqlite, 1,000 transactions", do: script(`{ echo 'create table t(x);'; for i in $(seq 1000); do echo "insert into t values($i);"; done; } | sqlite3 -bail t.db`)},
		{name: "rm -rf", do: script(`rm -rf go clone`)},
	})
}
