package journal

import (
	"errors"
	"flag"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
)

var (
	firstSeed = flag.Uint64("seed", 0, "first seed of the random histories; 0 picks one")
	histories = flag.Int("histories", 40, "how many random histories a test runs")
)

// seeds returns the seeds that a test runs with, and logs where they begin.
func seeds(t *testing.T) []uint64 {
	t.Helper()
	first := *firstSeed
	if first == 0 {
		first = rand.Uint64() >> 16
	}
	t.Logf("seeds from %d on", first)
	all := make([]uint64, *histories)
	for i := range all {
		all[i] = first + uint64(i)
	}
	return all
}

var errCut = errors.New("cut: the machine is gone")

// simFiles is a directory in memory that can end at any write, sync, creation
// or removal, and that knows what a power loss may leave of it.
type simFiles struct {
	rnd     *rand.Rand
	names   map[string]*simFile
	durable map[string]*simFile // as of the last sync of the directory
	left    int                 // operations until the cut; negative: none comes
	dead    bool
	failing bool // writes fail, some of them halfway
	badSync bool // syncs fail, and drop what they should have made durable
	syncs   int
	room    bool // is reserved
	full    bool // writes fail, but in what is allocated
	spare   bool // the reserve was given back

	meanwhile func() // called in every sync of a file
}

type simFile struct {
	dir     *simFiles
	data    []byte
	durable []byte // as of the last sync
	room    int    // is allocated up to there
}

func newSimFiles(rnd *rand.Rand) *simFiles {
	return &simFiles{rnd: rnd, names: map[string]*simFile{}, durable: map[string]*simFile{}, left: -1}
}

// step counts an operation and reports whether the cut comes in it.
func (d *simFiles) step() bool {
	if d.left == 0 {
		d.dead = true
	}
	d.left--
	return d.dead
}

func (d *simFiles) list() ([]string, error) { return slices.Collect(maps.Keys(d.names)), nil }

func (d *simFiles) read(name string) ([]byte, error) {
	f := d.names[name]
	if f == nil {
		return nil, fs.ErrNotExist
	}
	return slices.Clone(f.data), nil
}

func (d *simFiles) create(name string) (file, error) {
	if d.step() {
		return nil, errCut
	}
	if d.names[name] != nil {
		return nil, fs.ErrExist
	}
	f := &simFile{dir: d}
	d.names[name] = f
	return f, nil
}

func (d *simFiles) open(name string) (file, error) { return d.names[name], nil }

func (d *simFiles) remove(name string) error {
	if d.step() {
		return errCut
	}
	delete(d.names, name)
	return nil
}

func (d *simFiles) sync() error {
	if d.step() {
		return errCut
	}
	if d.badSync {
		return syscall.EIO
	}
	d.durable = maps.Clone(d.names)
	return nil
}

func (d *simFiles) reserve() error {
	if d.failing || d.full {
		return syscall.ENOSPC
	}
	d.room = true
	return nil
}

func (d *simFiles) release() bool {
	had := d.room
	d.room, d.spare = false, had
	return had
}

func (f *simFile) WriteAt(p []byte, off int64) (int, error) {
	cut := f.dir.step()
	n := len(p)
	full := f.dir.full && int(off)+n > f.room
	if cut || f.dir.failing || full {
		n = f.dir.rnd.IntN(len(p) + 1)
	}
	if grow := int(off) + n - len(f.data); grow > 0 {
		f.data = append(f.data, make([]byte, grow)...)
	}
	copy(f.data[off:], p[:n])
	switch {
	case cut:
		return n, errCut
	case f.dir.failing || full:
		return n, syscall.ENOSPC
	}
	return n, nil
}

func (f *simFile) Truncate(size int64) error {
	if f.dir.step() {
		return errCut
	}
	if f.dir.failing && f.dir.rnd.IntN(2) == 0 {
		return syscall.EIO
	}
	f.data, f.room = f.data[:size], 0
	return nil
}

func (f *simFile) Allocate(off, size int64) error {
	if f.dir.failing || f.dir.full && !f.dir.spare {
		return syscall.ENOSPC
	}
	f.room, f.dir.spare = int(off+size), false
	return nil
}

func (f *simFile) Datasync() error {
	f.dir.syncs++
	durable := slices.Clone(f.data)
	if f.dir.meanwhile != nil {
		f.dir.meanwhile()
	}
	if f.dir.step() {
		return errCut
	}
	if f.dir.badSync {
		return syscall.EIO
	}
	f.durable = durable
	return nil
}

func (f *simFile) Close() error { return nil }

// restart returns the directory as the next process finds it.
func (d *simFiles) restart(powerLoss bool) *simFiles {
	next := newSimFiles(d.rnd)
	names := maps.Clone(d.names)
	if powerLoss {
		for name, f := range d.durable {
			if names[name] == nil && d.rnd.IntN(2) == 0 {
				names[name] = f // its removal was not durable
			}
		}
		for name := range d.names {
			if d.durable[name] == nil && d.rnd.IntN(2) == 0 {
				delete(names, name) // its creation was not
			}
		}
	}
	for name, f := range names {
		data, durable := slices.Clone(f.data), f.durable
		if powerLoss {
			data = f.afterPowerLoss()
			durable = data
		}
		next.names[name] = &simFile{dir: next, data: data, durable: durable}
		if powerLoss || d.durable[name] == f {
			next.durable[name] = next.names[name]
		}
	}
	return next
}

// afterPowerLoss keeps what is synced, and of the rest a random part: a
// prefix, perhaps followed by zeros, or with a hole in it.
func (f *simFile) afterPowerLoss() []byte {
	rnd := f.dir.rnd
	same := 0
	for same < len(f.data) && same < len(f.durable) && f.data[same] == f.durable[same] {
		same++
	}
	keep := same + rnd.IntN(len(f.data)-same+1)
	data := slices.Clone(f.data[:keep])
	switch rnd.IntN(3) {
	case 0:
		data = append(data, make([]byte, rnd.IntN(5000))...)
	case 1:
		from := same + rnd.IntN(len(data)-same+1)
		clear(data[from : from+rnd.IntN(len(data)-from+1)])
	}
	return data
}
