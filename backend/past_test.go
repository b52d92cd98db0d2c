package backend_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/silvermirror/smfs/backend"
	"github.com/silvermirror/smfs/backend/chunk"
)

// clock is a time that tests set.
type clock struct{ ns atomic.Int64 }

func (c *clock) now() time.Time      { return time.Unix(0, c.ns.Load()) }
func (c *clock) set(t time.Time)     { c.ns.Store(t.UnixNano()) }
func (c *clock) add(d time.Duration) { c.ns.Add(int64(d)) }

// past reads a file as it was; "" where there was none.
func (m *mirror) past(at, path string) string {
	m.t.Helper()
	p, err := m.engine.PastAt(context.Background(), at)
	if errors.Is(err, backend.ErrNotFound) || errors.Is(err, backend.ErrInvalid) {
		return ""
	}
	must(m.t, err)
	if p, err = p.Lookup(path); errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	must(m.t, err)
	f, err := p.Open(chunk.NewCache())
	must(m.t, err)
	defer f.Close()
	data, err := io.ReadAll(io.NewSectionReader(f, 0, f.Size()))
	must(m.t, err)
	return string(data)
}

// TestPastTimes: what people write for a time means the same below @history and
// after --at.
func TestPastTimes(t *testing.T) {
	var c clock
	c.set(time.Date(2026, 5, 1, 9, 0, 0, 0, time.Local))
	m := openMirror(t, t.TempDir(), backend.At(c.now))
	m.write("unchanged", "it is")
	var ids []string
	for day := range 4 {
		for hour := range 3 {
			c.set(time.Date(2026, 5, 1+day, 9+hour, 0, 0, 0, time.Local))
			m.write("f", fmt.Sprintf("day %d at %d", 1+day, 9+hour))
			m.sync()
			ids = append(ids, m.engine.Head())
		}
	}
	c.set(time.Date(2026, 5, 4, 12, 30, 0, 0, time.Local))
	for at, want := range map[string]string{
		"latest": "day 4 at 11", "0s": "day 4 at 11", "2h": "day 4 at 10", "90m": "day 4 at 11", "1d": "day 3 at 11", "36h": "day 2 at 11",
		"yesterday": "day 3 at 11", "2026-05-04": "day 4 at 11", "2026-05-02": "day 2 at 11", "2026-12-31": "day 4 at 11",
		"2026-05-02T10:00": "day 2 at 10", "2026-05-02 10:00": "day 2 at 10", "2026-05-02T09:59:59": "day 2 at 9", "2026-05-02 08:59:59": "day 1 at 11",
		time.Date(2026, 5, 3, 10, 0, 0, 0, time.Local).UTC().Format(time.RFC3339): "day 3 at 10",
		ids[4]: "day 2 at 10", ids[4][:12]: "day 2 at 10",
		"2026-04-30": "", "2026-05-01T08:59:59": "", "tomorrow": "", "0123456789": "", "": "", ".git": "", "@tags": "",
	} {
		if got := m.past(at, "f"); got != want {
			t.Errorf("at %q it was %q, not %q", at, got, want)
		}
		out := &content{}
		_, err := m.engine.Restore(t.Context(), backend.RestoreOptions{Path: "f", At: at}, out)
		if at != "" && (err == nil) != (want != "") || err == nil && at != "" && string(*out) != want {
			t.Errorf("restore --at %q: %q, %v, want %q", at, *out, err, want)
		}
		_, err = m.engine.Restore(t.Context(), backend.RestoreOptions{Path: "@history/" + at + "/f"}, out)
		if (err == nil) != (want != "") {
			t.Errorf("restore @history/%s/f: %v", at, err)
		}
	}
	days, err := m.engine.PastDays(t.Context())
	if want := []string{"2026-05-04", "2026-05-03", "2026-05-02", "2026-05-01"}; err != nil || !slices.Equal(days, want) {
		t.Errorf("days %q, %v", days, err)
	}
	old, err := m.engine.PastAt(t.Context(), "2026-05-02")
	must(t, err)
	now, err := m.engine.PastAt(t.Context(), "latest")
	must(t, err)
	for name, same := range map[string]bool{"f": false, "unchanged": true} {
		a, err := old.Lookup(name)
		must(t, err)
		b, err := now.Lookup(name)
		must(t, err)
		if (a.ID == b.ID) != same {
			t.Errorf("%s: one inode: %v", name, !same)
		}
	}

	for _, path := range []string{"@history/latest/f", ".smfs/history/2026-05-02/f", "@history"} {
		err := m.engine.Tag(t.Context(), backend.TagOptions{Paths: []string{path}, Tags: []string{"work"}})
		if !errors.Is(err, backend.ErrInvalid) || backend.Hint(err) == "" {
			t.Errorf("tag %s: %v", path, err)
		}
		err = m.engine.Log(t.Context(), backend.LogOptions{Path: path}, func(backend.Version) error { return nil })
		if !errors.Is(err, backend.ErrInvalid) {
			t.Errorf("log %s: %v", path, err)
		}
	}
	_, err = m.engine.Restore(t.Context(), backend.RestoreOptions{Path: "@history/latest/f", At: "2h"}, nil)
	if !errors.Is(err, backend.ErrInvalid) {
		t.Errorf("two times: %v", err)
	}
	_, err = m.engine.Restore(t.Context(), backend.RestoreOptions{Path: ".smfs/history/2026-05-02/f"}, nil)
	must(t, err)
	if got, err := os.ReadFile(filepath.Join(m.dir, "f")); string(got) != "day 2 at 11" || err != nil {
		t.Errorf("restored %q, %v", got, err)
	}
}

type content []byte

func (c *content) Write(b []byte) (int, error) {
	*c = append(*c, b...)
	return len(b), nil
}

// TestTimeline has two mirrors with clocks of their own make and merge commits: what
// is known of their history is at any time what a walk through it finds, however much
// of it was asked for before.
func TestTimeline(t *testing.T) {
	for _, often := range []int{3, 1000} {
		t.Run(fmt.Sprint("all of it once in ", often), func(t *testing.T) { timelines(t, often) })
	}
}

func timelines(t *testing.T, often int) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var clocks [2]clock
	var mirrors [2]*mirror
	for i := range mirrors {
		clocks[i].set(time.Date(2026, 5, 1, 9, 0, 0, 0, time.Local))
		mirrors[i] = openMirror(t, t.TempDir(), backend.At(clocks[i].now))
	}
	mirrors[0].write("f", "")
	mirrors[0].sync()
	mirrors[0].meet(mirrors[1])
	for step := range 120 {
		i := rnd.IntN(2)
		m := mirrors[i]
		clocks[i].add(time.Duration(rnd.IntN(1000)) * time.Second)
		m.write(fmt.Sprint("f", rnd.IntN(10)), fmt.Sprint("step ", step))
		m.sync()
		for j := range clocks { // commits of a future that is further away are not taken
			clocks[j].ns.Store(max(clocks[j].ns.Load(), clocks[1-j].ns.Load()-int64(9*time.Minute)))
		}
		if rnd.IntN(20) == 0 {
			m.give(mirrors[1-i])
		}
		for _, m := range mirrors {
			want := m.engine.History()
			if rnd.IntN(3) == 0 {
				continue
			}
			if n := 1 + rnd.IntN(min(len(want), 6)); !slices.Equal(m.engine.Timeline(n), want[:n]) {
				t.Fatalf("step %d: the first %d differ", step, n)
			}
			if rnd.IntN(often) == 0 && !slices.Equal(m.engine.Timeline(-1), want) {
				t.Fatalf("step %d: all %d differ", step, len(want))
			}
		}
	}
	mirrors[0].meet(mirrors[1])
	for _, m := range mirrors {
		if want := m.engine.History(); !slices.Equal(m.engine.Timeline(-1), want) {
			t.Errorf("%d commits differ in the end", len(want))
		}
	}
}
