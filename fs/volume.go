package fs

import (
	"maps"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// volume is one filesystem below the base.
type volume struct {
	dev         uint64
	salt        uint64 // XORed into inode numbers, so that two volumes differ
	passthrough bool   // the kernel reads and writes its files by itself
}

func (v *volume) ino(ino uint64) uint64 { return ino ^ v.salt }

// volumes finds the volume of a device number. The base's has salt 0: its
// inode numbers are the backing ones.
type volumes struct {
	mu    sync.Mutex // guards byDev
	byDev map[uint64]*volume
}

func (vs *volumes) get(dev uint64) *volume {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	if v := vs.byDev[dev]; v != nil {
		return v
	}
	return vs.addLocked(dev, false)
}

// add registers a volume whose data path has been probed.
func (vs *volumes) add(dev uint64, passthrough bool) *volume {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	if v := vs.byDev[dev]; v != nil {
		return v
	}
	return vs.addLocked(dev, passthrough)
}

func (vs *volumes) addLocked(dev uint64, passthrough bool) *volume {
	if vs.byDev == nil {
		vs.byDev = make(map[uint64]*volume)
	}
	v := &volume{dev: dev, salt: uint64(len(vs.byDev)) << 52, passthrough: passthrough}
	vs.byDev[dev] = v
	return v
}

func devOf(st *unix.Statx_t) uint64 { return unix.Mkdev(st.Dev_major, st.Dev_minor) }

func (vs *volumes) all() []*volume {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	return slices.Collect(maps.Values(vs.byDev))
}
