package store

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"

	"github.com/go-git/go-git/v5/plumbing/format/objfile"

	"github.com/silvermirror/smfs/backend/object"
)

// The store writes packs alone. Loose objects occur where a user ran git on
// it; they are read whole, without a cache.

func loosePath(objects string, id [20]byte) string {
	name := hex.EncodeToString(id[:])
	return filepath.Join(objects, name[:2], name[2:])
}

// looseStart is how much of a file may be read to find the object's header,
// which objfile reads to its end wherever that is. An inflater reads ahead, but
// less than this.
const looseStart = 64 << 10

// readLoose returns the content of a loose object of at most max bytes, or
// os.ErrNotExist.
func readLoose(objects string, id [20]byte, max int64) (object.Type, []byte, error) {
	f, err := os.Open(loosePath(objects, id))
	if err != nil {
		return 0, nil, err
	}
	defer f.Close()
	in := &io.LimitedReader{R: f, N: looseStart}
	r, err := objfile.NewReader(in)
	if err != nil {
		return 0, nil, fmt.Errorf("%w: %w", ErrBadPack, err)
	}
	defer r.Close()
	kind, size, err := r.Header()
	if err != nil {
		return 0, nil, fmt.Errorf("%w: loose object header: %w", ErrBadPack, noEOF(err))
	}
	if kind.IsDelta() || size < 0 {
		return 0, nil, fmt.Errorf("%w: loose object header: %s of %d bytes", ErrBadPack, kind, size)
	}
	if size > max {
		return 0, nil, fmt.Errorf("%w: %d bytes, more than %d", ErrTooLarge, size, max)
	}
	in.N = math.MaxInt64
	var b bytes.Buffer
	n, err := b.ReadFrom(io.LimitReader(r, size+1))
	if err == nil && n != size {
		err = fmt.Errorf("%w: its length is not what it says", ErrBadPack)
	}
	return kind, b.Bytes(), err
}

// hasLooseDirs reports whether any loose object can exist.
func hasLooseDirs(objects string) bool {
	names, err := os.ReadDir(objects)
	if err != nil {
		return false
	}
	for _, d := range names {
		if b, err := hex.DecodeString(d.Name()); err == nil && len(b) == 1 {
			return true
		}
	}
	return false
}
