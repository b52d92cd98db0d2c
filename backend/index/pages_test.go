package index

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"
	"time"
)

const spoiledFile = "SMFS_SPOILED_INDEX"

// TestSpoiled damages pages of a file that was closed, and of one that was not, in
// all ways: whatever is in it, no process ends for it or does not end, and what opens
// and has no faults takes changes.
func TestSpoiled(t *testing.T) {
	if file := os.Getenv(spoiledFile); file != "" {
		useSpoiled(t, file)
		return
	}
	for name, end := range map[string]func(*Index) error{"closed": (*Index).Close, "not closed": (*Index).CloseUnsynced} {
		t.Run(name, func(t *testing.T) {
			ix := sound(t)
			check(t, end(ix))
			data, err := os.ReadFile(ix.file)
			check(t, err)
			for seed := range uint64(20) {
				t.Run(fmt.Sprint(seed), func(t *testing.T) {
					file := t.TempDir() + "/index"
					check(t, os.WriteFile(file, spoil(rand.New(rand.NewPCG(seed, 1)), bytes.Clone(data)), 0o600))
					ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
					defer cancel()
					c := exec.CommandContext(ctx, os.Args[0], "-test.run", "^TestSpoiled$")
					c.Env = append(os.Environ(), spoiledFile+"="+file)
					if out, err := c.CombinedOutput(); err != nil {
						t.Errorf("%v\n%.3000s", err, out)
					}
				})
			}
		})
	}
}

// spoil changes what a page says of itself or of others, mostly.
func spoil(r *rand.Rand, data []byte) []byte {
	size := os.Getpagesize()
	id := r.IntN(len(data) / size)
	page := data[id*size:][:size]
	at := r.IntN(128)
	switch r.IntN(6) {
	case 0:
		page[at] ^= 1 << r.IntN(8)
	case 1:
		for i := range 8 {
			page[at+i] = byte(r.Uint32())
		}
	case 2:
		clear(page)
	case 3: // an old page, or one of another place
		copy(page, data[r.IntN(len(data)/size)*size:][:size])
		binary.LittleEndian.PutUint64(page, uint64(id))
	case 4:
		binary.LittleEndian.PutUint64(page[16+8*r.IntN(16):], uint64(r.IntN(len(data)/size)))
	case 5:
		return data[:r.IntN(len(data))]
	}
	return data
}

func useSpoiled(t *testing.T, file string) {
	ix, err := Open(file)
	if err != nil {
		if !errors.Is(err, ErrDamaged) {
			t.Errorf("open: %v", err)
		}
		return
	}
	faults := 0
	err = ix.Check(t.Context(), func(string) { faults++ })
	if err != nil && !errors.Is(err, ErrDamaged) || faults > enough+1 {
		t.Errorf("check: %v and %d faults", err, faults)
	}
	if err == nil && faults == 0 {
		check(t, ix.Update(func(tx *Tx) error {
			for i := range 300 {
				check(t, tx.Put(file2(i)))
			}
			return nil
		}))
		check(t, ix.Check(t.Context(), func(text string) { t.Errorf("after an update: %s", text) }))
	}
	check(t, ix.Close())
}

func file2(i int) Node { return file(fmt.Sprint("more", i), 5000+i) }

// TestCheckStops has a check end when nobody waits for it any more.
func TestCheckStops(t *testing.T) {
	ix := sound(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := ix.Check(ctx, func(string) {}); !errors.Is(err, context.Canceled) {
		t.Errorf("check: %v", err)
	}
	check(t, ix.Close())
}
