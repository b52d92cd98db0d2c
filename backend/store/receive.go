package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/silvermirror/smfs/backend/object"
)

// ErrUnreachable says that a peer sent objects that no checked commit needs.
var ErrUnreachable = errors.New("pack holds objects that nothing needs")

// Incoming is a received pack in quarantine: it is on disk and each of its
// objects has been hashed, but the store does not know it. Its reading methods
// see the store and the quarantine and are safe for concurrent use; Accept or
// Discard end it.
type Incoming struct {
	view
	store *Store
	own   *pack
	file  diskFile
	path  string // temporary

	mu          sync.Mutex // guards the rest
	done        bool
	needed      []bool                   // by place in own.idx: a checked commit needs it
	checked     map[object.CommitID]bool // commits checked, with all they refer to
	checkedDirs map[checkedDir]bool      // directories checked, with all they refer to
}

// Receive reads a pack from r to its end, which must be the end of the pack.
// The stream is not trusted: it is held against limits before memory or disk
// is used, every object is hashed, and deltas may have their base in the pack
// alone. On error nothing is left behind. To stop it while r blocks, close
// what r reads from; the context is looked at between reads.
func (s *Store) Receive(ctx context.Context, r io.Reader, limits Limits) (*Incoming, error) {
	s.dropVanished() // no object may count as stored that git gc removed
	in := &Incoming{store: s, path: s.tempPath("receive"), checked: map[object.CommitID]bool{}, checkedDirs: map[checkedDir]bool{}}
	if err := in.receive(ctx, r, limits.withDefaults()); err != nil {
		in.drop()
		return nil, fmt.Errorf("receive pack: %w", err)
	}
	return in, nil
}

func (in *Incoming) receive(ctx context.Context, r io.Reader, limits Limits) error {
	var head [packHeaderSize]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return fmt.Errorf("%w: no header: %w", ErrBadPack, noEOF(err))
	}
	if n, err := parsePackHeader(head[:]); err != nil || int64(n) > limits.Objects {
		return errors.Join(err, overCount(n, limits.Objects))
	}
	size, err := in.spool(ctx, head[:], r, limits.Bytes)
	if err != nil {
		return err
	}
	x := &indexer{codec: in.store.codec, r: in.file, size: size, limits: limits}
	sum, err := x.index(ctx)
	if err != nil {
		return err
	}
	in.attach(x, newIdx(x.entries, sum))
	return nil
}

func overCount(n int, most int64) error {
	if int64(n) > most {
		return fmt.Errorf("%w: %d objects, more than %d", ErrLimit, n, most)
	}
	return nil
}

// spool writes the stream to the temporary file.
func (in *Incoming) spool(ctx context.Context, head []byte, r io.Reader, most int64) (int64, error) {
	f, err := in.store.disk.create(in.path)
	if err != nil {
		return 0, err
	}
	in.file = f
	if _, err := f.Write(head); err != nil {
		return 0, err
	}
	n, err := io.CopyBuffer(writerOnly{f}, io.LimitReader(ctxReader{ctx, r}, most-int64(len(head))+1), make([]byte, 256<<10))
	size := n + int64(len(head))
	if err == nil && size > most {
		err = fmt.Errorf("%w: more than %d bytes", ErrLimit, most)
	}
	return size, err
}

// writerOnly hides ReadFrom, which would leave the buffer's size to others.
type writerOnly struct{ io.Writer }

type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (c ctxReader) Read(b []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(b)
}

// attach makes the indexed file readable.
func (in *Incoming) attach(x *indexer, index *idx) {
	s := in.store
	in.needed = make([]bool, index.count)
	in.own = &pack{codec: s.codec, r: in.file, dir: index, idx: index, size: x.size, depth: x.limits.DeltaDepth, limit: x.limits.Delta}
	in.own.end = func() int64 { return x.size - packTrailerSize }
	in.view = view{
		packs:  func() []*pack { return append([]*pack{in.own}, s.packs()...) },
		loose:  s.loose,
		rescan: s.rescan,
		dirs:   newCache[object.TreeID, *object.Directory](dirCacheSize / 4),
		raw:    newCache[rawKey, []byte](rawCacheSize / 4),
		looked: newCache[object.TreeID, *atomic.Int32](lookedCache),
		heads:  newCache[object.CommitID, *object.Commit](commitsCache),
	}
}

// Directory returns a decoded directory of the store or the quarantine.
func (in *Incoming) Directory(id object.TreeID) (*object.Directory, error) {
	if _, ok := in.own.idx.search(id); !ok {
		return in.store.Directory(id)
	}
	return in.view.Directory(id)
}

// Commit returns a decoded commit of the store or the quarantine.
func (in *Incoming) Commit(id object.CommitID) (*object.Commit, error) {
	if _, ok := in.own.idx.search(id); !ok {
		return in.store.Commit(id)
	}
	return in.view.Commit(id)
}

// Accept moves the pack into the store, durably, and then moves refs as
// UpdateRefs does. Every object must be needed by a commit that CheckConnected
// passed, and every new value of a ref be such a commit or one of the store:
// else nothing changes, and the error wraps ErrUnreachable. On ErrRefChanged
// the objects stay. It ends the quarantine, also when it fails.
func (in *Incoming) Accept(updates ...RefUpdate) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.done {
		return fmt.Errorf("accept pack: %w", errNotOpen)
	}
	in.done = true
	err := in.checkAccept(updates)
	if err == nil {
		err = in.install()
	}
	if err != nil {
		in.drop()
		return fmt.Errorf("accept pack: %w", err)
	}
	return in.store.UpdateRefs(updates...)
}

func (in *Incoming) checkAccept(updates []RefUpdate) error {
	for i, needed := range in.needed {
		if id := in.own.idx.at(i).id; !needed && !in.store.Has(id) {
			return fmt.Errorf("%w: %x", ErrUnreachable, id)
		}
	}
	for _, u := range updates {
		if !u.New.IsZero() && !in.checked[u.New] && !in.store.Has(u.New) {
			return fmt.Errorf("%w: %s is to become %s, which was not checked", ErrUnreachable, u.Name, u.New)
		}
	}
	return nil
}

func (in *Incoming) install() error {
	if in.own.idx.count == 0 {
		in.drop()
		return nil
	}
	if err := in.file.Sync(); err != nil {
		return err
	}
	if err := in.store.install(in.path, in.own.idx, in.own.size); err != nil {
		return err
	}
	return in.file.Close()
}

// Take puts an object of the quarantine into a batch of the store, and tells
// whether the quarantine has it. It was hashed when it came; whether the history
// wants it, is the caller's to know.
func (in *Incoming) Take(b *Batch, kind object.Type, id [20]byte) (bool, error) {
	if _, ok := in.own.idx.search(id); !ok {
		return false, nil
	}
	data, err := in.read(id, kind, maxDelta)
	if err == nil {
		err = b.put(kind, id, data)
	}
	return err == nil, err
}

// Discard drops the pack. After Accept it does nothing.
func (in *Incoming) Discard() {
	in.mu.Lock()
	defer in.mu.Unlock()
	if !in.done {
		in.done = true
		in.drop()
	}
}

func (in *Incoming) drop() {
	if in.file != nil {
		in.file.Close()
		in.store.disk.remove(in.path)
	}
}
