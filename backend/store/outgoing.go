package store

import (
	"bufio"
	"context"
	"crypto/sha1"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/silvermirror/smfs/backend/object"
)

// Outgoing is a pack to be sent: what a peer lacks. It holds ids alone; the
// content is read while it is written.
type Outgoing struct {
	Objects int
	Bytes   int64 // an estimate of what WriteTo writes

	ctx   context.Context
	store *Store
	ids   [][20]byte
	sent  map[[20]byte]struct{} // ids, while they are written
}

// Pack collects the objects reachable from want and not from haves, at a cost
// of what differs. Haves that are not here are ignored. The context holds for
// WriteTo too.
func (s *Store) Pack(ctx context.Context, want object.CommitID, haves []object.CommitID) (*Outgoing, error) {
	commits, err := s.NewCommits(want, haves)
	if err != nil {
		return nil, fmt.Errorf("pack: %w", err)
	}
	o := &Outgoing{ctx: ctx, store: s}
	for _, id := range commits {
		o.ids = append(o.ids, id)
	}
	d := treeDiff{view: &s.view, seen: map[[20]byte]struct{}{}}
	d.emit = func(id [20]byte, _ object.Type) { o.ids = append(o.ids, id) }
	for _, id := range commits {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := o.addTree(&d, id); err != nil {
			return nil, fmt.Errorf("pack commit %s: %w", id, err)
		}
	}
	o.Objects = len(o.ids)
	return o, o.estimate()
}

func (o *Outgoing) addTree(d *treeDiff, id object.CommitID) error {
	c, err := o.store.Commit(id)
	if err != nil {
		return err
	}
	bases := make([]object.TreeID, 0, len(c.Parents))
	for _, p := range c.Parents {
		parent, err := o.store.Commit(p)
		if err != nil {
			return err
		}
		bases = append(bases, parent.Tree)
	}
	return d.step(c.Tree, bases)
}

func (o *Outgoing) estimate() error {
	o.Bytes = packHeaderSize + packTrailerSize
	for _, id := range o.ids {
		if p, at, ok := o.store.find(id); ok {
			o.Bytes += p.rawEnd(at) - at
		} else if !o.store.Has(id) {
			return fmt.Errorf("pack: %w: %x", ErrMissing, id)
		}
	}
	return nil
}

// askAbout is the size in bytes, as stored, from which on it pays to ask a peer
// whether it has an object.
const askAbout = 64 << 10

// Large lists the objects that are worth a question.
func (o *Outgoing) Large() (ids [][20]byte) {
	for _, id := range o.ids {
		p, at, ok := o.store.find(id)
		if !ok || p.rawEnd(at)-at < askAbout {
			continue
		}
		if e, err := readEntry(p.r, at, p.end()); err == nil && !p.unshrunk(e, p.rawEnd(at)) {
			ids = append(ids, id)
		}
	}
	return ids
}

// Leave takes those objects out that the peer has. What they refer to is at the
// peer, and may be sent all the same.
func (o *Outgoing) Leave(ids [][20]byte, has []bool) {
	left := make(map[[20]byte]bool, len(ids))
	for i, id := range ids {
		if p, at, ok := o.store.find(id); has[i] && ok {
			left[id] = true
			o.Bytes -= p.rawEnd(at) - at
		}
	}
	o.ids = slices.DeleteFunc(o.ids, func(id [20]byte) bool { return left[id] })
	o.Objects = len(o.ids)
}

// WriteTo writes the pack. Entries are copied as they are stored, save
// for deltas whose base is not sent and for what is stored without being shrunk; a damaged one ends it with ErrCorrupt.
func (o *Outgoing) WriteTo(w io.Writer) (int64, error) {
	o.sent = make(map[[20]byte]struct{}, len(o.ids))
	for _, id := range o.ids {
		o.sent[id] = struct{}{}
	}
	out := &packStream{out: bufio.NewWriterSize(w, 64<<10), hash: sha1.New(), buf: make([]byte, 64<<10)}
	if _, err := out.Write(packHeader(len(o.ids))); err != nil {
		return out.n, err
	}
	for _, id := range o.ids {
		if err := o.ctx.Err(); err != nil {
			return out.n, err
		}
		if err := o.writeObject(out, id); err != nil {
			return out.n, fmt.Errorf("send object %x: %w", id, err)
		}
	}
	_, err := out.Write(out.hash.Sum(nil))
	return out.n, errors.Join(err, out.out.Flush())
}

func (o *Outgoing) writeObject(out *packStream, id [20]byte) error {
	if p, at, ok := o.store.find(id); ok {
		e, err := readEntry(p.r, at, p.end())
		if err != nil {
			return corrupt(0, id, err)
		}
		// A delta is of use where its base is sent as well.
		_, sent := o.sent[e.ref]
		if asIs := !e.kind.IsDelta() && !p.unshrunk(e, p.rawEnd(at)); asIs || e.kind == plumbing.REFDeltaObject && sent {
			rec, _ := p.dir.find(id)
			crc, err := p.copyRaw(out, at, p.rawEnd(at)-at, out.buf)
			if err == nil && crc != rec.crc {
				err = corrupt(e.kind, id, errors.New("its bytes in the pack have changed"))
			}
			return err
		}
	}
	kind, data, err := o.store.readAny(id, maxDelta)
	if err != nil {
		return err
	}
	_, err = out.Write(o.store.codec.deflated(kind, data))
	return err
}

// packStream hashes and counts what is written.
type packStream struct {
	out  *bufio.Writer
	hash hash.Hash
	n    int64
	buf  []byte // for copies
}

func (s *packStream) Write(b []byte) (int, error) {
	s.hash.Write(b)
	n, err := s.out.Write(b)
	s.n += int64(n)
	return n, err
}
