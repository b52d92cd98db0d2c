package backend

import (
	"github.com/silvermirror/smfs/backend/chunk"
	"github.com/silvermirror/smfs/backend/object"
	"github.com/silvermirror/smfs/fs/tree"
)

// hashPath computes what the content of a path would be called, without storing it.
func (r *resource) hashPath(path string, info tree.Info) (chunk.Content, error) {
	if info.IsSymlink() {
		target, _, err := r.tree.Readlink(path)
		return chunk.Content{Blob: object.BlobID(object.Hash(object.TypeBlob, []byte(target)))}, err
	}
	f, err := r.tree.OpenFile(path)
	if err != nil {
		return chunk.Content{}, err
	}
	defer f.Close()
	return chunk.Hash(f, f.Info.Size)
}
