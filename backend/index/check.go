package index

import (
	"bytes"
	"context"
	"fmt"

	"github.com/silvermirror/smfs/backend/object"
	"github.com/silvermirror/smfs/journal"
)

// enough is how many findings are told of one index.
const enough = 100

// Check reads all of the index and calls problem for things that are not as Put
// and its like leave them, for the first of many. Nothing waits for it. Bytes that
// make no sense are ErrDamaged, as for View.
func (ix *Index) Check(ctx context.Context, problem func(text string)) error {
	return ix.View(func(tx *Tx) error {
		if err := tx.try(func() error { return tx.checkPages(ctx) }); err != nil {
			return err
		}
		c := checker{ctx: ctx, tx: tx, problem: problem}
		err := c.check()
		if more := c.told - enough; more > 0 {
			problem(fmt.Sprintf("%d things more", more))
		}
		return err
	})
}

// checkPages looks at the pages that the transaction sees: none of them is
// overwritten before it ends.
func (tx *Tx) checkPages(ctx context.Context) error {
	st, err := tx.ix.raw.Stat()
	if err != nil {
		return err
	}
	if st.Size() < tx.b.Size() {
		return fmt.Errorf("file has %d bytes of %d: %w", st.Size(), tx.b.Size(), ErrDamaged)
	}
	m, ok := newestMeta(tx.ix.raw)
	if !ok {
		return fmt.Errorf("none of its first pages makes sense: %w", ErrDamaged)
	}
	if m.txid != uint64(tx.b.ID()) { // there was an Update since
		m.free = noFreeList
	}
	m.root, m.end = uint64(tx.b.Cursor().Bucket().Root()), uint64(tx.b.Size()/m.pageSize)
	return checkPages(ctx, tx.ix.raw, m)
}

// checker is one run over the nodes.
type checker struct {
	ctx     context.Context
	tx      *Tx
	problem func(string)
	counts  counts
	nodes   int
	tagged  int
	told    int
}

func (c *checker) tell(format string, args ...any) {
	if c.told++; c.told <= enough {
		c.problem(fmt.Sprintf(format, args...))
	}
}

func (c *checker) check() error {
	if err := c.tx.All(c.node); err != nil {
		return err
	}
	if c.told > 0 {
		return nil // a directory with two names, say, may be in itself
	}
	reached := 0
	if err := c.reach(object.FileID{}, &reached); err != nil {
		return err
	}
	if reached != c.nodes {
		c.tell("%d of %d names are in no directory that the root leads to", c.nodes-reached, c.nodes)
	}
	if c.counts != c.tx.counts {
		c.tell("it counts %d files of %d bytes and %d conflicts, and has %d of %d and %d",
			c.tx.counts.files, c.tx.counts.bytes, c.tx.counts.conflicts, c.counts.files, c.counts.bytes, c.counts.conflicts)
	}
	return c.tx.try(func() error {
		c.size("ids", &c.tx.ids, c.nodes)
		c.size("tagged", &c.tx.tagged, c.tagged)
		c.size("conflicts", &c.tx.conflicts, int(c.counts.conflicts))
		return c.inodes()
	})
}

// node looks for a node in the other buckets.
func (c *checker) node(n Node) error {
	if err := c.ctx.Err(); err != nil {
		return err
	}
	s := n.Slot()
	if n.ID.IsZero() {
		c.tell("%v has no id", s)
	}
	c.nodes++
	c.counts.files += uint64(isFile(&n))
	c.counts.bytes += uint64(weight(&n))
	return c.tx.try(func() error {
		if c.tx.ids.get(idKey(n.ID, s)) == nil {
			c.tell("%v is not found by its id", s)
		}
		if n.Key != (journal.FileKey{}) && c.tx.keys.get(fileKey(n.Key, n.ID)) == nil {
			c.tell("%v is not found by its inode", s)
		}
		if tagged(&n) {
			c.tagged++
			if c.tx.tagged.get(s.key()) == nil {
				c.tell("%v has tags and is not listed", s)
			}
		}
		if conflicting(&n) {
			c.counts.conflicts++
			if c.tx.conflicts.get(s.key()) == nil {
				c.tell("%v has a conflict and is not listed", s)
			}
		}
		return c.links(n)
	})
}

// links compares a node with the others of its id: a directory has one name, the
// names of a file have one content.
func (c *checker) links(n Node) error {
	for _, s := range c.tx.slots(n.ID) {
		if s == n.Slot() {
			continue
		}
		other, ok, err := c.tx.get(s)
		switch {
		case err != nil:
			return err
		case !ok:
			c.tell("%v is found by its id and not there", s)
		case n.Kind == object.Dir || n.Kind != other.Kind:
			c.tell("%v and %v have the same id", n.Slot(), s)
		case n.Blob != other.Blob && bytes.Compare(n.Slot().key(), s.key()) < 0: // told once
			c.tell("%v and %v are names of one file with two contents", n.Slot(), s)
		}
	}
	return nil
}

// inodes looks for the nodes that the bucket keys speaks of.
func (c *checker) inodes() error {
	var err error
	c.tx.keys.scan(nil, func(k []byte) bool {
		err = c.inode(k)
		return err == nil
	})
	return err
}

func (c *checker) inode(k []byte) error {
	if len(k) != 16+idLen {
		return fmt.Errorf("key %x of an inode: %w", k, ErrDamaged)
	}
	for _, s := range c.tx.slots(object.FileID(k[16:])) {
		n, ok, err := c.tx.get(s)
		if err != nil {
			return err
		}
		if ok && bytes.Equal(fileKeyPrefix(n.Key), k[:16]) {
			return nil
		}
	}
	c.tell("no name has the inode %x, which it lists", k[:16])
	return nil
}

// reach counts the names below a directory.
func (c *checker) reach(dir object.FileID, count *int) error {
	return c.tx.Children(dir, func(n Node) error {
		*count++
		if n.Kind != object.Dir {
			return nil
		}
		return c.reach(n.ID, count)
	})
}

// size counts a list. With as many entries as nodes that are on it, there are no
// others.
func (c *checker) size(name string, t *table, want int) {
	n := 0
	t.scan(nil, func([]byte) bool {
		n++
		return true
	})
	if n != want {
		c.tell("its list %q has %d entries for %d", name, n, want)
	}
}
