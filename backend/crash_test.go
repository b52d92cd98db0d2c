package backend_test

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/silvermirror/smfs/backend"
)

var (
	crashRounds = flag.Int("crash.rounds", 1, "histories that TestCrashes tries")
	crashKills  = flag.Int("crash.kills", 10, "kills in each of them")
	crashSeed   = flag.Uint64("crash.seed", 0, "seed of the first history; 0: from the clock")
)

// crashMirrors names the mirrors that a child process runs, see TestMain.
const crashMirrors = "SMFS_TEST_CRASH_MIRRORS"

// TestMain makes a child process of TestCrashes what it is to be.
func TestMain(m *testing.M) {
	if dirs := os.Getenv(crashMirrors); dirs != "" {
		if err := runVictim(filepath.SplitList(dirs)); err != nil {
			fmt.Fprintln(os.Stderr, "victim:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// runVictim opens the mirrors, says so, has them meet, says so, and waits to be
// killed, or for the end of its input.
func runVictim(dirs []string) error {
	ctx := context.Background()
	var engines []*backend.Engine
	for _, dir := range dirs {
		log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
		e, _, err := openEngine(dir, log.With("mirror", filepath.Base(dir)))
		if err != nil {
			return err
		}
		engines = append(engines, e)
	}
	fmt.Println("open")
	for _, e := range engines {
		e.Start()
	}
	for range 2 {
		for i, from := range engines {
			if err := from.Give(ctx, engines[(i+1)%len(engines)]); err != nil {
				return err
			}
		}
	}
	fmt.Println("met")
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// TestCrashes changes the files of mirrors at random while no engine runs, has
// a process with their engines commit, exchange and apply that, and kills it at
// a random moment, again and again. In the end all are equal and nothing that
// nobody overwrote or deleted is lost.
func TestCrashes(t *testing.T) {
	seed := *crashSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	for i := range *crashRounds {
		seed := seed + uint64(i)
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Logf("seed %d", seed)
			crashHistory(t, rand.New(rand.NewPCG(seed, 2)))
		})
	}
}

func crashHistory(t *testing.T, rnd *rand.Rand) {
	root := t.TempDir()
	mirrors := []*mirror{{t: t, dir: root + "/a"}, {t: t, dir: root + "/b"}, {t: t, dir: root + "/c"}}
	var dirs []string
	for _, m := range mirrors {
		must(t, os.Mkdir(m.dir, 0o755))
		dirs = append(dirs, m.dir)
	}
	h := newHistory(t, rnd)
	var whole time.Duration // what a victim takes that is left alone
	for i := range *crashKills + 1 {
		for range 20 {
			h.step(mirrors[rnd.IntN(len(mirrors))])
		}
		h.log = append(h.log, fmt.Sprintf("-- victim %d", i))
		v := startVictim(t, dirs)
		if i == 0 {
			start := time.Now()
			v.await(t, nil)
			whole = time.Since(start)
		} else {
			v.await(t, time.After(time.Duration(rnd.Int64N(int64(whole)))))
		}
		v.kill(t, h)
	}
	for i := range mirrors {
		mirrors[i] = openMirror(t, dirs[i])
	}
	h.settle(mirrors)
}

// victim is a process that is going to be killed.
type victim struct {
	cmd *exec.Cmd
	log *bytes.Buffer
	in  io.Closer
	met chan error
}

func startVictim(t *testing.T, dirs []string) *victim {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	v := &victim{cmd: exec.Command(self), log: &bytes.Buffer{}, met: make(chan error, 1)}
	v.cmd.Env = append(os.Environ(), crashMirrors+"="+strings.Join(dirs, string(os.PathListSeparator)))
	v.cmd.Stderr = v.log
	v.in, err = v.cmd.StdinPipe()
	must(t, err)
	pipe, err := v.cmd.StdoutPipe()
	must(t, err)
	must(t, v.cmd.Start())
	out := bufio.NewReader(pipe)
	if line, err := out.ReadString('\n'); line != "open\n" {
		_ = v.cmd.Wait()
		t.Fatalf("victim said %q: %v\n%s", line, err, v.log)
	}
	go func() {
		line, err := out.ReadString('\n')
		if line == "met\n" {
			err = nil
		}
		v.met <- err
	}()
	return v
}

// await returns when the mirrors have met or it is time.
func (v *victim) await(t *testing.T, enough <-chan time.Time) {
	t.Helper()
	select {
	case err := <-v.met:
		if err != nil {
			_ = v.cmd.Wait()
			t.Fatalf("victim failed: %v\n%s", err, v.log)
		}
	case <-enough:
	}
}

func (v *victim) kill(t *testing.T, h *history) {
	t.Helper()
	must(t, v.cmd.Process.Kill())
	_ = v.cmd.Wait() // says that it was killed
	for _, line := range strings.Split(v.log.String(), "\n") {
		if strings.Contains(line, "level=WARN") || strings.Contains(line, "waits") {
			h.log = append(h.log, line)
		}
	}
}
