package fs

import (
	"context"
	"sync"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// foresight guesses whether names that are listed will be looked at. A listing can
// bring their attributes along (READDIRPLUS), which costs a few microseconds a name
// and memory here and in the kernel; a LOOKUP of one later costs several times that.
// What the kernel guesses (READDIRPLUS_AUTO) is wrong for all that list a large
// directory before they look at what is in it.
//
// So some names are listed without, all of them or one in probeEvery, and it is
// counted how many of these are looked up after all.
type foresight struct {
	mu     sync.Mutex // guards the rest, DirNode.plain and dirHandle.plain
	listed int        // without attributes, of late
	looked int        // up, of these
	turn   int
}

const (
	probeEvery = 32
	worthwhile = 4   // a LOOKUP costs as much as the attributes of so many names
	recently   = 128 // names count
)

// newForesight expects names to be looked at.
func newForesight() foresight { return foresight{listed: recently / 4, looked: recently / 4} }

// wants tells whether the next name of a listing is to have its attributes.
func (f *foresight) wants(h *dirHandle) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.turn = (f.turn + 1) % probeEvery
	if f.turn > 0 && f.looked*worthwhile >= f.listed {
		return true
	}
	h.plain++
	h.d.plain.listing++
	h.d.plain.unseen++
	return false
}

// plainNames counts names of a directory that were listed without attributes.
type plainNames struct {
	listing int // by listings that are not over
	unseen  int // and not looked up since
	looked  int // up while listing
}

// ended counts what a listing had without attributes. Not before: some programs
// read a whole directory before they look at anything.
func (f *foresight) ended(h *dirHandle) {
	f.mu.Lock()
	defer f.mu.Unlock()
	d := h.d
	d.plain.listing -= h.plain
	f.listed += h.plain
	f.looked += d.plain.looked
	h.plain, d.plain.looked = 0, 0
	for f.listed > recently {
		f.listed /= 2
		f.looked /= 2
	}
}

// found takes note that the kernel had to ask for a name in d.
func (f *foresight) found(d *DirNode) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case d.plain.unseen == 0:
		return
	case d.plain.listing > 0:
		d.plain.looked++
	default:
		f.looked = min(f.looked+1, recently)
	}
	d.plain.unseen--
}

// Lookup brings the attributes of a name that was just listed along, or not: the
// kernel takes an error for that.
func (h *dirHandle) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	if !h.d.m.foresight.wants(h) {
		return nil, syscall.EAGAIN
	}
	return h.d.lookup(ctx, name, out)
}
