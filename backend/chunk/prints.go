package chunk

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"sync"

	"github.com/silvermirror/smfs/backend/object"
)

// Prints remembers the chunks of files by fingerprints. Where a file is as it was,
// its chunks are known without being cut and hashed again, which costs a small part
// of that. It is safe for concurrent use; nil remembers nothing.
//
// A fingerprint is a GMAC under a key that never leaves the process, of one nonce:
// that two different chunks have the same, also if somebody wants them to, has a
// probability of less than 2^-100.
type Prints struct {
	mac cipher.AEAD

	mu    sync.Mutex // guards the rest
	lists map[object.TreeID][]print
	order []object.TreeID // the oldest first
	count int
}

// maxPrints is how many chunks are remembered: about so many MiB of files.
const maxPrints = 256 << 10

type fingerprint [16]byte

// print is a chunk.
type print struct {
	mark fingerprint
	id   object.BlobID
	size int
}

// NewPrints remembers nothing yet.
func NewPrints() *Prints {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // which never fails
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // the key has the right size
	}
	mac, err := cipher.NewGCM(block)
	if err != nil {
		panic(err) // AES has the right block
	}
	return &Prints{mac: mac, lists: map[object.TreeID][]print{}}
}

func (p *Prints) of(data []byte) (f fingerprint) {
	var nonce [12]byte // GMAC's tags are kept secret here: one nonce is enough
	p.mac.Seal(f[:0], nonce[:], nil, data)
	return f
}

func (p *Prints) get(list object.TreeID) []print {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lists[list]
}

func (p *Prints) put(list object.TreeID, prints []print) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.lists[list]; ok || len(prints) > maxPrints {
		return
	}
	p.lists[list] = prints
	p.order = append(p.order, list)
	for p.count += len(prints); p.count > maxPrints; p.order = p.order[1:] {
		p.count -= len(p.lists[p.order[0]])
		delete(p.lists, p.order[0])
	}
}

// recall finds the chunks of a file again that it had before.
type recall struct {
	prints *Prints // may be nil
	was    []print
	at     int                 // the chunk that comes next, if all is as it was
	place  map[fingerprint]int // in was
}

func (p *Prints) recall(was object.TreeID) *recall {
	r := &recall{prints: p}
	if p == nil {
		return r
	}
	r.was = p.get(was)
	r.place = make(map[fingerprint]int, len(r.was))
	for i, c := range r.was {
		r.place[c.mark] = i
	}
	return r
}

// next returns the chunk that data begins with, and whether it was there before.
// The id of a new one is not set.
//
// A chunk that begins as an old one and has its bytes ends where that did: what
// follows does not matter. The last one of a file ended with it, though.
func (r *recall) next(data []byte) (c print, old bool) {
	if r.at < len(r.was)-1 {
		c = r.was[r.at]
		if len(data) >= c.size && r.prints.of(data[:c.size]) == c.mark {
			r.at++
			return c, true
		}
	}
	size := cutpoint(data)
	if r.prints == nil {
		return print{size: size}, false
	}
	mark := r.prints.of(data[:size])
	i, ok := r.place[mark]
	if !ok || r.was[i].size != size {
		r.at = len(r.was)
		return print{mark: mark, size: size}, false
	}
	r.at = i + 1
	return r.was[i], true
}

// remember keeps the chunks of a list for the next time.
func (r *recall) remember(list object.TreeID, chunks []print) {
	if r.prints != nil {
		r.prints.put(list, chunks)
	}
}
