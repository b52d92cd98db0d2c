package store

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/klauspost/compress/zlib"

	"github.com/silvermirror/smfs/backend/object"
)

// The store writes packs alone. Loose objects occur where a user ran git on
// it; they are read whole, without a cache.

func loosePath(objects string, id [20]byte) string {
	name := hex.EncodeToString(id[:])
	return filepath.Join(objects, name[:2], name[2:])
}

// readLoose returns the content of a loose object of at most max bytes, or
// os.ErrNotExist.
func readLoose(objects string, id [20]byte, max int64) (object.Type, []byte, error) {
	f, err := os.Open(loosePath(objects, id))
	if err != nil {
		return 0, nil, err
	}
	defer f.Close()
	z, err := zlib.NewReader(bufio.NewReader(f))
	if err != nil {
		return 0, nil, fmt.Errorf("%w: %w", ErrBadPack, noEOF(err))
	}
	defer z.Close()
	in := bufio.NewReader(z)
	kind, size, err := looseHeader(in)
	if err != nil {
		return 0, nil, err
	}
	if size > max {
		return 0, nil, fmt.Errorf("%w: %d bytes, more than %d", ErrTooLarge, size, max)
	}
	var b bytes.Buffer
	n, err := b.ReadFrom(io.LimitReader(in, size+1))
	if err == nil && n != size {
		err = fmt.Errorf("%w: its length is not what it says", ErrBadPack)
	}
	return kind, b.Bytes(), err
}

// looseHeader reads "<type> <size>\x00".
func looseHeader(in *bufio.Reader) (object.Type, int64, error) {
	bad := fmt.Errorf("%w: loose object header", ErrBadPack)
	var head []byte
	for len(head) < 32 {
		c, err := in.ReadByte()
		if err != nil {
			return 0, 0, errors.Join(bad, noEOF(err))
		}
		if c == 0 {
			break
		}
		head = append(head, c)
	}
	name, text, _ := strings.Cut(string(head), " ")
	size, err := strconv.ParseInt(text, 10, 64)
	if err != nil || size < 0 {
		return 0, 0, bad
	}
	for t := object.TypeCommit; t <= object.TypeTag; t++ {
		if t.String() == name {
			return t, size, nil
		}
	}
	return 0, 0, bad
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
