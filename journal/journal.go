package journal

import (
	"errors"
	"sync"
	"time"
)

// ErrClosed is returned by every use of a closed journal.
var ErrClosed = errors.New("journal is closed")

// DefaultSegmentSize is Options.SegmentSize where that is 0.
const DefaultSegmentSize = 4 << 20

// Options of a journal. The zero value is good.
type Options struct {
	// SegmentSize is how many bytes of records that matter no more may pile
	// up before Clear makes a checkpoint. 0 means DefaultSegmentSize.
	SegmentSize int64
}

// Recovery is what Open found.
type Recovery struct {
	Replayed int    // announced mutations since the last checkpoint, read back
	Damaged  bool   // records are missing: only a scan finds what they announced
	Problem  string // what is damaged, for people; empty where nothing is
	New      bool   // there was no journal: whoever expects one has lost it
}

// Journal is the journal of one mirror. All methods are safe for concurrent
// use.
type Journal struct {
	files    files
	size     int64 // Options.SegmentSize
	epoch    time.Time
	recovery Recovery

	// checkpoints is held through a checkpoint, syncing through an fdatasync;
	// mu guards what follows it and is held through a write, never through a
	// sync. They are locked in this order.
	checkpoints sync.Mutex
	syncing     sync.Mutex
	mu          sync.Mutex

	sets     map[string]*dirtySet
	gen      uint64 // last generation given
	next     uint64 // number of the next record
	synced   uint64 // records below this are durable
	cur      *segment
	old      []*segment // before cur, oldest first
	newDir   bool       // a segment's creation is not durable yet
	suspect  bool       // a sync failed: only a checkpoint can make anything durable
	damaged  bool       // what Recovery reports is not repaired yet
	reserved bool       // there is room kept for records of what frees room
	closed   bool

	bytes     int64 // in all segments
	limit     int64 // of bytes, above which Clear makes a checkpoint
	hardLimit int64 // the same for Begin

	buf     []byte   // of write
	recs    []Record // of Begin, Found, Clear
	offered uint64   // announcements given to write
	actor   *Actor   // the last one, shared by marks
}

// Open opens the journal in dir, which is made if it is not there, and replays
// it: every mark that was alive when the last process ended is alive again,
// and perhaps some that were cleared. A record cut short at the end is cut
// off. Other damage is no error but reported by Recovery. ErrNewerFormat: not
// for this version.
func Open(dir string, o Options) (*Journal, error) {
	d, err := openDir(dir)
	if err != nil {
		return nil, err
	}
	return open(d, o)
}

func open(d files, o Options) (*Journal, error) {
	if o.SegmentSize <= 0 {
		o.SegmentSize = DefaultSegmentSize
	}
	j := &Journal{
		files: d,
		size:  o.SegmentSize,
		epoch: time.Now(),
		sets:  make(map[string]*dirtySet),
	}
	d.release()
	if err := j.replay(); err != nil {
		return nil, err
	}
	j.setLimits(0)
	for _, set := range j.sets {
		if set.count > 0 {
			set.signal()
		}
	}
	return j, nil
}

// Recovery says what Open found. It does not change.
func (j *Journal) Recovery() Recovery { return j.recovery }

// Repaired says that a complete scan has marked all that a damaged journal may
// have missed. Until then the damaged segments stay, so that a crash before
// the scan is over does not hide the damage. It makes a checkpoint. Without
// damage it does nothing.
func (j *Journal) Repaired() error {
	j.mu.Lock()
	was := j.damaged
	j.damaged = false
	j.mu.Unlock()
	if !was {
		return nil
	}
	return j.Checkpoint()
}

// Reserve keeps room on the disk for records of removals, so that they are
// possible when it is full. Open gives back what was kept before, for whatever
// has to start. It does nothing if the room is kept.
func (j *Journal) Reserve() {
	j.checkpoints.Lock()
	defer j.checkpoints.Unlock()
	j.mu.Lock()
	done := j.reserved || j.closed
	j.mu.Unlock()
	if done || j.files.reserve() != nil { // it is tried again
		return
	}
	j.mu.Lock()
	j.reserved = true
	j.mu.Unlock()
}

// set returns the dirty set of a resource. The mutex is held.
func (j *Journal) set(resource string) *dirtySet {
	d := j.sets[resource]
	if d == nil {
		d = newDirtySet(resource)
		j.sets[resource] = d
	}
	return d
}

// Close makes everything appended durable and closes the journal. Operations
// still in flight may End after it.
func (j *Journal) Close() error {
	err := j.Sync()
	j.checkpoints.Lock()
	defer j.checkpoints.Unlock()
	j.syncing.Lock()
	defer j.syncing.Unlock()
	j.mu.Lock()
	if j.closed {
		j.mu.Unlock()
		return nil
	}
	j.closed = true // from here on nothing is appended
	suspect := j.suspect
	j.mu.Unlock()
	if !suspect {
		err = errors.Join(err, j.syncSegments())
	}
	return errors.Join(err, j.cur.file.Close())
}
