package chunk

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/silvermirror/smfs/backend/object"
)

// Threshold is the size of the largest file, in bytes, that is one blob.
const Threshold = 1 << 20

// Content says what a file holds. Blob alone identifies it: it is the file's
// bytes, or the pointer that belongs to List.
type Content struct {
	Blob object.BlobID
	List object.TreeID // of a large file; else zero
}

// Of returns an entry's content.
func Of(e *object.Entry) Content { return Content{e.Blob, e.Chunks} }

const (
	pointerHead  = "smfs large file 1\nsize "
	pointerChunk = "\nchunks "
	pointerTail  = `

This file is over 1 MiB. In a git repository of smfs its content lies beside it
in pieces, in the directory .smfs/chunks/NAME (NAME is the name of this file).
In a git clone, this puts them together:

    find .smfs/chunks/NAME -type f -print0 | LC_ALL=C sort -z | xargs -0 cat
`
)

// maxPointer is the size of the longest pointer.
const maxPointer = len(pointerHead) + 19 + len(pointerChunk) + 40 + len(pointerTail)

// pointer is the blob at the name of a file of size bytes with that list.
func pointer(size int64, list object.TreeID) []byte {
	return fmt.Appendf(nil, "%s%d%s%s%s", pointerHead, size, pointerChunk, list, pointerTail)
}

// MayPoint tells whether a blob of that size can be a pointer.
func MayPoint(size int64) bool { return size <= int64(maxPointer) && size > int64(maxPointer)-19 }

// ParsePointer reads a pointer; ok is false for all other data.
func ParsePointer(data []byte) (size int64, list object.TreeID, ok bool) {
	if !MayPoint(int64(len(data))) || !bytes.HasPrefix(data, []byte(pointerHead)) {
		return 0, list, false
	}
	digits, rest, _ := bytes.Cut(data[len(pointerHead):], []byte(pointerChunk))
	size, err := strconv.ParseInt(string(digits), 10, 64)
	if err != nil || len(rest) < 40 {
		return 0, list, false
	}
	list, err = object.ParseTreeID(string(rest[:40]))
	return size, list, err == nil && size > 0 && bytes.Equal(pointer(size, list), data)
}
