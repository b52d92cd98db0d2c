package merge

import (
	"fmt"

	"github.com/silvermirror/smfs/backend/object"
)

// Trees reads and writes directories. What Directory returns is shared: it is
// never changed here. PutDirectory must give equal directories equal ids, the
// ids object.EncodeDirectory gives.
type Trees interface {
	Directory(id object.TreeID) (*object.Directory, error)
	PutDirectory(d *object.Directory) (object.TreeID, error)
}

// Graph reads commits.
type Graph interface {
	Commit(id object.CommitID) (*object.Commit, error)
}

// Store is what making a merge commit needs: a batch of the store, or the
// quarantine of a transfer.
type Store interface {
	Trees
	Graph
}

// Reader is what checking a merge commit needs.
type Reader interface {
	Graph
	Directory(id object.TreeID) (*object.Directory, error)
}

// scratch keeps in memory what is put, so that bases which exist on no node
// can be computed, and merges verified, without writing.
type scratch struct {
	read interface {
		Directory(id object.TreeID) (*object.Directory, error)
	}
	made map[object.TreeID]*object.Directory
}

func newScratch(r Reader) *scratch {
	return &scratch{read: r, made: make(map[object.TreeID]*object.Directory)}
}

func (s *scratch) Directory(id object.TreeID) (*object.Directory, error) {
	if d, ok := s.made[id]; ok {
		return d, nil
	}
	return s.read.Directory(id)
}

func (s *scratch) PutDirectory(d *object.Directory) (object.TreeID, error) {
	id, err := object.EncodeDirectory(d, hashSink{})
	if err != nil {
		return id, err
	}
	s.made[id] = d
	return id, nil
}

// layered reads bases from memory and writes results to the store.
type layered struct {
	*scratch
	store Trees
}

func (l layered) PutDirectory(d *object.Directory) (object.TreeID, error) {
	return l.store.PutDirectory(d)
}

// hashSink gives ids and keeps nothing.
type hashSink struct{}

func (hashSink) WriteTree(data []byte) (object.TreeID, error) {
	return object.TreeID(object.Hash(object.TypeTree, data)), nil
}

func (hashSink) WriteBlob(data []byte) (object.BlobID, error) {
	return object.BlobID(object.Hash(object.TypeBlob, data)), nil
}

// readDirectory reads one directory; the zero id is the empty one.
func readDirectory(t Trees, id object.TreeID) (*object.Directory, error) {
	if id.IsZero() {
		return &object.Directory{}, nil
	}
	d, err := t.Directory(id)
	if err != nil {
		return nil, fmt.Errorf("read directory %s: %w", id, err)
	}
	return d, nil
}
