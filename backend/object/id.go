package object

import (
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"strconv"

	"github.com/go-git/go-git/v5/plumbing"
)

// Type is a git object type, numbered as in packs.
type Type = plumbing.ObjectType

// The types of whole objects.
const (
	TypeCommit = plumbing.CommitObject
	TypeTree   = plumbing.TreeObject
	TypeBlob   = plumbing.BlobObject
	TypeTag    = plumbing.TagObject // an annotated tag that a user made with git
)

// Header starts what git hashes: "<type> <size>\x00".
func Header(t Type, size int64) []byte {
	b := append([]byte(t.String()), ' ')
	b = strconv.AppendInt(b, size, 10)
	return append(b, 0)
}

// Hash is the git object id of data. It serves for what this node made itself;
// contents of strangers are hashed with collision detection by the store.
func Hash(t Type, data []byte) [20]byte {
	h := sha1.New()
	writeHeader(h, t, int64(len(data)))
	h.Write(data)
	return [20]byte(h.Sum(nil))
}

func writeHeader(h hash.Hash, t Type, size int64) { h.Write(Header(t, size)) }

// ParseTreeID reads 40 lower-case hexadecimal digits.
func ParseTreeID(s string) (TreeID, error) {
	id, err := parseHash(s)
	return TreeID(id), err
}

// ParseCommitID reads 40 lower-case hexadecimal digits.
func ParseCommitID(s string) (CommitID, error) {
	id, err := parseHash(s)
	return CommitID(id), err
}

func parseHash(s string) (id [20]byte, err error) {
	if len(s) != 40 {
		return id, fmt.Errorf("object id %.50q: %w: want 40 hexadecimal digits", s, ErrInvalid)
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return id, fmt.Errorf("object id %q: %w: want lower-case hexadecimal digits", s, ErrInvalid)
		}
	}
	_, err = hex.Decode(id[:], []byte(s))
	return id, err
}

var fileIDText = base64.RawURLEncoding.Strict()

// String is the id as 22 characters of base64url.
func (id FileID) String() string { return fileIDText.EncodeToString(id[:]) }

// IsZero reports whether id is that of a root, or absent.
func (id FileID) IsZero() bool { return id == FileID{} }

// ParseFileID reads what String wrote.
func ParseFileID(s string) (id FileID, err error) {
	if len(s) != 22 {
		return id, fmt.Errorf("file id %.50q: %w: want 22 characters", s, ErrInvalid)
	}
	for i := range len(s) {
		if s[i] == '\n' || s[i] == '\r' { // the decoder would skip them
			return id, fmt.Errorf("file id %q: %w", s, ErrInvalid)
		}
	}
	if _, err = fileIDText.Decode(id[:], []byte(s)); err != nil {
		return FileID{}, fmt.Errorf("file id %q: %w: %w", s, ErrInvalid, err)
	}
	return id, nil
}

// Reserved is a FileID that no file has: nodes use it for bookkeeping of their
// own.
var Reserved = FileID{0: 0xff, 1: 0xff, 15: 0xff}

// NewFileID mints an id from random bytes; it is never zero.
func NewFileID(random io.Reader) (FileID, error) {
	for {
		var id FileID
		if _, err := io.ReadFull(random, id[:]); err != nil {
			return FileID{}, fmt.Errorf("mint file id: %w", err)
		}
		if !id.IsZero() {
			return id, nil
		}
	}
}
