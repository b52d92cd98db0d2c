package backend

import (
	"crypto/sha1"
	"io"
	"strings"

	"github.com/silvermirror/smfs/backend/object"
	"github.com/silvermirror/smfs/fs/tree"
)

// hashPath computes the blob id of what a path holds, without storing it.
func (r *resource) hashPath(path string, info tree.Info) (object.BlobID, error) {
	if info.IsSymlink() {
		target, _, err := r.tree.Readlink(path)
		if err != nil {
			return object.BlobID{}, err
		}
		return hashBlob(strings.NewReader(target), int64(len(target)))
	}
	f, err := r.tree.OpenFile(path)
	if err != nil {
		return object.BlobID{}, err
	}
	defer f.Close()
	return hashBlob(f, f.Info.Size)
}

// hashBlob is the blob id of the size bytes that r yields.
func hashBlob(r io.Reader, size int64) (id object.BlobID, err error) {
	h := sha1.New()
	h.Write(object.Header(object.TypeBlob, size))
	if _, err := io.Copy(h, io.LimitReader(r, size)); err != nil {
		return id, err
	}
	h.Sum(id[:0])
	return id, nil
}
