package backend

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/google/renameio/v2"
)

const (
	// growthSuffix is after the name of an index that of its file of sizes.
	growthSuffix = ".sizes"
	// growthEvery is how often the size of the store is noted, growthDays how many
	// notes are kept.
	growthEvery = 24 * time.Hour
	growthDays  = 8

	// outgrown is how many times larger than the files their history is when that
	// is worth a word, outgrownFrom how large it has to be for that.
	outgrown     = 10
	outgrownFrom = 64 << 20
)

// growth remembers how large a store was on the last days, in a file of lines "unix
// time, bytes". It is for people alone: nothing depends on it, and where it is lost
// or damaged it begins anew.
type growth struct {
	file string

	mu    sync.Mutex // guards notes
	notes []sizeAt   // oldest first
}

type sizeAt struct {
	at    time.Time
	bytes int64
}

func (g *growth) open(file string) {
	g.file = file
	data, err := os.ReadFile(file)
	if err != nil {
		return
	}
	for line := range strings.Lines(string(data)) {
		var at, bytes int64
		if _, err := fmt.Sscan(line, &at, &bytes); err == nil {
			g.notes = append(g.notes, sizeAt{time.Unix(at, 0), bytes})
		}
	}
}

// note notes the size where that is due.
func (g *growth) note(now time.Time, bytes int64) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if n := len(g.notes); n > 0 && now.Sub(g.notes[n-1].at).Abs() < growthEvery {
		return nil
	}
	g.notes = append(g.notes, sizeAt{now, bytes})
	g.notes = g.notes[max(len(g.notes)-growthDays, 0):]
	var b strings.Builder
	for _, n := range g.notes {
		fmt.Fprintln(&b, n.at.Unix(), n.bytes)
	}
	if err := renameio.WriteFile(g.file, []byte(b.String()), 0o600); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("note the store's size: %w", err)
	}
	return nil
}

// since is by how much the store has grown since the oldest note.
func (g *growth) since(bytes int64) Growth {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.notes) == 0 {
		return Growth{}
	}
	return Growth{Bytes: bytes - g.notes[0].bytes, Since: g.notes[0].at}
}
