package index

import (
	"encoding/binary"
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// The buckets, as in doc.go.
const (
	bucketNodes     = "nodes"
	bucketIDs       = "ids"
	bucketKeys      = "keys"
	bucketTagged    = "tagged"
	bucketConflicts = "conflicts"
	bucketMeta      = "meta"

	metaFormat  = "format"  // uint32, big-endian
	metaApplied = "applied" // CommitID
	metaNext    = "next"    // CommitID
	metaDisk    = "disk"    // TreeID
	metaApart   = "apart"   // present: the nodes have changed since Disk was set
	metaHeld    = "held"    // present: SetHeld
	metaUnseen  = "unseen"  // present: SetUnseen
	metaKept    = "kept/"   // and a path: inode, SetKept
	metaCounts  = "counts"  // counts, three uvarints
)

var errNew = errors.New("index is new")

// Tx is a transaction. Values it returns are copies and stay valid after it.
// What it meets that makes no sense it reads as absent, and Update or View
// then returns ErrDamaged whatever its function returned.
type Tx struct {
	ix        *Index
	b         *bolt.Tx
	nodes     table
	ids       table
	keys      table
	tagged    table
	conflicts table
	meta      table

	counts counts
	dirty  bool // counts differ from what is stored
	// unweighed: the file is from a version that did not count bytes.
	unweighed bool
	damage    error
}

type counts struct {
	files     uint64 // nodes that are no directories
	conflicts uint64
	bytes     uint64 // in files, each name for itself
}

func makeBuckets(btx *bolt.Tx) error {
	for _, name := range []string{bucketNodes, bucketIDs, bucketKeys, bucketTagged, bucketConflicts, bucketMeta} {
		if _, err := btx.CreateBucket([]byte(name)); err != nil {
			return fmt.Errorf("make bucket %s: %w", name, err)
		}
	}
	return btx.Bucket([]byte(bucketMeta)).Put([]byte(metaFormat), binary.BigEndian.AppendUint32(nil, format))
}

// checkFormat says errNew of a file without buckets.
func checkFormat(btx *bolt.Tx) error {
	if k, _ := btx.Cursor().First(); k == nil {
		return errNew
	}
	meta := btx.Bucket([]byte(bucketMeta))
	if meta == nil {
		return fmt.Errorf("no bucket %s: %w", bucketMeta, ErrDamaged)
	}
	v := meta.Get([]byte(metaFormat))
	if len(v) != 4 || binary.BigEndian.Uint32(v) != format {
		return fmt.Errorf("format %x, not %d: %w", v, format, ErrDamaged)
	}
	return nil
}

func (ix *Index) begin(writable bool) (*Tx, error) {
	b, err := ix.db.Begin(writable)
	if err != nil {
		return nil, fmt.Errorf("begin transaction of index: %w", err)
	}
	tx := &Tx{ix: ix, b: b}
	if err := tx.load(); err != nil {
		return nil, errors.Join(err, b.Rollback())
	}
	return tx, nil
}

func (tx *Tx) load() error {
	for name, t := range tx.tables() {
		if t.bucket = tx.b.Bucket([]byte(name)); t.bucket == nil {
			return fmt.Errorf("no bucket %s: %w", name, ErrDamaged)
		}
	}
	// Nodes of one directory and inodes made together come in order.
	tx.nodes.bucket.FillPercent, tx.keys.bucket.FillPercent = 0.8, 0.8
	v := tx.meta.get([]byte(metaCounts))
	if v == nil {
		return nil
	}
	r := reader{b: v}
	tx.counts = counts{files: r.uvarint(), conflicts: r.uvarint()}
	if tx.unweighed = !r.bad && len(r.b) == 0; tx.unweighed {
		return nil
	}
	tx.counts.bytes = r.uvarint()
	if r.bad || len(r.b) != 0 {
		return fmt.Errorf("counts %x: %w", v, ErrDamaged)
	}
	return nil
}

// tables are all tables by the names of their buckets.
func (tx *Tx) tables() map[string]*table {
	return map[string]*table{
		bucketNodes: &tx.nodes, bucketIDs: &tx.ids, bucketKeys: &tx.keys, bucketTagged: &tx.tagged,
		bucketConflicts: &tx.conflicts, bucketMeta: &tx.meta,
	}
}

// changed counts changes.
func (tx *Tx) changed() (n int) {
	for _, t := range tx.tables() {
		n += t.changes.Len()
	}
	return n
}

// flush brings all changes into the buckets.
func (tx *Tx) flush() error {
	if tx.dirty {
		v := binary.AppendUvarint(binary.AppendUvarint(nil, tx.counts.files), tx.counts.conflicts)
		tx.meta.put([]byte(metaCounts), binary.AppendUvarint(v, tx.counts.bytes))
	}
	for name, t := range tx.tables() {
		if err := t.flush(tx.accessed); errors.Is(err, berrors.ErrIncompatibleValue) { // a bucket where there are none
			return fmt.Errorf("write bucket %s: %w: %w", name, ErrDamaged, err)
		} else if err != nil {
			return fmt.Errorf("write bucket %s: %w", name, err)
		}
	}
	return nil
}

// try runs one access to the file. Damage stays with the Tx.
func (tx *Tx) try(fn func() error) error {
	if tx.damage != nil {
		return tx.damage
	}
	tx.accessed()
	err := guard(fn)
	if errors.Is(err, ErrDamaged) {
		tx.damage = err
	}
	return err
}

// add changes a count; going below zero is damage.
func (tx *Tx) add(count *uint64, delta int64) error {
	if delta == 0 {
		return nil
	}
	if delta < 0 && *count < uint64(-delta) {
		return fmt.Errorf("count below zero: %w", ErrDamaged)
	}
	*count += uint64(delta)
	tx.dirty = true
	return nil
}
