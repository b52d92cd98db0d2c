package index

import (
	"github.com/tidwall/btree"
	bolt "go.etcd.io/bbolt"
)

// table is a bucket as one transaction sees it. Its changes are kept in order in
// memory and go to the bucket when the transaction ends: bbolt holds a leaf that
// is written to as one slice of keys, however many there come to be, so that many
// in no order would cost the square of their number; in order, each is appended.
// It also makes taking them back cost nothing.
type table struct {
	bucket  *bolt.Bucket
	changes btree.Map[string, change]
}

// change is what a transaction did to one key.
type change struct {
	value   []byte
	deleted bool
}

// get returns the value of a key, nil where it has none.
func (t *table) get(key []byte) []byte {
	c, ok := t.changes.Get(string(key))
	switch {
	case !ok:
		return t.bucket.Get(key)
	case c.deleted:
		return nil
	case c.value == nil:
		return []byte{}
	}
	return c.value
}

// put sets the value of a key; the table keeps value.
func (t *table) put(key, value []byte) { t.changes.Set(string(key), change{value: value}) }

func (t *table) delete(key []byte) { t.changes.Set(string(key), change{deleted: true}) }

// scan calls fn for each key from the given one on, in order, until it returns
// false. fn must not change the table, nor keep the key.
func (t *table) scan(from []byte, fn func(key []byte) bool) {
	c := t.bucket.Cursor()
	k, _ := c.Seek(from)
	more := true
	t.changes.Ascend(string(from), func(key string, ch change) bool {
		for more && k != nil && string(k) < key {
			more = fn(k)
			k, _ = c.Next()
		}
		if !more {
			return false
		}
		if string(k) == key {
			k, _ = c.Next()
		}
		if !ch.deleted {
			more = fn([]byte(key))
		}
		return more
	})
	for more && k != nil {
		more = fn(k)
		k, _ = c.Next()
	}
}

// flush brings the changes into the bucket; accessed is called for each.
func (t *table) flush(accessed func()) (err error) {
	t.changes.Scan(func(key string, c change) bool {
		accessed()
		if c.deleted {
			err = t.bucket.Delete([]byte(key))
		} else {
			err = t.bucket.Put([]byte(key), c.value)
		}
		return err == nil
	})
	return err
}
