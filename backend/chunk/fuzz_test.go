package chunk

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/silvermirror/smfs/backend/object"
)

// FuzzParsePointer: what is read as a pointer is written the same.
func FuzzParsePointer(f *testing.F) {
	f.Add(pointer(1<<20+1, object.TreeID{1}))
	f.Add(pointer(1<<62, object.TreeID{0xff}))
	f.Add([]byte(pointerHead))
	f.Fuzz(func(t *testing.T, data []byte) {
		if size, list, ok := ParsePointer(data); ok && !bytes.Equal(pointer(size, list), data) {
			t.Errorf("%q is the pointer to %s of %d bytes", data, list, size)
		}
	})
}

// FuzzList reads a list that a stranger made: it ends, with the bytes that it says or
// an error.
func FuzzList(f *testing.F) {
	m := newMemory()
	small, _ := m.WriteBlob([]byte("0123456789"))
	node := object.AppendTree(nil, []object.TreeEntry{{Mode: object.GitFile, Name: "000000000000000a", ID: small}})
	inner, _ := m.WriteTree(node)
	f.Add(node)
	f.Add(object.AppendTree(nil, []object.TreeEntry{{Mode: object.GitTree, Name: "000000000000000a", ID: inner}}))
	f.Fuzz(func(t *testing.T, data []byte) {
		m := &memory{blobs: m.blobs, trees: map[object.TreeID][]byte{inner: node}}
		list, _ := m.WriteTree(data)
		r, err := NewReader(m, list)
		var n int64
		if err == nil {
			n, err = io.Copy(io.Discard, r)
			r.Close()
		}
		switch {
		case err == nil && n != r.Size():
			t.Errorf("%d bytes, and the list says %d", n, r.Size())
		case err != nil && !errors.Is(err, object.ErrInvalid) && !errors.Is(err, errAbsent):
			t.Error(err)
		}
	})
}
