package index

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/silvermirror/smfs/backend/object"
	"github.com/silvermirror/smfs/tags"
)

// A node's bytes; its slot is the key they are stored under:
//
//	flags      1 byte, see below
//	kind       1 byte
//	id         16
//	blob       20           if hasBlob
//	chunks     20           if hasChunks
//	conflict   16           if hasConflict
//	mode       uvarint
//	mtime      varint
//	size       varint
//	ctime      varint
//	ino, gen   uvarint each
//	xattrs     count, then name and value each     if hasXattrs
//	tags       count, then name, count of dots, then writer and seq each   if hasTags
//	crc        4, CRC-32C of the slot's key and all before, little-endian
//
// Counts and lengths are uvarints.
const (
	hasBlob = 1 << iota
	hasConflict
	hasXattrs
	hasTags
	uncertain
	hasChunks

	knownFlags = hasBlob | hasConflict | hasXattrs | hasTags | uncertain | hasChunks
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func encodeNode(n *Node) []byte {
	b := make([]byte, 0, 128)
	b = append(b, flagsOf(n), byte(n.Kind))
	b = append(b, n.ID[:]...)
	if !n.Blob.IsZero() {
		b = append(b, n.Blob[:]...)
	}
	if !n.Chunks.IsZero() {
		b = append(b, n.Chunks[:]...)
	}
	if n.Conflict != (object.FileID{}) {
		b = append(b, n.Conflict[:]...)
	}
	b = binary.AppendUvarint(b, uint64(n.Mode))
	b = binary.AppendVarint(b, n.Mtime)
	b = binary.AppendVarint(b, n.Size)
	b = binary.AppendVarint(b, n.Ctime)
	b = binary.AppendUvarint(b, n.Key.Ino)
	b = binary.AppendUvarint(b, n.Key.Gen)
	if len(n.Xattrs) > 0 {
		b = appendXattrs(b, n.Xattrs)
	}
	if len(n.Tags) > 0 {
		b = appendTags(b, n.Tags)
	}
	return binary.LittleEndian.AppendUint32(b, checksum(n.Slot(), b))
}

// checksum covers the slot too: a node is not another's.
func checksum(s Slot, body []byte) uint32 {
	return crc32.Update(crc32.Checksum(s.key(), castagnoli), castagnoli, body)
}

func flagsOf(n *Node) (f byte) {
	if !n.Blob.IsZero() {
		f |= hasBlob
	}
	if !n.Chunks.IsZero() {
		f |= hasChunks
	}
	if n.Conflict != (object.FileID{}) {
		f |= hasConflict
	}
	if len(n.Xattrs) > 0 {
		f |= hasXattrs
	}
	if len(n.Tags) > 0 {
		f |= hasTags
	}
	if n.Uncertain {
		f |= uncertain
	}
	return f
}

func appendXattrs(b []byte, list []object.Xattr) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	for _, x := range list {
		b = appendString(appendString(b, x.Name), x.Value)
	}
	return b
}

func appendTags(b []byte, set tags.Set) []byte {
	b = binary.AppendUvarint(b, uint64(len(set)))
	for _, t := range set {
		b = appendString(b, t.Name)
		b = binary.AppendUvarint(b, uint64(len(t.Dots)))
		for _, d := range t.Dots {
			b = binary.AppendUvarint(appendString(b, d.Writer), d.Seq)
		}
	}
	return b
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// decodeNode is the inverse of encodeNode. It keeps nothing of b. Errors match
// ErrDamaged.
func decodeNode(s Slot, b []byte) (Node, error) {
	if len(b) < 4 {
		return Node{}, fmt.Errorf("node of %d bytes: %w", len(b), ErrDamaged)
	}
	body, sum := b[:len(b)-4], binary.LittleEndian.Uint32(b[len(b)-4:])
	if checksum(s, body) != sum {
		return Node{}, fmt.Errorf("node's checksum does not match: %w", ErrDamaged)
	}
	r := reader{b: body}
	n := r.node()
	if r.bad || len(r.b) != 0 {
		return Node{}, fmt.Errorf("node of %d bytes makes no sense: %w", len(b), ErrDamaged)
	}
	n.Parent, n.Name = s.Parent, s.Name
	return n, nil
}

// reader takes fields off b; once one does not fit it is bad and gives zeros.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) node() (n Node) {
	flags := r.byte()
	r.bad = r.bad || flags&^knownFlags != 0
	n.Kind = object.Kind(r.byte())
	r.bad = r.bad || n.Kind < object.File || n.Kind > object.Symlink
	r.fixed(n.ID[:])
	if flags&hasBlob != 0 {
		r.fixed(n.Blob[:])
	}
	if flags&hasChunks != 0 {
		r.fixed(n.Chunks[:])
	}
	if flags&hasConflict != 0 {
		r.fixed(n.Conflict[:])
	}
	mode := r.uvarint()
	r.bad = r.bad || mode>>32 != 0
	n.Mode = uint32(mode)
	n.Mtime, n.Size, n.Ctime = r.varint(), r.varint(), r.varint()
	n.Key.Ino, n.Key.Gen = r.uvarint(), r.uvarint()
	if flags&hasXattrs != 0 {
		n.Xattrs = r.xattrs()
	}
	if flags&hasTags != 0 {
		n.Tags = r.tags()
	}
	n.Uncertain = flags&uncertain != 0
	return n
}

func (r *reader) xattrs() []object.Xattr {
	list := make([]object.Xattr, r.count(2))
	for i := range list {
		list[i] = object.Xattr{Name: r.string(), Value: r.string()}
	}
	return list
}

func (r *reader) tags() tags.Set {
	set := make(tags.Set, r.count(2))
	for i := range set {
		set[i].Name = r.string()
		set[i].Dots = make([]tags.Dot, r.count(2))
		for j := range set[i].Dots {
			set[i].Dots[j] = tags.Dot{Writer: r.string(), Seq: r.uvarint()}
		}
	}
	return set
}

func (r *reader) byte() byte {
	var one [1]byte
	r.fixed(one[:])
	return one[0]
}

func (r *reader) fixed(p []byte) {
	if r.bad || len(r.b) < len(p) {
		r.bad = true
		return
	}
	copy(p, r.b)
	r.b = r.b[len(p):]
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if r.bad || n <= 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	if r.bad || n <= 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return v
}

// count reads how many items of at least size bytes follow; more than there is
// room for is bad, so that nothing is allocated for them.
func (r *reader) count(size int) int {
	n := r.uvarint()
	if n > uint64(len(r.b)/size) {
		r.bad = true
	}
	if r.bad {
		return 0
	}
	return int(n)
}

func (r *reader) string() string {
	n := r.count(1)
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}
